//! Opens PostgreSQL connections.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use postgres::Config;
use r2d2::ManageConnection;

use super::admission::Admission;
use super::credentials::{CredentialSource, Credentials};
use super::first_look::FirstLook;
use super::full::WhenFull;
use super::hosts::{Memory, Round};
use super::last_health::LastHealth;
use super::log_in::{LogIn, LogIns};
use super::one_server::Opener;
use super::role;
use super::targets::Targets;
use crate::clock::{Clock, Deadline};
use crate::config::{Destination, Faults, PgBouncer, TargetSessionAttrs, TlsOptions};
use crate::postgres::connection::{PgConnection, StatementCacheStats};
use crate::postgres::error::{OpeningError, PgError};
use crate::postgres::observer::{Opening, Openings, WireState};
use crate::postgres::options::PgOptions;
use crate::postgres::tls::Security;

/// Opens connections to one PostgreSQL server, or to the first of several that will do.
///
/// It is r2d2's [`ManageConnection`] and works in any pool that takes one; [`PgDriver`](crate::postgres::PgDriver)
/// tells tierpool's own pool the rest. Cloning is cheap; clones count together.
///
/// ```
/// use tierpool::postgres::{PgManager, PgOptions};
///
/// let config = "host=db.example user=app password=secret".parse().unwrap();
/// let manager = PgManager::new(config, PgOptions::default()).unwrap();
/// assert!(!format!("{manager:?}").contains("secret"));
/// ```
pub struct PgManager {
    pub(super) targets: Arc<Targets>,
    opener: Opener,
    memory: Arc<Memory>,
    credentials: Option<Arc<CredentialSource>>,
    log_ins: Arc<LogIns>,
    /// `Relaxed` in all uses: a count for people, which orders nothing.
    sessions_repeated: Arc<AtomicU64>,
    health: LastHealth,
    pub(super) first_look: Option<Arc<FirstLook>>,
    pub(super) admission: Option<Arc<dyn Admission>>,
    pub(super) when_full: WhenFull,
    /// Those of the pool that has this manager.
    pub(super) openings: Openings,
}

impl Clone for PgManager {
    fn clone(&self) -> Self {
        PgManager {
            targets: Arc::clone(&self.targets),
            opener: self.opener.clone(),
            memory: Arc::clone(&self.memory),
            credentials: self.credentials.clone(),
            log_ins: Arc::clone(&self.log_ins),
            sessions_repeated: Arc::clone(&self.sessions_repeated),
            // An answer is about the pool that asked as well, whose ad-hoc tier may be closed or used up.
            health: LastHealth::default(),
            first_look: self.first_look.clone(),
            admission: self.admission.clone(),
            when_full: self.when_full,
            // A clone is another pool's, or nobody's.
            openings: Openings::default(),
        }
    }
}

impl PgManager {
    /// Makes a manager; opens nothing yet.
    ///
    /// Where the connection string leaves them open, TCP keepalives are set to 30 s idle, 5 s interval and 3 retries,
    /// and `tcp_user_timeout` to 30 s. A `Config` holds two hours of `keepalives_idle` whether somebody has set them or
    /// not, so two hours count as left open here; a [`PgPool`](crate::PgPool), which reads the connection string
    /// itself, keeps them.
    ///
    /// A notice callback that `config` has been given stays, where it names one server, and so does the driver's own,
    /// which logs what the server writes as it is; [`log_notice`](crate::postgres::log_notice) makes it harmless. With
    /// several servers that one is taken.
    ///
    /// `sslmode` and `sslnegotiation` of the connection string hold with libpq's meanings; anything but `disable` and
    /// `prefer` needs the feature `tls`. For certificates take [`PgManager::with_tls`].
    ///
    /// # Errors
    ///
    /// When settings cannot be used; the error names all of them.
    pub fn new(config: Config, options: PgOptions) -> Result<Self, PgError> {
        PgManager::with_faults(Destination::of_config(config), options, None).map_err(PgError::settings)
    }

    /// Makes a manager as [`PgManager::new`] does, with certificates. Their files are read here, and again when they
    /// have changed.
    ///
    /// The mode of `tls` holds, or `require` where it is weaker and `config` says `require`.
    ///
    /// # Errors
    ///
    /// As [`PgManager::new`]; also for a file that is missing, cannot be read, or holds something else, and for
    /// anything beyond `prefer` without the feature `tls`.
    ///
    /// ```
    /// use tierpool::config::{TlsMode, TlsOptions};
    /// use tierpool::postgres::{PgManager, PgOptions};
    ///
    /// let mut tls = TlsOptions::default();
    /// tls.mode = TlsMode::VerifyFull;
    /// tls.root_cert = Some("/no/such/ca.pem".into());
    /// let config = "host=db.example user=app".parse().unwrap();
    /// let error = PgManager::with_tls(config, PgOptions::default(), &tls).unwrap_err();
    /// assert!(error.to_string().contains("/no/such/ca.pem"));
    /// ```
    pub fn with_tls(config: Config, options: PgOptions, tls: &TlsOptions) -> Result<Self, PgError> {
        PgManager::with_faults(Destination::of_config(config), options, Some(tls)).map_err(PgError::settings)
    }

    pub(in crate::postgres) fn with_faults(
        destination: Destination,
        options: PgOptions,
        tls: Option<&TlsOptions>,
    ) -> Result<Self, Faults> {
        let options = options.completed_by(destination.config());
        let security = Security::new(destination.config(), tls);
        match (Targets::new(destination, &options), security) {
            (Ok(targets), Ok(security)) => Ok(PgManager {
                targets: Arc::new(targets),
                memory: Arc::default(),
                credentials: None,
                log_ins: Arc::new(LogIns::new(Clock::default())),
                sessions_repeated: Arc::default(),
                health: LastHealth::default(),
                first_look: None,
                admission: None,
                when_full: WhenFull::Fails,
                openings: Openings::default(),
                opener: Opener::new(security, options),
            }),
            (targets, security) => {
                let mut faults = targets.err().unwrap_or_default();
                faults.extend(security.err().unwrap_or_default());
                Err(faults)
            }
        }
    }

    /// Has this manager go by what `other` finds out of the server, and the other way round: they lead to the same one.
    pub(in crate::postgres) fn share_findings(&mut self, other: &PgManager) {
        self.opener.share_findings(&other.opener);
    }

    /// Has this manager take turns with others that log in as the same role to the same server.
    pub(in crate::postgres) fn log_in_by(&mut self, log_ins: Arc<LogIns>) {
        self.log_ins = log_ins;
    }

    /// Has the first connection looked at that a pool opens by this manager, or by another with the same look.
    pub(in crate::postgres) fn look_first(&mut self, look: Arc<FirstLook>) {
        self.first_look = Some(look);
    }

    /// Ends the openings of the pool that has this manager, which is closed: those under way and those to come.
    pub(in crate::postgres) fn end_openings(&self) {
        self.openings.end();
        if let Some(admission) = &self.admission {
            admission.end();
        }
        self.log_ins.wake();
    }

    /// What is between this manager and the server, as far as it is known: said by the options, or found when the
    /// first connection was opened. `None` before that.
    pub fn pgbouncer(&self) -> Option<PgBouncer> {
        self.opener.pooler().known()
    }

    /// The options it was made with.
    pub fn options(&self) -> &PgOptions {
        self.opener.options()
    }

    /// Has user and password come from a callback, which is asked anew for each connection; those of the configuration
    /// no longer count. So a rotated password or a short-lived token is taken up without a restart.
    ///
    /// It is called on the thread that opens the connection, with no lock held, by several threads at a time; its time
    /// counts as part of the connect timeout. Clones share it. What it gives is kept for that one connection; an error
    /// of its own is told as it is, so it should not hold a secret.
    ///
    /// Credentials that the server has refused are not tried again for 30 s while they stay the same, so that no
    /// account is locked. Different ones are tried at once, three in a row; from then on every 30 s. Where the role was
    /// let in before, a rotation is taken to be under way: the failure is transient, and callers wait. Where it never
    /// was, the second failure with the same ones is permanent, and all who wait are told at once. Until the server
    /// has let the role in, and after a refusal until it does again, one attempt is made at a time.
    ///
    /// ```
    /// use tierpool::postgres::{Credentials, PgManager, PgOptions};
    ///
    /// let config = "host=db.example user=scraper".parse().unwrap();
    /// let manager = PgManager::new(config, PgOptions::default())
    ///     .unwrap()
    ///     .with_credentials(|| Ok(Credentials::password(std::fs::read_to_string("/run/secrets/db")?.trim())));
    /// # drop(manager);
    /// ```
    pub fn with_credentials(
        self,
        callback: impl Fn() -> Result<Credentials, Box<dyn StdError + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        self.with_source(Arc::new(CredentialSource::new(Box::new(callback))))
    }

    pub(in crate::postgres) fn with_source(mut self, source: Arc<CredentialSource>) -> Self {
        self.credentials = Some(source);
        self
    }

    /// Returns the sums over the statement caches of all connections opened so far.
    pub fn statement_cache_stats(&self) -> StatementCacheStats {
        self.opener.statement_totals().stats()
    }

    pub(in crate::postgres) fn note_session_repeated(&self) {
        self.sessions_repeated.fetch_add(1, Relaxed);
    }

    pub(in crate::postgres) fn sessions_repeated(&self) -> u64 {
        self.sessions_repeated.load(Relaxed)
    }

    pub(in crate::postgres) fn last_health(&self) -> &LastHealth {
        &self.health
    }

    /// The `application_name` that its connections are opened with.
    pub(in crate::postgres) fn application_name(&self) -> Option<&str> {
        self.targets.configs[0].get_application_name()
    }

    /// The role that its connections are opened as, where a callback or the connection string names one.
    pub(in crate::postgres) fn user(&self) -> Option<String> {
        let named = self.credentials.as_ref().and_then(|source| source.user());
        named.or_else(|| self.targets.configs[0].get_user().map(str::to_owned))
    }

    /// Opens a connection within `limit` or the connect timeout, whichever is shorter.
    ///
    /// Several servers are tried in the order of the connection string, or by chance under `load_balance_hosts=random`;
    /// those that failed or were of the wrong kind within the last 30 s come last. A server that refuses user or
    /// password ends it, and is not asked again for 30 s with the same ones, by this manager and its clones: what it
    /// said is told instead. Nor is it asked by two threads at a time before it has let the role in, so that a wrong
    /// password is one log-in, whoever is in need of a connection.
    ///
    /// # Blocking
    ///
    /// Until the start-up handshake is done, the callback for credentials and the wait for one's turn included. Over a
    /// Unix socket only the connect itself is bounded, and looking up a host name takes what the resolver takes.
    ///
    /// # Errors
    ///
    /// That of the server; with several an error whose `source()` names each one tried with its cause. Those of the
    /// callback.
    pub fn connect_within(&self, limit: Duration) -> Result<PgConnection, PgError> {
        self.connect_as_part_of(&Arc::default(), limit)
    }

    pub(super) fn connect_as_part_of(
        &self,
        opening: &Arc<Opening>,
        limit: Duration,
    ) -> Result<PgConnection, PgError> {
        let limit = limit.min(self.options().connect_limit());
        self.log_in(opening, limit, |attempt, limit| {
            let open = |config: &Config, limit| {
                self.opener.open(config, attempt, self.targets.session_attrs, opening, limit)
            };
            Round::new(&self.memory, self.targets.shuffle, opening, &open).run(&self.targets.configs, limit)
        })
    }

    /// Makes one attempt, with the credentials of the callback where there is one, when its turn has come.
    fn log_in(
        &self,
        opening: &Opening,
        limit: Duration,
        open: impl FnOnce(&LogIn<'_>, Duration) -> Result<PgConnection, PgError>,
    ) -> Result<PgConnection, PgError> {
        let (started, deadline) = (Instant::now(), Deadline::of(limit));
        let given = self.credentials.as_ref().map(|source| source.ask()).transpose()?;
        // Without a callback the limit itself, which errors then name.
        let left = if given.is_some() { deadline.left() } else { limit };
        if left.is_zero() && given.is_some() {
            return Err(PgError::opening(OpeningError::CallbackLate(started.elapsed())));
        }
        let attempt = self.log_ins.begin(&self.targets.configs, given.as_ref(), opening, left)?;
        let left = if attempt.has_waited { deadline.left() } else { left };
        match open(&attempt, left) {
            Ok(connection) => {
                if let (Some(source), Some(given)) = (&self.credentials, &given) {
                    source.accepted(given);
                }
                Ok(connection)
            }
            Err(error) => {
                if let Some(refused) = error.refusal() {
                    attempt.refused(refused);
                }
                let is_of_callback = given.is_some() && error.is_refusal();
                Err(if is_of_callback { PgError::opening(OpeningError::Refused(error)) } else { error })
            }
        }
    }

    /// Opens another connection to the server of one, by its origin, whatever that server has become meanwhile.
    pub(in crate::postgres) fn open_beside(
        &self,
        origin: &Config,
        limit: Duration,
    ) -> Result<PgConnection, PgError> {
        let opening = Arc::default();
        self.log_in(&opening, limit, |attempt, limit| {
            let opened = self.opener.open(origin, attempt, TargetSessionAttrs::Any, &opening, limit);
            opened.map(|(connection, _)| connection)
        })
    }

    /// Whether a connection still leads to the kind of server that is wanted, as far as the server has told. It tells
    /// after a statement, and from PostgreSQL 14 on.
    pub(in crate::postgres) fn check_role(&self, connection: &PgConnection) -> Result<(), PgError> {
        match connection.observer().and_then(WireState::changed_role) {
            Some(role) => role::suit(role, self.targets.session_attrs).map(drop),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PgManager {
    /// Shows where it leads and as whom; never a password, and not the start-up options, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = &self.targets.configs[0];
        let hosts: Vec<_> = self
            .targets
            .configs
            .iter()
            .map(|config| (config.get_hosts(), config.get_hostaddrs(), config.get_ports()))
            .collect();
        f.debug_struct("PgManager")
            .field("hosts", &hosts)
            .field("user", &first.get_user())
            .field("dbname", &first.get_dbname())
            .field("application_name", &first.get_application_name())
            .field("session_attrs", &self.targets.session_attrs)
            .field("credentials_from_callback", &self.credentials.is_some())
            .field("options", self.options())
            .finish_non_exhaustive()
    }
}

impl ManageConnection for PgManager {
    type Connection = PgConnection;
    type Error = PgError;

    fn connect(&self) -> Result<PgConnection, PgError> {
        self.connect_within(self.options().connect_limit())
    }

    /// Asks the server, and gives the connection up after the connect timeout.
    fn is_valid(&self, conn: &mut PgConnection) -> Result<(), PgError> {
        conn.ping(self.options().connect_limit())
    }

    /// Called at each checkin. Where it is all that is asked of a connection, one that a handle has acted on is not
    /// worth the wait for what is left of that.
    fn has_broken(&self, conn: &mut PgConnection) -> bool {
        conn.end_lease();
        conn.is_lost() || conn.is_left_by_handles()
    }
}
