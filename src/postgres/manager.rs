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
use super::target::Targets;
use super::{PgConnection, PgError, PgOptions};
use crate::config::Faults;

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
        Ok(PgManager { targets, options: Arc::new(options) })
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

    fn open(&self, config: &Config, limit: Duration) -> Result<PgConnection, PgError> {
        let mut config = config.clone();
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
