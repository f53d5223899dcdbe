//! The last answer to whether the server is healthy, asked for once for all who want to know.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use crate::clock::{Clock, Deadline};

/// How long the answer of a healthy server is passed on.
const HEALTHY_FOR: Duration = Duration::from_secs(60);

/// How long a failure is passed on: so short that a recovery shows soon, so long that many probes of a server that is
/// down do not add up to a load, and do not each wait for the limit.
const UNHEALTHY_FOR: Duration = Duration::from_secs(5);

/// What a caller may wait beyond the limit of the check that is under way, which gives its answer out a little later.
const GRACE: Duration = Duration::from_millis(20);

/// Whether the server answers, by [`PgPool::check_health`](crate::TieredPool::check_health).
///
/// `Display` is the message. [`report::Health`](crate::report::Health) is something else: the verdict of the status box
/// with the load, for which nobody is asked.
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

/// The last answer, for the pool of a manager, and whether somebody is asking for the next.
#[derive(Default)]
pub(in crate::postgres) struct LastHealth {
    /// Held to read and to store, never while the server is asked.
    state: Mutex<Checks>,
    /// Told when a check has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Checks {
    last: Option<Answer>,
    is_asking: bool,
    /// Checks ended, by which a waiter tells that one has.
    ended: u64,
}

/// An answer, and when it came, by the clock of the pool that asked.
struct Answer {
    health: ServerHealth,
    at: Duration,
}

impl Answer {
    fn is_fresh(&self, now: Duration) -> bool {
        let limit = if self.health.healthy { HEALTHY_FOR } else { UNHEALTHY_FOR };
        now.saturating_sub(self.at) < limit
    }
}

/// The right to ask; lets the next one ask when it ends, also by a panic.
struct Asking<'a>(&'a LastHealth);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_asking = false;
        state.ended += 1;
        self.0.ended.notify_all();
    }
}

impl LastHealth {
    /// The last answer where it is fresh enough and `force` does not ask for another; else that of `ask`, which takes
    /// at most `limit` and is called by one thread at a time. Times of answers are by `clock`.
    pub fn check(
        &self,
        clock: &Clock,
        limit: Duration,
        force: bool,
        ask: impl FnOnce() -> ServerHealth,
    ) -> ServerHealth {
        let started = Instant::now();
        let end = Deadline::of(limit.saturating_add(GRACE));
        let mut state = self.state.lock();
        if let Some(answer) = state.last.as_ref().filter(|answer| !force && answer.is_fresh(clock.elapsed()))
        {
            return answer.health.clone();
        }
        let ended_before = state.ended;
        while state.is_asking {
            let timed_out = self.ended.wait_until(&mut state, end.instant()).timed_out();
            if state.ended != ended_before
                && let Some(answer) = &state.last
            {
                return answer.health.clone();
            }
            if timed_out {
                let message = "not known: another thread's check has not ended in time".to_owned();
                return ServerHealth::new(false, message, started.elapsed());
            }
        }
        state.is_asking = true;
        drop(state);
        let asking = Asking(self);
        let health = ask();
        self.state.lock().last = Some(Answer { health: health.clone(), at: clock.elapsed() });
        drop(asking);
        health
    }
}

impl ServerHealth {
    pub(in crate::postgres) fn new(healthy: bool, message: String, latency: Duration) -> Self {
        ServerHealth { healthy, message, latency, checked_at: SystemTime::now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_passed_on_for_less_long() {
        let (clock, hand) = Clock::manual();
        let answer = |healthy| {
            let health = ServerHealth::new(healthy, String::new(), Duration::ZERO);
            Answer { health, at: clock.elapsed() }
        };
        let (good, bad) = (answer(true), answer(false));
        hand.advance(Duration::from_millis(4_999));
        assert!(good.is_fresh(clock.elapsed()) && bad.is_fresh(clock.elapsed()));
        hand.advance(Duration::from_millis(1));
        assert!(good.is_fresh(clock.elapsed()) && !bad.is_fresh(clock.elapsed()));
        hand.advance(Duration::from_millis(54_999));
        assert!(good.is_fresh(clock.elapsed()));
        hand.advance(Duration::from_millis(1));
        assert!(!good.is_fresh(clock.elapsed()));
    }
}
