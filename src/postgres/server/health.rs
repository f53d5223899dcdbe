//! Whether the server answers.

use std::time::Instant;

use super::ask::{ask, limit};
use crate::postgres::open::{PgManager, ServerHealth};
use crate::text::Time;
use crate::tiers::TieredPool;

fn ask_server(pool: &TieredPool<PgManager>) -> ServerHealth {
    let started = Instant::now();
    let outcome = ask(pool, "health check", |client| {
        let asked = Instant::now();
        client.simple_query("SELECT 1")?;
        Ok(asked.elapsed())
    });
    match outcome {
        Ok(latency) => ServerHealth::new(true, format!("the server answered in {}", Time(latency)), latency),
        Err(error) => ServerHealth::new(false, error.to_string(), started.elapsed()),
    }
}

impl TieredPool<PgManager> {
    /// Checks whether the server answers: one `SELECT 1` through the ad-hoc tier.
    ///
    /// The answer is kept and passed on: 60 s long when the server answered, 5 s when it did not, so that a recovery
    /// shows soon. `checked_at` tells its age; `force` asks anew. Of many callers at once one asks, and the others get
    /// its answer, also with `force`. Clones of a pool share the answer.
    ///
    /// A server that could not be asked is not healthy, and the message names the cause: the error of the attempt to
    /// connect, a circuit breaker that is open, an ad-hoc tier whose connections are all out, with their holders.
    ///
    /// # Blocking
    ///
    /// At most `inquiry_timeout` ([`PgBuilder::inquiry_timeout`](crate::PgBuilder::inquiry_timeout), default 5 s) and
    /// 100 ms, also on a frozen server and over a Unix socket. No lock is held while the server is asked.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let pool = tierpool::PgPool::from_env()?;
    /// let health = pool.check_health(false);
    /// if !health.healthy {
    ///     eprintln!("database: {health}");
    /// }
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    #[track_caller]
    pub fn check_health(&self, force: bool) -> ServerHealth {
        let adhoc = self.adhoc();
        adhoc.manager().last_health().check(adhoc.clock(), limit(self), force, || ask_server(self))
    }
}
