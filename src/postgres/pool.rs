//! The two-tier pool of PostgreSQL connections, and sessions on it.

use super::{PgError, PgManager, Session, SessionOptions, run_session};
use crate::tiers::{Tier, TieredPool};

/// A [`TieredPool`] of PostgreSQL connections.
///
/// [`PgPool::from_env`], [`PgPool::connect`] and [`PgPool::configure`] make one. Its connections deref to
/// [`postgres::Client`].
pub type PgPool = TieredPool<PgManager>;

impl TieredPool<PgManager> {
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
