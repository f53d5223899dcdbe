//! Whether the server answers.

use std::time::{Duration, Instant};

use postgres::Client;

use super::ask::{Rights, ask_over, ask_with, lends, limit};
use crate::error::ErrorKind;
use crate::pool::Pool;
use crate::postgres::error::PgError;
use crate::postgres::open::{PgManager, ServerHealth};
use crate::text::Time;
use crate::tiers::{Answer, Asked, Asker, TieredPool};

/// What the connection of a question is tagged with.
const TAG: &str = "health check";

/// A good answer, in short.
const ANSWERED: &str = "the database answered a check";

/// One round trip, and how long it took.
fn trip(client: &mut Client) -> Result<Duration, postgres::Error> {
    let asked = Instant::now();
    client.simple_query("SELECT 1")?;
    Ok(asked.elapsed())
}

fn answered(latency: Duration) -> String {
    format!("the server answered in {}", Time(latency))
}

fn ask_server(pool: &TieredPool<PgManager>) -> ServerHealth {
    let started = Instant::now();
    match ask_with(pool, Rights::Any, TAG, trip) {
        Ok(latency) => ServerHealth::new(true, answered(latency), latency),
        Err(error) => ServerHealth::new(false, error.to_string(), started.elapsed()),
    }
}

/// Whether the server answers, for a probe: asked as [`ask_with`] does, or through automation where ad-hoc has no
/// connection to ask with. Nothing where neither has one, which is no fault of the server's.
fn probed(pool: &TieredPool<PgManager>) -> Asked {
    let Some(tier) = [pool.adhoc(), pool.automation()].into_iter().find(|tier| lends(tier)) else {
        return Asked::NoConnection;
    };
    let is_of_people = std::ptr::eq(tier, pool.adhoc());
    let found = if is_of_people {
        ask_with(pool, Rights::Any, TAG, trip)
    } else {
        ask_over(tier, limit(pool), TAG, trip)
    };
    match found {
        Ok(latency) => Asked::Found(Answer { healthy: true, message: answered(latency), brief: ANSWERED }),
        Err(error) if is_crowded_out(tier, &error) => Asked::NoConnection,
        Err(error) => {
            Asked::Found(Answer { healthy: false, message: error.to_string(), brief: brief(&error) })
        }
    }
}

/// Whether others were quicker: they have what there was when the question was begun.
fn is_crowded_out(tier: &Pool<PgManager>, error: &PgError) -> bool {
    error.as_checkout().is_some_and(|error| match error.kind() {
        ErrorKind::QueueFull => true,
        ErrorKind::Timeout | ErrorKind::Exhausted | ErrorKind::WouldDeadlock => !lends(tier),
        _ => false,
    })
}

/// What a `PgPool` finds for whoever has the server asked.
pub(in crate::postgres) fn answer(pool: &TieredPool<PgManager>, asker: Asker) -> Asked {
    match asker {
        Asker::Probe => probed(pool),
        Asker::Person => {
            let ServerHealth { healthy, message, .. } = pool.check_health(false);
            let brief = if healthy { ANSWERED } else { "the database could not be asked" };
            Asked::Found(Answer { healthy, message, brief })
        }
    }
}

/// The class of a failed question, in words that name neither a server nor a caller.
fn brief(error: &PgError) -> &'static str {
    match error.as_checkout() {
        Some(checkout) if checkout.is_closed() => "the pool has been closed",
        Some(checkout) if checkout.is_circuit_open() => "the circuit breaker is open",
        Some(checkout) if checkout.is_connect_failed() => "no connection can be opened",
        Some(_) => "no connection was to be had in time",
        None if error.is_client_timeout() => "the database did not answer in time",
        None if error.sqlstate().is_some() => "the database refused the check",
        None => "the connection to the database broke",
    }
}

impl TieredPool<PgManager> {
    /// Checks whether the server answers: one `SELECT 1` through the ad-hoc tier. In a fleet it goes by way of a
    /// connection that automation has idle, where there is one, so that it takes none of the slots for people.
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
