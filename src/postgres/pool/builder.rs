//! Builds a pool from settings.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::derived::{SetOnTier, adapt, of_adhoc_tier, own_server};
use super::fleeted::{Join, found, taken_in};
use super::managers::{by_tier, look_at_room};
use super::of_role::{require_number, resolved};
use super::pg_pool::PgPool;
use super::servers::Servers;
#[cfg(all(feature = "http", unix))]
use super::watched::Watched;
use crate::clock::Clock;
use crate::config::{ConnectionString, Faults, LONGEST_STATEMENT, Overrides, PgSettings, TargetSessionAttrs};
use crate::error::Error;
use crate::lines::say;
use crate::pool::{Builder, Least};
use crate::postgres::driver::PgDriver;
use crate::postgres::open::{Credentials, LogIns, PgManager};
use crate::postgres::options::{INQUIRY_TIMEOUT, PgOptions, ResetPolicy, SocketTimeout};
use crate::tiers::{Tier, TieredBuilder, TieredPool};

type Change = Box<dyn FnOnce(Builder<PgManager>) -> Builder<PgManager>>;

/// Builds a [`PgPool`], over environment, connection string and profile.
///
/// What is set here wins over the environment, which wins over the connection string's parameters, then the
/// profile, then the default; [`config::settings`](crate::config::settings) lists them all.
///
/// ```no_run
/// use tierpool::{PgPool, Tier};
///
/// let pool = PgPool::builder().url("postgresql://app:hush@localhost/news").base_size(20).build()?;
/// let mut conn = pool.get(Tier::Automation)?;
/// conn.batch_execute("SELECT 1").unwrap();
/// # Ok::<(), tierpool::Error>(())
/// ```
#[derive(Default)]
pub struct PgBuilder {
    pub(super) overrides: Overrides,
    reset: ResetPolicy,
    socket_timeout: Option<SocketTimeout>,
    adhoc_statement_timeout: Option<Duration>,
    inquiry_timeout: Option<Duration>,
    adhoc_may_borrow: bool,
    adhoc_server: Option<ConnectionString>,
    pub(super) is_outside_fleet: bool,
    servers: Servers,
    clock: Clock,
    automation: Vec<Change>,
    adhoc: Vec<Change>,
    #[cfg(all(feature = "http", unix))]
    admin_write: bool,
}

impl PgBuilder {
    /// Starts with nothing set.
    pub fn new() -> Self {
        PgBuilder::default()
    }

    /// Sets what a returned connection's session state is put back to. Default: an open transaction is rolled back, and
    /// settings that the borrower has changed are put back; [`ResetPolicy`] says how that is known.
    pub fn reset_policy(mut self, policy: ResetPolicy) -> Self {
        self.reset = policy;
        self
    }

    /// Sets how long the server may be silent while a reply is due. Default: the statement timeout plus 5 s.
    pub fn socket_timeout(mut self, timeout: SocketTimeout) -> Self {
        self.socket_timeout = Some(timeout);
        // For the listing of the settings; the value above is what counts.
        self.overrides.socket_timeout = match timeout {
            SocketTimeout::AfterStatementTimeout => None,
            SocketTimeout::After(limit) => Some(limit),
            SocketTimeout::Off => Some(Duration::ZERO),
        };
        self
    }

    /// Sets a statement timeout of the ad-hoc tier's own; zero: none.
    pub fn adhoc_statement_timeout(mut self, limit: Duration) -> Self {
        self.adhoc_statement_timeout = Some(limit);
        self
    }

    /// Sets the longest that a question takes which the pool puts to the server for itself, its checkout included:
    /// `check_health`, `server_activity`, `long_running_queries`, `cancel` and `terminate`. Default 5 s.
    pub fn inquiry_timeout(mut self, limit: Duration) -> Self {
        self.inquiry_timeout = Some(limit);
        self
    }

    /// Has the ad-hoc tier connect by a connection string of its own, as another role for instance. Only its server
    /// part counts, and a setting of the pool in it is a fault, as is an `application_name`: both tiers go by the
    /// pool's. Where it says nothing of TLS, what the other tier demands of the server holds for it as well.
    pub fn adhoc_url(mut self, url: impl Into<ConnectionString>) -> Self {
        self.adhoc_server = Some(url.into());
        self
    }

    /// Sets which of several servers may be used, in both tiers. Default: what the connection string says, else any.
    pub fn target_session_attrs(mut self, attrs: TargetSessionAttrs) -> Self {
        self.servers.session_attrs = Some(attrs);
        self
    }

    /// Has user and password come from a callback, which is asked anew for each connection, so that a rotated password
    /// or a short-lived token needs no restart. It holds for both tiers, but for an ad-hoc tier with a connection
    /// string or a callback of its own. [`PgManager::with_credentials`] tells when it is called, and what follows a
    /// refusal.
    ///
    /// ```
    /// use tierpool::PgPool;
    /// use tierpool::postgres::Credentials;
    ///
    /// let builder = PgPool::builder()
    ///     .url("postgresql://scraper@localhost/news")
    ///     .credentials(|| Ok(Credentials::password(std::fs::read_to_string("/run/secrets/db")?.trim())));
    /// # drop(builder);
    /// ```
    pub fn credentials(
        mut self,
        callback: impl Fn() -> Result<Credentials, Box<dyn StdError + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        self.servers.ask_for_credentials(Box::new(callback));
        self
    }

    /// Sets a callback of the ad-hoc tier's own; see [`PgBuilder::credentials`].
    pub fn adhoc_credentials(
        mut self,
        callback: impl Fn() -> Result<Credentials, Box<dyn StdError + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        self.servers.ask_for_adhoc_credentials(Box::new(callback));
        self
    }

    /// Sets whether ad-hoc callers may take an idle automation connection when all their own are out. Default: no.
    pub fn adhoc_may_borrow(mut self, may: bool) -> Self {
        self.adhoc_may_borrow = may;
        self
    }

    /// Changes any setting of the automation tier's pool, after all others. A budget that nobody has set follows its
    /// size.
    pub fn automation(
        mut self,
        change: impl FnOnce(Builder<PgManager>) -> Builder<PgManager> + 'static,
    ) -> Self {
        self.automation.push(Box::new(change));
        self
    }

    /// Changes any setting of the ad-hoc tier's pool but its size, after all others.
    pub fn adhoc(mut self, change: impl FnOnce(Builder<PgManager>) -> Builder<PgManager> + 'static) -> Self {
        self.adhoc.push(Box::new(change));
        self
    }

    /// Sets whether a client of the admin socket may do something to the pool, and not only look. Default: no.
    #[cfg(all(feature = "http", unix))]
    pub fn admin_write(mut self, may: bool) -> Self {
        self.admin_write = may;
        self
    }

    /// Puts a pool behind the admin socket, where that is wanted.
    fn door(&self, settings: &PgSettings) -> impl FnOnce(PgPool) -> Result<PgPool, Error> + use<> {
        #[cfg(all(feature = "http", unix))]
        let wanted = settings.admin.then(|| {
            let servers = settings.server.addresses();
            (settings.app_name.clone(), self.admin_write, servers)
        });
        #[cfg(not(all(feature = "http", unix)))]
        let _ = settings;
        move |pool| {
            #[cfg(all(feature = "http", unix))]
            if let Some((app, may_write, servers)) = wanted {
                pool.open_admin(&app, may_write, servers)?;
            }
            Ok(pool)
        }
    }

    /// Sets the clock of both tiers; a test gives one that it moves by hand.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the pool from what is set here and the environment, opens a connection, and waits for it: so whatever
    /// keeps the server from being used is told here. The ad-hoc tier opens one too where it has a server, a role or
    /// credentials of its own, but for a tier in a fleet. They close when they are idle, as others do; what is to be
    /// kept open is opened and waited for as well. A server that is still starting is waited for, and the log says so
    /// every few seconds.
    ///
    /// # Blocking
    ///
    /// At most `connection_timeout`; less where the server refuses either tier for good.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every fault; otherwise as [`Builder::build`](crate::Builder::build).
    pub fn build(self) -> Result<PgPool, Error> {
        let settings = PgSettings::from_env(&self.overrides).map_err(Error::invalid)?;
        self.build_from(settings)
    }

    /// As [`PgBuilder::build`], but waits at most `limit`, whatever a checkout may take.
    ///
    /// # Errors
    ///
    /// As [`PgBuilder::build`].
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// // In a container that starts together with its database.
    /// let pool = tierpool::PgPool::builder().build_within(Duration::from_secs(120))?;
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    #[doc(alias("initializationFailTimeout"))]
    pub fn build_within(self, limit: Duration) -> Result<PgPool, Error> {
        let settings = PgSettings::from_env(&self.overrides).map_err(Error::invalid)?;
        self.wait_built(settings, Some(limit))
    }

    /// Builds the pool without opening a connection, but for what is to be kept open, which nobody waits for.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every fault; one is a budget by the roles' limits, which only a server can tell.
    pub fn build_unchecked(self) -> Result<PgPool, Error> {
        let settings = PgSettings::from_env(&self.overrides).map_err(Error::invalid)?;
        require_number(&settings)?;
        let door = self.door(&settings);
        let Assembled { tiers, managers, join, .. } = self.assemble(&settings)?;
        let pool = tiers.build_unchecked(|tier| by_tier(tier, &managers)).map(PgPool::from)?;
        join(&pool);
        door(pool)
    }

    /// Builds the pool from settings loaded before, as a program does that has looked at or changed them. Of what is
    /// set on this builder only that counts which is no part of [`PgSettings`].
    ///
    /// # Blocking
    ///
    /// As [`PgBuilder::build`].
    ///
    /// # Errors
    ///
    /// As [`PgBuilder::build`].
    pub fn build_from(self, settings: PgSettings) -> Result<PgPool, Error> {
        self.wait_built(settings, None)
    }

    /// Builds the pool and waits, for `limit` or as long as the checkouts of each tier may take.
    fn wait_built(self, settings: PgSettings, limit: Option<Duration>) -> Result<PgPool, Error> {
        let settings = if settings.total_from_role { self.ask_roles(&settings, limit)? } else { settings };
        let (adhoc_is_elsewhere, door) = (self.adhoc_server.is_some(), self.door(&settings));
        let Assembled { tiers, managers, adhoc_is_apart, join } = self.assemble(&settings)?;
        let set = [Tier::Automation, Tier::Adhoc].map(|tier| SetOnTier::of(tiers.of_tier(tier)));
        // In a fleet that one would take a slot from the people, and wait while they have all.
        let opens_one = |tier| tier == Tier::Automation || (adhoc_is_apart && !managers[1].is_admitted());
        let least = |tier| if opens_one(tier) { Least::First } else { Least::Kept };
        // Before anybody waits, since a fleet looks by way of the pool whether there is room.
        let join = |pool: &TieredPool<PgManager>| join(&PgPool::from(pool.clone()));
        let pool = PgPool::from(tiers.build_with(|tier| by_tier(tier, &managers), limit, least, join)?);
        if let Some(mode) = managers[0].pgbouncer() {
            adapt(&pool, &settings, mode, set, adhoc_is_elsewhere)?;
        }
        door(pool)
    }

    /// The settings with the budget that the server allows the roles.
    fn ask_roles(&self, settings: &PgSettings, limit: Option<Duration>) -> Result<PgSettings, Error> {
        let own = self.adhoc_server.as_ref().map(|url| own_server(url, settings));
        let of_adhoc = own.transpose().map_err(Error::invalid)?;
        let managers = [
            self.manager(Tier::Automation, settings).map_err(Error::invalid)?,
            self.manager(Tier::Adhoc, of_adhoc.as_ref().unwrap_or(settings)).map_err(Error::invalid)?,
        ];
        let limit = limit.unwrap_or(settings.automation.connection_timeout);
        resolved(settings, managers, self.adhoc_is_apart(of_adhoc.as_ref(), settings), limit)
    }

    /// Whether the ad-hoc tier logs in elsewhere than automation, or as somebody else.
    fn adhoc_is_apart(&self, own: Option<&PgSettings>, settings: &PgSettings) -> bool {
        self.servers.tell_apart(self.adhoc_server.is_some())
            || own.is_some_and(|own| !own.server.is_reached_as(&settings.server))
    }

    fn assemble(self, settings: &PgSettings) -> Result<Assembled, Error> {
        let settings = &*taken_in(settings, self.is_outside_fleet);
        let mut faults = settings.check();
        let automation = self.manager(Tier::Automation, settings);
        let automation = automation.map_err(|found| faults.extend_new(found)).ok();
        let of_adhoc = match &self.adhoc_server {
            None => Some(settings.clone()),
            Some(url) => own_server(url, settings).map_err(|found| faults.extend(found)).ok(),
        };
        let adhoc = of_adhoc.as_ref().and_then(|settings| {
            // What both tiers share is told once.
            self.manager(Tier::Adhoc, settings).map_err(|found| faults.extend_new(found)).ok()
        });
        let (Some(mut automation), Some(mut adhoc), true) = (automation, adhoc, faults.is_empty()) else {
            return Err(Error::invalid(faults));
        };
        if self.adhoc_server.is_none() {
            adhoc.share_findings(&automation);
        }
        adhoc.try_again_when_full();
        let adhoc_settings = of_adhoc_tier(of_adhoc.as_ref(), settings);
        let adhoc_is_apart = self.adhoc_is_apart(of_adhoc.as_ref(), settings);
        let log_ins = [(); 2].map(|()| Arc::new(LogIns::new(self.clock.clone())));
        automation.log_in_by(Arc::clone(&log_ins[0]));
        adhoc.log_in_by(Arc::clone(&log_ins[usize::from(adhoc_is_apart)]));
        for setting in settings.effective() {
            say!(Level::Info, "tierpool::settings", [], "{setting}");
        }
        for warning in settings.warnings() {
            say!(Level::Warn, "tierpool::settings", [], "{warning}");
        }
        let of_tier = |settings: crate::config::Settings, changes: Vec<Change>| {
            move |builder: Builder<PgManager>| {
                let builder = builder.defaults(settings).driver(Box::new(PgDriver));
                changes.into_iter().fold(builder, |builder, change| change(builder))
            }
        };
        let mut builder = TieredPool::builder()
            .total_connections(settings.total_connections)
            .reserved(settings.reserved)
            .open_concurrency(settings.automation.open_concurrency)
            .adhoc_may_borrow(self.adhoc_may_borrow)
            .adhoc_is_apart(adhoc_is_apart)
            .clock(self.clock)
            .automation(of_tier(settings.automation.clone(), self.automation))
            .adhoc(of_tier(adhoc_settings, self.adhoc));
        if settings.is_supabase() {
            builder = builder.limit_name("Total Supabase Limit");
        }
        if !settings.is_budget_said() {
            builder = builder.budget_follows();
        }
        look_at_room(&builder, [&mut automation, &mut adhoc], self.adhoc_server.is_some());
        let join = found(settings, [&mut automation, &mut adhoc]).map_err(Error::invalid)?;
        Ok(Assembled { tiers: builder, managers: [automation, adhoc], adhoc_is_apart, join })
    }

    fn manager(&self, tier: Tier, settings: &PgSettings) -> Result<PgManager, Faults> {
        // One of the settings that is too long was told when they were checked.
        let checked = |limit: Option<Duration>| limit.map(|limit| limit.min(LONGEST_STATEMENT));
        let statement_timeout = match (tier, self.adhoc_statement_timeout) {
            (Tier::Automation, _) => checked(settings.automation_statement_timeout),
            (Tier::Adhoc, None) => checked(settings.adhoc_statement_timeout),
            (Tier::Adhoc, own) => own,
        };
        let options = PgOptions {
            // No limit is said too, and start-up options that say one contradict it.
            statement_timeout: Some(statement_timeout.unwrap_or_default()),
            reset: self.reset.clone(),
            connect_timeout: Some(settings.connect_timeout),
            target_session_attrs: self.servers.session_attrs.or(Some(settings.server.session_attrs())),
            statement_cache_size: settings.statement_cache_size,
            pgbouncer: settings.pgbouncer,
            socket_timeout: self.socket_timeout.unwrap_or(match settings.socket_timeout {
                None => SocketTimeout::AfterStatementTimeout,
                Some(Duration::ZERO) => SocketTimeout::Off,
                Some(limit) => SocketTimeout::After(limit),
            }),
            slow_query: settings.slow_query,
            query_times: settings.query_times,
            inquiry_timeout: self.inquiry_timeout.unwrap_or(INQUIRY_TIMEOUT),
            ..PgOptions::default()
        };
        let tls = Some(settings.server.tls());
        let manager = PgManager::with_faults(settings.destination(tier.as_str()), options, tls)?;
        Ok(self.servers.put_into(manager, tier, self.adhoc_server.is_some()))
    }
}

/// What a pool is built of.
struct Assembled {
    tiers: TieredBuilder<PgManager>,
    /// Automation's, and that of the ad-hoc tier.
    managers: [PgManager; 2],
    /// The ad-hoc tier logs in elsewhere, or as somebody else: what one tier meets says nothing of the other.
    adhoc_is_apart: bool,
    /// Is told of the pool.
    join: Join,
}
