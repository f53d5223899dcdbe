//! The two-tier pool of PostgreSQL connections.

use std::fmt;
use std::ops::Deref;

use crate::postgres::connection::StatementCacheStats;
use crate::postgres::open::PgManager;
use crate::postgres::server::answer;
use crate::stats::FleetStatus;
use crate::tiers::{Tier, TieredPool};

/// A [`TieredPool`] of PostgreSQL connections: cheap to clone, and all clones are the same pool.
///
/// [`PgPool::from_env`], [`PgPool::connect`] and [`PgPool::builder`] make one. Its connections deref to
/// [`postgres::Client`], and it derefs to [`TieredPool`], which has the rest of what it can do; functions that take a
/// `&TieredPool` take a `&PgPool` too.
///
/// Two tiers of managers made by hand become one by `PgPool::from`:
///
/// ```
/// use tierpool::postgres::{PgManager, PgOptions};
/// use tierpool::{PgPool, TieredPool};
///
/// let manager = PgManager::new("host=db.example user=app".parse()?, PgOptions::default())?;
/// let pool = PgPool::from(TieredPool::builder().build_unchecked(|_| manager.clone())?); // opens nothing yet
/// assert_eq!(pool.total_connections(), 60);
/// assert!(!pool.get_database_stats().is_healthy, "nobody has seen the server yet");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias("create_engine", "create_pool", "QueuePool", "HikariDataSource", "pgxpool"))]
#[derive(Clone)]
pub struct PgPool(TieredPool<PgManager>);

impl Deref for PgPool {
    type Target = TieredPool<PgManager>;

    fn deref(&self) -> &TieredPool<PgManager> {
        &self.0
    }
}

impl From<TieredPool<PgManager>> for PgPool {
    fn from(pool: TieredPool<PgManager>) -> Self {
        PgPool(pool.with_question(answer).with_fleet(TieredPool::fleet_status))
    }
}

impl From<PgPool> for TieredPool<PgManager> {
    fn from(pool: PgPool) -> Self {
        pool.0
    }
}

impl fmt::Debug for PgPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PgPool").field(&self.0).finish()
    }
}

impl TieredPool<PgManager> {
    /// Returns the sums over the statement caches of all connections that a tier has opened so far.
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// use tierpool::Tier;
    ///
    /// let cache = pool.statement_cache_stats(Tier::Automation);
    /// println!("{} of {} calls prepared", cache.misses, cache.hits + cache.misses);
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn statement_cache_stats(&self, tier: Tier) -> StatementCacheStats {
        self.tier(tier).manager().statement_cache_stats()
    }

    /// Returns what the pool knows of its fleet, from its last question to the server, which is a second old at the
    /// most while it has connections at hand; `None` where it is part of none. Asks nobody, and takes no time.
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// if let Some(fleet) = pool.fleet_status() {
    ///     println!("{fleet}");
    /// }
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn fleet_status(&self) -> Option<FleetStatus> {
        // In a child process somebody who is not there may hold what it would wait for.
        if self.automation().is_inherited() { None } else { self.automation().manager().fleet_status() }
    }
}
