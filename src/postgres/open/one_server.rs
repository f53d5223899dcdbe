//! Opening one connection to one server: by what `sslmode` allows in turn, and set up for what is in between.

use std::sync::Arc;
use std::time::Duration;

use postgres::Config;
use postgres::config::SslMode;
use r2d2::ManageConnection;
use r2d2_postgres::PostgresConnectionManager;

use super::exposed::Exposed;
use super::log_in::LogIn;
use super::role::{self, Fit};
use crate::clock::Deadline;
use crate::config::{PgBouncer, TargetSessionAttrs};
use crate::postgres::connection::{
    Behind, CacheTotals, FirstCall, PgConnection, Pooler, StatementCache, likely_mode,
};
use crate::postgres::error::{OpeningError, PgError};
use crate::postgres::observer::{Connector, Opening};
use crate::postgres::options::PgOptions;
use crate::postgres::tls::{Secure, Security};

/// Opens connections to one server at a time. Clones count together, and know the same of poolers.
#[derive(Clone)]
pub(super) struct Opener {
    security: Security,
    options: Arc<PgOptions>,
    statement_totals: Arc<CacheTotals>,
    /// What is in between, for this one, its clones, and others that lead to the same server.
    pooler: Arc<Pooler>,
    /// Of which hosts it was told that others can read along.
    exposed: Arc<Exposed>,
}

impl Opener {
    pub fn new(security: Security, options: PgOptions) -> Self {
        Opener {
            security,
            statement_totals: Arc::default(),
            pooler: Pooler::new(options.pgbouncer),
            exposed: Arc::default(),
            options: Arc::new(options),
        }
    }

    /// Has both find out, and tell, once what is so of the server that both lead to.
    pub fn share_findings(&mut self, other: &Opener) {
        self.pooler = Arc::clone(&other.pooler);
        self.exposed = Arc::clone(&other.exposed);
    }

    pub fn options(&self) -> &PgOptions {
        &self.options
    }

    pub fn pooler(&self) -> &Pooler {
        &self.pooler
    }

    pub fn statement_totals(&self) -> &CacheTotals {
        &self.statement_totals
    }

    /// Opens a connection to one server, which must be of the kind `wanted`, and sets it up for what is in between.
    /// Tells the attempt as soon as its role is let in.
    pub fn open(
        &self,
        config: &Config,
        attempt: &LogIn<'_>,
        wanted: TargetSessionAttrs,
        opening: &Arc<Opening>,
        limit: Duration,
    ) -> Result<(PgConnection, Fit), PgError> {
        // Without the credentials of a callback, which are asked for anew.
        let origin = Arc::new(config.clone());
        let mut config = config.clone();
        if let Some(credentials) = attempt.credentials {
            credentials.put_into(&mut config);
        }
        let config = &config;
        let deadline = Deadline::of(limit);
        let mut mode = self.pooler.known();
        // Behind a pooler only what the connection string asks for: Supabase's takes the project from there.
        let own = match mode {
            None | Some(PgBouncer::Off) => self.options.startup_options(config.get_options()),
            Some(_) => None,
        };
        let may_retry = own.is_some() && !self.pooler.is_said();
        let mut conn = match self.connect_either_way(config, own, &origin, opening, limit) {
            Err(error) if may_retry && error.is_startup_option_refused() => {
                mode = Some(self.pooler_found(config, "it takes no start-up options"));
                self.connect_either_way(config, None, &origin, opening, deadline.left())?
            }
            outcome => outcome?,
        };
        attempt.let_in();
        let behind = |mode| Behind::new(mode, config, &self.options);
        let set = mode.and_then(|mode| behind(mode).first_set());
        let first =
            FirstCall { role: role::question(wanted), who_serves: mode.is_none(), set: set.as_deref() };
        let told = conn.begin_with(&first, deadline.left())?;
        let fit = role::fit(told.role.as_ref(), wanted)?;
        let is_found_now = mode.is_none();
        let mode = match (mode, told.pooler) {
            (Some(mode), _) => mode,
            (None, Some(clue)) => self.pooler_found(config, clue),
            (None, None) => {
                self.pooler.found(PgBouncer::Off, "", &self.options);
                PgBouncer::Off
            }
        };
        conn.set_behind(behind(mode));
        // The server has answered; what it is to be set could not be known before.
        let set = behind(mode).first_set().filter(|set| is_found_now && !set.is_empty());
        if set.is_some() {
            let second = FirstCall { role: None, who_serves: false, set: set.as_deref() };
            conn.begin_with(&second, deadline.left())?;
        }
        if conn.is_transaction_pooled() {
            conn.keep_no_statements(self.pooler.is_said());
        }
        conn.begin_as_new();
        Ok((conn, fit))
    }

    fn pooler_found(&self, config: &Config, clue: &str) -> PgBouncer {
        let mode = likely_mode(config);
        self.pooler.found(mode, clue, &self.options);
        mode
    }

    /// Connects, with other start-up options than those of the connection string where some are given, and by the ways
    /// that `sslmode` allows in turn.
    fn connect_either_way(
        &self,
        config: &Config,
        startup_options: Option<String>,
        origin: &Arc<Config>,
        opening: &Arc<Opening>,
        limit: Duration,
    ) -> Result<PgConnection, PgError> {
        let deadline = Deadline::of(limit);
        let mut config = config.clone();
        if let Some(options) = startup_options {
            config.options(&options);
        }
        // Over a Unix socket there is nothing to choose from.
        let ways = if config.get_ssl_mode() == SslMode::Disable { 1 } else { usize::MAX };
        let mut first = None;
        for secure in self.security.attempts().into_iter().take(ways) {
            let left = if first.is_none() { limit } else { deadline.left() };
            match (self.handshake(config.clone(), secure, origin, opening, left), first.take()) {
                (Err(error), None) if error.is_of_encryption() => first = Some(error),
                // Neither way: the one preferred says more.
                (Err(error), Some(preferred)) if error.is_of_encryption() => return Err(preferred),
                (outcome, _) => return outcome,
            }
        }
        Err(first.unwrap_or_else(|| unreachable!("BUG: no way to open a connection")))
    }

    fn handshake(
        &self,
        mut config: Config,
        secure: Secure,
        origin: &Arc<Config>,
        opening: &Arc<Opening>,
        limit: Duration,
    ) -> Result<PgConnection, PgError> {
        // Before there is a socket nothing but its own limit ends an attempt.
        if opening.is_over() {
            return Err(PgError::opening(OpeningError::PoolClosed));
        }
        let given = config.get_connect_timeout().copied().filter(|given| !given.is_zero());
        config.connect_timeout(given.map_or(limit, |given| given.min(limit)));
        let socket_timeout = self.options.socket_timeout();
        let connector = Connector::new(secure.clone(), limit, socket_timeout)
            .slow_query(self.options.slow_query.filter(|limit| !limit.is_zero()))
            .query_times(self.options.query_times)
            .part_of(opening);
        let client = PostgresConnectionManager::new(config.clone(), connector.clone())
            .connect()
            .map_err(|error| PgError::log_in(error, &config))?;
        self.exposed.look(&config, self.security.mode(), secure.is_encrypted());
        let statements =
            StatementCache::new(self.options.statement_cache_size, Arc::clone(&self.statement_totals));
        let observer = connector.opened();
        if observer.as_ref().is_some_and(|observer| observer.status() != b'I') {
            return Err(PgError::not_idle("at the beginning of a session"));
        }
        let origin = Arc::clone(origin);
        Ok(PgConnection::new(client, observer, secure, socket_timeout, statements, origin))
    }
}
