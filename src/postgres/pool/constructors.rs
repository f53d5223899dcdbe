//! How a program comes by a pool.

use super::builder::PgBuilder;
use super::pg_pool::PgPool;
use crate::config::{ConnectionString, PgSettings};
use crate::error::Error;

impl PgPool {
    /// Builds a pool from the environment; see [`PgBuilder::build`].
    ///
    /// # Errors
    ///
    /// As [`PgBuilder::build`].
    pub fn from_env() -> Result<PgPool, Error> {
        PgPool::builder().build()
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
        PgPool::builder().url(url).build()
    }

    /// Builds a pool from settings loaded before.
    ///
    /// # Errors
    ///
    /// As [`PgBuilder::build`].
    pub fn from_settings(settings: PgSettings) -> Result<PgPool, Error> {
        PgPool::builder().build_from(settings)
    }

    /// Returns the builder of PostgreSQL pools, over environment, connection string and profile.
    ///
    /// For two tiers of managers of one's own there is [`TieredPool::builder`](crate::TieredPool::builder), whose pool
    /// becomes a `PgPool` by `from`.
    ///
    /// ```no_run
    /// let pool = tierpool::PgPool::builder().app_name("scraper").base_size(20).build()?;
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn builder() -> PgBuilder {
        PgBuilder::new()
    }

    /// Returns a builder, as [`PgPool::builder`] does.
    #[deprecated(since = "0.1.0", note = "use `PgPool::builder`, which is the same")]
    pub fn configure() -> PgBuilder {
        PgPool::builder()
    }
}
