//! Opens PostgreSQL connections.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres::Config;
use r2d2::ManageConnection;
use r2d2_postgres::PostgresConnectionManager;

use super::observer::{Connector, Plain};
use super::pooler::{Behind, Pooler, likely_mode};
use super::target::Targets;
use super::{PgConnection, PgError, PgOptions};
use crate::config::{Faults, PgBouncer};

/// Opens connections to one PostgreSQL server, or to the first of several that answers.
///
/// It is r2d2's [`ManageConnection`] and works in any pool that takes one; [`PgDriver`](super::PgDriver) tells
/// tierpool's own pool the rest. Cloning is cheap enough to do per pool: it copies the settings.
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
        Ok(PgManager { targets, options: Arc::new(options), pooler })
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

    /// The `application_name` that its connections are opened with.
    pub(super) fn application_name(&self) -> Option<&str> {
        self.targets.configs[0].get_application_name()
    }

    /// The role that its connections are opened as, where the connection string names one.
    pub(super) fn user(&self) -> Option<&str> {
        self.targets.configs[0].get_user()
    }

    /// Opens a connection within `limit` or the connect timeout, whichever is shorter.
    ///
    /// # Blocking
    ///
    /// Until the start-up handshake is done. Over a Unix socket only the connect itself is bounded, and looking up a
    /// host name takes what the resolver takes.
    ///
    /// # Errors
    ///
    /// Those of the last host tried.
    pub fn connect_within(&self, limit: Duration) -> Result<PgConnection, PgError> {
        let started = Instant::now();
        let limit = limit.min(self.options.connect_timeout);
        let mut order: Vec<_> = self.targets.configs.iter().collect();
        if self.targets.shuffle {
            let random = RandomState::new();
            order.sort_by_cached_key(|config| random.hash_one(std::ptr::from_ref(*config)));
        }
        let mut hosts_left = u32::try_from(order.len()).unwrap_or(u32::MAX);
        let mut last = None;
        for config in order {
            // A share for each, or a first host that swallows packets would keep the others from being tried.
            let share = match last {
                None => limit / hosts_left,
                Some(_) => limit.saturating_sub(started.elapsed()) / hosts_left,
            };
            hosts_left -= 1;
            match self.open(config, share) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| unreachable!("BUG: a manager without a host")))
    }

    /// Opens a connection to one server and sets it up for what is in between.
    fn open(&self, config: &Config, limit: Duration) -> Result<PgConnection, PgError> {
        let started = Instant::now();
        let left = || limit.saturating_sub(started.elapsed());
        let mut mode = self.pooler.known();
        // Behind a pooler only what the connection string asks for: Supabase's takes the project from there.
        let own = match mode {
            None | Some(PgBouncer::Off) => self.options.startup_options(config.get_options()),
            Some(_) => None,
        };
        let may_retry = own.is_some() && !self.pooler.is_said();
        let mut conn = match self.handshake(config, own, limit) {
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
        conn.begin_as_new();
        Ok(conn)
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
    ) -> Result<PgConnection, PgError> {
        let mut config = config.clone();
        if let Some(options) = startup_options {
            config.options(&options);
        }
        let given = config.get_connect_timeout().copied().filter(|given| !given.is_zero());
        config.connect_timeout(given.map_or(limit, |given| given.min(limit)));
        let socket_timeout = self.options.socket_timeout();
        let connector = Connector::new(Plain, limit, socket_timeout);
        let client =
            PostgresConnectionManager::new(config, connector.clone()).connect().map_err(PgError::open)?;
        Ok(PgConnection::new(client, connector.opened(), socket_timeout))
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
