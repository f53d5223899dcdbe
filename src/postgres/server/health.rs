//! Whether the server answers, asked once for all who want to know.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::ask::{ask, limit};
use crate::clock::end_of;
use crate::postgres::open::PgManager;
use crate::postgres::pool::PgPool;
use crate::tiers::TieredPool;

/// How long the answer of a healthy server is passed on.
const HEALTHY_FOR: Duration = Duration::from_secs(60);

/// How long a failure is passed on: so short that a recovery shows soon, so long that many probes of a server that is
/// down do not add up to a load, and do not each wait for the limit.
const UNHEALTHY_FOR: Duration = Duration::from_secs(5);

/// What a caller may wait beyond the limit of the check that is under way, which gives its answer out a little later.
const GRACE: Duration = Duration::from_millis(20);

/// Whether the server answers, by [`PgPool::check_health`](crate::PgPool::check_health).
///
/// `Display` is the message. [`report::Health`](crate::report::Health) is something else: it judges how full a tier is,
/// and asks nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ServerHealth {
    /// Whether the server answered.
    pub healthy: bool,
    /// What was found, in one line; of a failure, its cause.
    pub message: String,
    /// How long the server took to answer, the checkout not included. Of a failure: how long it took to fail.
    pub latency: Duration,
    /// When the check ended.
    pub checked_at: SystemTime,
}

impl fmt::Display for ServerHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The last answer for one pool and its clones, and whether somebody is asking for the next.
#[derive(Default)]
struct Checks {
    /// Held to read and to store, never while the server is asked.
    state: Mutex<State>,
    /// Told when a check has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// The last answer, and when it came, in milliseconds by the pool's clock.
    last: Option<(ServerHealth, u64)>,
    is_asking: bool,
    /// Checks ended, by which a waiter tells that one has.
    ended: u64,
}

impl State {
    fn fresh(&self, now_ms: u64) -> Option<&ServerHealth> {
        let (health, at) = self.last.as_ref()?;
        let limit = if health.healthy { HEALTHY_FOR } else { UNHEALTHY_FOR };
        (u128::from(now_ms.saturating_sub(*at)) < limit.as_millis()).then_some(health)
    }
}

/// The right to ask; lets the next one ask when it ends, also by a panic.
struct Asking<'a>(&'a Checks);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_asking = false;
        state.ended += 1;
        self.0.ended.notify_all();
    }
}

impl Checks {
    fn check(&self, pool: &PgPool, force: bool) -> ServerHealth {
        let clock = &pool.adhoc().shared().clock;
        let started = Instant::now();
        let end = end_of(limit(pool).saturating_add(GRACE));
        let mut state = self.state.lock();
        if let Some(health) = state.fresh(clock.precise_ms()).filter(|_| !force) {
            return health.clone();
        }
        let ended_before = state.ended;
        while state.is_asking {
            let timed_out = self.ended.wait_until(&mut state, end).timed_out();
            if state.ended != ended_before
                && let Some((health, _)) = &state.last
            {
                return health.clone();
            }
            if timed_out {
                let message = "not known: another thread's check has not ended in time".to_owned();
                return ServerHealth::new(false, message, started.elapsed());
            }
        }
        state.is_asking = true;
        drop(state);
        let asking = Asking(self);
        let health = ask_server(pool);
        self.state.lock().last = Some((health.clone(), clock.precise_ms()));
        drop(asking);
        health
    }
}

impl ServerHealth {
    fn new(healthy: bool, message: String, latency: Duration) -> Self {
        ServerHealth { healthy, message, latency, checked_at: SystemTime::now() }
    }
}

fn ask_server(pool: &PgPool) -> ServerHealth {
    let started = Instant::now();
    let outcome = ask(pool, "health check", |client| {
        let asked = Instant::now();
        client.simple_query("SELECT 1")?;
        Ok(asked.elapsed())
    });
    match outcome {
        Ok(latency) => ServerHealth::new(true, format!("the server answered in {latency:.1?}"), latency),
        Err(error) => ServerHealth::new(false, error.in_one_line(), started.elapsed()),
    }
}

impl TieredPool<PgManager> {
    /// Checks whether the server answers: one `SELECT 1` through the ad-hoc tier.
    ///
    /// The answer is kept and passed on: 60 s long when the server answered, 5 s when it did not, so that a recovery
    /// shows soon. `checked_at` tells its age; `force` asks anew. Of many callers at once one asks, and the others
    /// get its answer, also with `force`. Clones of a pool share the answer.
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
        self.attached::<Checks>().check(self, force)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_passed_on_for_less_long() {
        let fresh = |healthy, age_ms: u64| {
            let health = ServerHealth::new(healthy, String::new(), Duration::ZERO);
            State { last: Some((health, 1_000)), ..State::default() }.fresh(1_000 + age_ms).is_some()
        };
        assert!(fresh(true, 59_999) && !fresh(true, 60_000));
        assert!(fresh(false, 4_999) && !fresh(false, 5_000));
    }
}
