//! The two-tier pool of PostgreSQL connections, and sessions on it.

use super::{PgBuilder, PgError, PgManager, Session, SessionOptions, run_session};
use crate::config::{ConnectionString, PgSettings};
use crate::error::Error;
use crate::tiers::{Tier, TieredPool};

/// A [`TieredPool`] of PostgreSQL connections.
///
/// [`PgPool::from_env`], [`PgPool::connect`] and [`PgPool::configure`] make one. Its connections deref to
/// [`postgres::Client`].
pub type PgPool = TieredPool<PgManager>;

impl TieredPool<PgManager> {
    /// Builds a pool from the environment; see [`PgBuilder::build`].
    ///
    /// # Errors
    ///
    /// As [`PgBuilder::build`].
    pub fn from_env() -> Result<PgPool, Error> {
        PgBuilder::new().build()
    }

    /// Builds a pool for the server of a connection string; its other settings come from the environment and from
    /// the string's parameters.
    ///
    /// # Errors
    ///
    /// As [`PgBuilder::build`].
    ///
    /// ```no_run
    /// let pool = tierpool::PgPool::connect("postgresql://app:hush@localhost/news?pool_timeout=10")?;
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn connect(url: impl Into<ConnectionString>) -> Result<PgPool, Error> {
        PgBuilder::new().url(url).build()
    }

    /// Builds a pool from settings loaded before.
    ///
    /// # Errors
    ///
    /// As [`PgBuilder::build`].
    pub fn from_settings(settings: PgSettings) -> Result<PgPool, Error> {
        PgBuilder::new().build_from(settings)
    }

    /// Returns a builder.
    pub fn configure() -> PgBuilder {
        PgBuilder::new()
    }

    /// Runs `work` in a transaction on an automation connection: COMMIT when it returns `Ok`, ROLLBACK when it
    /// returns `Err` or panics. See [`run_session`] for what may block and what the errors mean.
    ///
    /// # Errors
    ///
    /// Those of `work`, as they are. As a [`PgError`]: no connection could be had ([`PgError::as_checkout`]), BEGIN
    /// or COMMIT failed.
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// use tierpool::PgError;
    ///
    /// let added = pool.session(|tx| tx.execute("INSERT INTO pages VALUES ('x')", &[]))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn session<T, E: From<PgError>>(
        &self,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.session_with(Tier::Automation, &SessionOptions::new(), work)
    }

    /// As [`PgPool::session`](TieredPool::session), on a connection of either tier and with options.
    ///
    /// # Errors
    ///
    /// As [`PgPool::session`](TieredPool::session).
    #[track_caller]
    pub fn session_with<T, E: From<PgError>>(
        &self,
        tier: Tier,
        options: &SessionOptions,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut conn = self.get(tier).map_err(PgError::from)?;
        if let Some(tag) = options.given_tag() {
            conn.tag(tag);
        }
        run_session(&mut conn, options, work)
    }
}
