//! Opens PostgreSQL connections.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use postgres::Config;
use r2d2::ManageConnection;
use r2d2_postgres::PostgresConnectionManager;

use super::credentials::CredentialSource;
use super::error::OpeningError;
use super::hosts::{Memory, Round};
use super::observer::{Connector, Plain, Shared};
use super::pooler::{Behind, Pooler, likely_mode};
use super::role::{self, Fit};
use super::statements::{CacheTotals, StatementCache, StatementCacheStats};
use super::target::Targets;
use super::{Credentials, PgConnection, PgError, PgOptions};
use crate::config::{Faults, PgBouncer};

/// Opens connections to one PostgreSQL server, or to the first of several that will do.
///
/// It is r2d2's [`ManageConnection`] and works in any pool that takes one; [`PgDriver`](super::PgDriver) tells
/// tierpool's own pool the rest. Cloning is cheap enough to do per pool: it copies the settings. Clones count together.
///
/// ```
/// use tierpool::postgres::{PgManager, PgOptions};
///
/// let config = "host=db.example user=app password=secret".parse().unwrap();
/// let manager = PgManager::new(config, PgOptions::default()).unwrap();
/// assert!(!format!("{manager:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct PgManager {
    targets: Targets,
    options: Arc<PgOptions>,
    memory: Arc<Memory>,
    credentials: Option<Arc<CredentialSource>>,
    statement_totals: Arc<CacheTotals>,
    /// `Relaxed` in all uses: a count for people, which orders nothing.
    sessions_repeated: Arc<AtomicU64>,
    /// What is in between, for this manager, its clones, and others of the same server.
    pooler: Arc<Pooler>,
}

impl PgManager {
    /// Makes a manager; opens nothing yet.
    ///
    /// Where the connection string leaves them open, TCP keepalives are set to 30 s idle, 5 s interval and 3 retries,
    /// and `tcp_user_timeout` to 30 s.
    ///
    /// # Errors
    ///
    /// When settings cannot be used; the error names all of them.
    pub fn new(config: Config, options: PgOptions) -> Result<Self, PgError> {
        PgManager::with_faults(config, options).map_err(PgError::settings)
    }

    pub(super) fn with_faults(config: Config, options: PgOptions) -> Result<Self, Faults> {
        let targets = Targets::new(config, &options)?;
        let pooler = Pooler::new(options.pgbouncer);
        Ok(PgManager {
            targets,
            options: Arc::new(options),
            memory: Arc::default(),
            credentials: None,
            statement_totals: Arc::default(),
            sessions_repeated: Arc::default(),
            pooler,
        })
    }

    /// Has this manager go by what `other` knows of poolers, and the other way round: they lead to the same server.
    pub(super) fn share_pooler(&mut self, other: &PgManager) {
        self.pooler = Arc::clone(&other.pooler);
    }

    /// What is between this manager and the server, as far as it is known: said by the options, or found when the
    /// first connection was opened. `None` before that.
    pub fn pgbouncer(&self) -> Option<PgBouncer> {
        self.pooler.known()
    }

    /// The options it was made with.
    pub fn options(&self) -> &PgOptions {
        &self.options
    }

    /// Has user and password come from a callback, which is asked anew for each connection; those of the configuration
    /// no longer count. So a rotated password or a short-lived token is taken up without a restart.
    ///
    /// It is called on the thread that opens the connection, with no lock held, by several threads at a time; its time
    /// counts as part of the connect timeout. Clones share it. What it gives is kept for that one connection; an error
    /// of its own is told as it is, so it should not hold a secret.
    ///
    /// Credentials that the server has refused are not tried again for 30 s while they stay the same, so that no
    /// account is locked. Different ones are tried at once, three in a row; from then on every 30 s.
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

    pub(super) fn with_source(mut self, source: Arc<CredentialSource>) -> Self {
        self.credentials = Some(source);
        self
    }

    /// Returns the sums over the statement caches of all connections opened so far.
    pub fn statement_cache_stats(&self) -> StatementCacheStats {
        self.statement_totals.stats()
    }

    pub(super) fn note_session_repeated(&self) {
        self.sessions_repeated.fetch_add(1, Relaxed);
    }

    pub(super) fn sessions_repeated(&self) -> u64 {
        self.sessions_repeated.load(Relaxed)
    }

    /// The `application_name` that its connections are opened with.
    pub(super) fn application_name(&self) -> Option<&str> {
        self.targets.configs[0].get_application_name()
    }

    /// The role that its connections are opened as, where a callback or the connection string names one.
    pub(super) fn user(&self) -> Option<String> {
        let named = self.credentials.as_ref().and_then(|source| source.user());
        named.or_else(|| self.targets.configs[0].get_user().map(str::to_owned))
    }

    /// Opens a connection within `limit` or the connect timeout, whichever is shorter.
    ///
    /// Several servers are tried in the order of the connection string, or by chance under `load_balance_hosts=random`;
    /// those that failed or were of the wrong kind within the last 30 s come last. A server that refuses user or
    /// password ends it.
    ///
    /// # Blocking
    ///
    /// Until the start-up handshake is done, the callback for credentials included. Over a Unix socket only the
    /// connect itself is bounded, and looking up a host name takes what the resolver takes.
    ///
    /// # Errors
    ///
    /// That of the server; with several an error whose `source()` names each one tried with its cause. Those of the
    /// callback.
    pub fn connect_within(&self, limit: Duration) -> Result<PgConnection, PgError> {
        let started = Instant::now();
        let limit = limit.min(self.options.connect_timeout);
        let given = self.credentials.as_ref().map(|source| source.ask()).transpose()?;
        let left = if given.is_some() { limit.saturating_sub(started.elapsed()) } else { limit };
        if left.is_zero() && given.is_some() {
            return Err(PgError::opening(OpeningError::CallbackLate(started.elapsed())));
        }
        let credentials = given.as_ref().map(|given| &given.credentials);
        let open = |config: &Config, limit| self.open(config, credentials, limit);
        let round = Round::new(&self.memory, self.targets.shuffle, &open);
        let outcome = round.run(&self.targets.configs, left);
        let (Some(source), Some(given)) = (&self.credentials, &given) else { return outcome };
        match outcome {
            Ok(connection) => {
                source.accepted(given);
                Ok(connection)
            }
            Err(error) if error.is_refusal() => {
                source.refused(given);
                Err(PgError::opening(OpeningError::Refused(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a connection still leads to the kind of server that is wanted, as far as the server has told. It tells
    /// after a statement, and from PostgreSQL 14 on.
    pub(super) fn check_role(&self, connection: &PgConnection) -> Result<(), PgError> {
        match connection.observer().and_then(Shared::changed_role) {
            Some(role) => role::recheck(role, self.targets.session_attrs),
            None => Ok(()),
        }
    }

    /// Opens a connection to one server and sets it up for what is in between.
    fn open(
        &self,
        config: &Config,
        credentials: Option<&Credentials>,
        limit: Duration,
    ) -> Result<(PgConnection, Fit), PgError> {
        let mut config = config.clone();
        if let Some(credentials) = credentials {
            credentials.put_into(&mut config);
        }
        let config = &config;
        let started = Instant::now();
        let left = || limit.saturating_sub(started.elapsed());
        let mut mode = self.pooler.known();
        // Behind a pooler only what the connection string asks for: Supabase's takes the project from there.
        let own = match mode {
            None | Some(PgBouncer::Off) => self.options.startup_options(config.get_options()),
            Some(_) => None,
        };
        let may_retry = own.is_some() && !self.pooler.is_said();
        let (mut conn, fit) = match self.handshake(config, own, limit) {
            Err(error) if may_retry && error.is_startup_option_refused() => {
                mode = Some(self.pooler_found(config, "it takes no start-up options"));
                self.handshake(config, None, left())?
            }
            outcome => outcome?,
        };
        let mode = match mode {
            Some(mode) => mode,
            None => match conn.find_pooler(left())? {
                Some(clue) => self.pooler_found(config, clue),
                None => {
                    self.pooler.found(PgBouncer::Off, "", &self.options);
                    PgBouncer::Off
                }
            },
        };
        conn.settle_behind(Behind::new(mode, config, &self.options), left())?;
        if conn.is_transaction_pooled() && !self.pooler.is_said() {
            conn.keep_no_statements();
        }
        conn.begin_as_new();
        Ok((conn, fit))
    }

    fn pooler_found(&self, config: &Config, clue: &str) -> PgBouncer {
        let mode = likely_mode(config);
        self.pooler.found(mode, clue, &self.options);
        mode
    }

    /// Connects, with other start-up options than those of the connection string where some are given.
    fn handshake(
        &self,
        config: &Config,
        startup_options: Option<String>,
        limit: Duration,
    ) -> Result<(PgConnection, Fit), PgError> {
        let mut config = config.clone();
        if let Some(options) = startup_options {
            config.options(&options);
        }
        let given = config.get_connect_timeout().copied().filter(|given| !given.is_zero());
        config.connect_timeout(given.map_or(limit, |given| given.min(limit)));
        let socket_timeout = self.options.socket_timeout();
        let connector = Connector::new(Plain, limit, socket_timeout);
        let mut client =
            PostgresConnectionManager::new(config, connector.clone()).connect().map_err(PgError::open)?;
        // Before the opening ends, so that its limit holds for this too.
        let fit = role::check(&mut client, self.targets.session_attrs);
        let statements =
            StatementCache::new(self.options.statement_cache_size, Arc::clone(&self.statement_totals));
        let connection = PgConnection::new(client, connector.opened(), socket_timeout, statements);
        Ok((connection, fit?))
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
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl ManageConnection for PgManager {
    type Connection = PgConnection;
    type Error = PgError;

    fn connect(&self) -> Result<PgConnection, PgError> {
        self.connect_within(self.options.connect_timeout)
    }

    /// Asks the server, and gives the connection up after the connect timeout.
    fn is_valid(&self, conn: &mut PgConnection) -> Result<(), PgError> {
        conn.ping(self.options.connect_timeout)
    }

    fn has_broken(&self, conn: &mut PgConnection) -> bool {
        conn.is_lost()
    }
}
