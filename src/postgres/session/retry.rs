//! When work is worth doing again, and after how long.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// How often and how soon a session is run again after a failure that passes.
///
/// Two kinds of failures pass. A **conflict** counts as an attempt, and ends with [`attempts`](Retry::attempts): a
/// serialization failure (40001), at COMMIT too; a deadlock (40P01); a prepared statement that a change of the schema
/// made unusable (0A000). An **outage** is not of the work's making, so it goes on until [`within`](Retry::within)
/// whatever the attempts: a server that ends or refuses sessions (57P01 to 57P03); a connection lost before COMMIT was
/// sent; a write refused by a server that turned read-only (25006), as after a failover, but not by a transaction that
/// the user made read-only; a checkout refused by the open circuit breaker, or one that timed out while no connection
/// could be opened.
///
/// Never a failure after which nobody knows whether COMMIT took
/// effect, unless the work is [idempotent](crate::postgres::SessionOptions::idempotent), never a panic, and never what
/// took too long: what the pool itself has ended (`terminate_stuck_after`, [`Pool::close`](crate::Pool::close)), and a
/// transaction that overran a limit of the server's (25P03, 25P04).
///
/// Work that failed with an error of its own is judged by the last error that the server reported in its transaction.
/// So the error may be of any type, and it does not matter how the work wrapped the server's.
///
/// ```
/// use std::time::Duration;
/// use tierpool::postgres::Retry;
///
/// let retry = Retry { attempts: 3, first: Duration::from_millis(50), ..Retry::default() };
/// assert_eq!(retry.delays().count(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all that may end in a conflict. 1 or 0: the work is tried once, whatever the failure. Default 5.
    pub attempts: u32,
    /// The first delay, doubled by each further one, each longer by a random part of itself. An outage has delays of
    /// its own, which begin anew with each. Default 100 ms.
    pub first: Duration,
    /// The longest delay before the random part. Default 5 s.
    pub longest: Duration,
    /// No attempt begins later than this after the first one. One that has begun is not cut short. Through an outage
    /// the last attempt is made when this time is up. Default 60 s.
    pub within: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            attempts: 5,
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            within: Duration::from_secs(60),
        }
    }
}

/// The least pause through an outage, whatever the delays are: nothing else bounds the attempts then, and with an open
/// circuit breaker each fails at once.
const LEAST_IN_OUTAGE: Duration = Duration::from_millis(100);

impl Retry {
    /// Work is tried once.
    pub const NEVER: Retry =
        Retry { attempts: 1, first: Duration::ZERO, longest: Duration::ZERO, within: Duration::ZERO };

    /// The delays after conflicts: before the second and each further attempt.
    pub fn delays(&self) -> impl Iterator<Item = Duration> {
        self.after_conflicts()
    }

    fn after_conflicts(&self) -> ExponentialBackoff {
        Retry::backoff(self.first, self.longest)
            .with_max_times(self.attempts.saturating_sub(1) as usize)
            .build()
    }

    fn through_an_outage(&self) -> ExponentialBackoff {
        let (first, longest) = (self.first.max(LEAST_IN_OUTAGE), self.longest.max(LEAST_IN_OUTAGE));
        Retry::backoff(first, longest).without_max_times().build()
    }

    fn backoff(first: Duration, longest: Duration) -> ExponentialBuilder {
        ExponentialBuilder::default().with_jitter().with_min_delay(first).with_max_delay(longest)
    }
}

/// Whether work that failed may be done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It would fail once more, or nobody knows.
    No,
    /// What it did is undone, and it may succeed: one of the attempts is used up.
    Yes,
    /// What it did is undone, and the server was away: that uses up nothing but time.
    Outage,
    /// It may have been done already. The server was away as well.
    IfIdempotent,
}

impl Again {
    /// Whether the server was away, so that there may be no connection for another attempt yet.
    pub(crate) fn tells_of_outage(self) -> bool {
        matches!(self, Again::Outage | Again::IfIdempotent)
    }
}

/// The attempts at one piece of work.
pub(crate) struct Attempts {
    retry: Retry,
    conflicts: ExponentialBackoff,
    /// The delays of the outage that lasts.
    outage: Option<ExponentialBackoff>,
    begun: Instant,
    within: Duration,
    idempotent: bool,
    failed: u32,
}

impl Attempts {
    pub(crate) fn new(retry: &Retry, idempotent: bool) -> Self {
        Attempts {
            retry: *retry,
            conflicts: retry.after_conflicts(),
            outage: None,
            begun: Instant::now(),
            within: retry.within,
            idempotent,
            failed: 0,
        }
    }

    /// Counts a failed attempt, and returns how long to wait before the next one; `None` when there is to be none.
    pub(crate) fn after_failure(&mut self, again: Again) -> Option<Duration> {
        self.failed = self.failed.saturating_add(1);
        let left = self.left();
        match again {
            Again::No => None,
            Again::Yes => {
                // The server has answered.
                self.outage = None;
                self.conflicts.next().filter(|delay| *delay <= left)
            }
            Again::IfIdempotent if !self.idempotent => None,
            Again::Outage | Again::IfIdempotent if self.retry.attempts <= 1 || left.is_zero() => None,
            Again::Outage | Again::IfIdempotent => {
                let delays = self.outage.get_or_insert_with(|| self.retry.through_an_outage());
                // Cut to what is left: a server that comes back towards the end is met all the same.
                delays.next().map(|delay| delay.min(left))
            }
        }
    }

    /// How much is left of the time within which a further attempt may begin.
    pub(crate) fn left(&self) -> Duration {
        self.within.saturating_sub(self.begun.elapsed())
    }

    /// Leaves a time out of account in which nothing could be tried.
    pub(crate) fn excuse(&mut self, pause: Duration) {
        self.within = self.within.saturating_add(pause);
    }

    /// How many attempts have failed.
    pub(crate) fn failed(&self) -> u32 {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_end_by_number_time_and_kind() {
        let retry = Retry { attempts: 3, first: Duration::from_millis(1), ..Retry::default() };
        let mut attempts = Attempts::new(&retry, false);
        assert!(attempts.after_failure(Again::Yes).is_some());
        assert!(attempts.after_failure(Again::Yes).is_some());
        assert_eq!((attempts.after_failure(Again::Yes), attempts.failed()), (None, 3));

        assert_eq!(Attempts::new(&retry, true).after_failure(Again::No), None);
        assert_eq!(Attempts::new(&retry, false).after_failure(Again::IfIdempotent), None);
        assert!(Attempts::new(&retry, true).after_failure(Again::IfIdempotent).is_some());

        let late = Retry { first: Duration::from_secs(2), within: Duration::from_secs(1), ..retry };
        let mut attempts = Attempts::new(&late, false);
        assert_eq!(attempts.after_failure(Again::Yes), None);
        attempts.excuse(Duration::from_secs(60));
        assert!(attempts.after_failure(Again::Yes).is_some());
        for again in [Again::Yes, Again::Outage, Again::IfIdempotent] {
            assert_eq!(Attempts::new(&Retry::NEVER, true).after_failure(again), None);
            let once = Retry { attempts: 1, ..Retry::default() };
            assert_eq!(Attempts::new(&once, true).after_failure(again), None);
        }
    }

    #[test]
    fn no_choice_of_delays_makes_an_outage_a_busy_loop() {
        let retry = Retry { first: Duration::ZERO, longest: Duration::ZERO, ..Retry::default() };
        let mut attempts = Attempts::new(&retry, false);
        assert!(
            attempts.after_failure(Again::Yes).is_some_and(|delay| delay.is_zero()),
            "a conflict is another matter"
        );
        let waited: Duration = (0..20).filter_map(|_| attempts.after_failure(Again::Outage)).sum();
        assert!(waited >= 20 * LEAST_IN_OUTAGE, "20 attempts within {waited:?}");
    }

    #[test]
    fn an_outage_uses_up_time_and_no_attempts() {
        let retry = Retry::default();
        for again in [Again::Outage, Again::IfIdempotent] {
            let mut attempts = Attempts::new(&retry, true);
            let waited: Duration = (0..100).filter_map(|_| attempts.after_failure(again)).sum();
            assert!(waited > retry.within, "it gave up after {waited:?}");
            // All the conflicts that the work may have are left to it, and a second outage begins with short delays.
            let conflicts = (0..10).filter(|_| attempts.after_failure(Again::Yes).is_some()).count();
            assert_eq!(conflicts, 4);
            assert!(attempts.after_failure(again).is_some_and(|delay| delay <= retry.first * 2));
        }
        let short = Retry { first: Duration::from_secs(5), within: Duration::from_secs(1), ..retry };
        let last = Attempts::new(&short, false).after_failure(Again::Outage).expect("there is a second left");
        assert!(last <= short.within, "{last:?} is later than the last attempt may begin");
    }
}
