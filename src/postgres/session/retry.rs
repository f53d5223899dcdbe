//! When work is worth doing again, and after how long.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// How often and how soon a session is run again after a failure that passes.
///
/// These are: a serialization failure (40001), at COMMIT too; a deadlock (40P01); a server that ends or refuses
/// sessions (57P01 to 57P03); a connection lost before COMMIT was sent; a write refused by a server that turned
/// read-only (25006), as after a failover, but not by a transaction that the user made read-only; a prepared statement
/// that a change of the schema made unusable (0A000). Never a failure after which nobody knows whether COMMIT took
/// effect, unless the work is [idempotent](crate::postgres::SessionOptions::idempotent), never a panic, and never what
/// the pool itself has ended (`terminate_stuck_after`, [`Pool::close`](crate::Pool::close)).
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
    /// Attempts in all; 1 for none again. Default 5.
    pub attempts: u32,
    /// The first delay, doubled by each further one, each longer by a random part of itself. Default 100 ms.
    pub first: Duration,
    /// The longest delay before the random part. Default 5 s.
    pub longest: Duration,
    /// No attempt begins later than this after the first one. One that has begun is not cut short. Default 60 s.
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

impl Retry {
    /// Work is tried once.
    pub const NEVER: Retry =
        Retry { attempts: 1, first: Duration::ZERO, longest: Duration::ZERO, within: Duration::ZERO };

    /// The delays before the second and each further attempt.
    pub fn delays(&self) -> impl Iterator<Item = Duration> {
        self.backoff()
    }

    fn backoff(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .with_max_times(self.attempts.saturating_sub(1) as usize)
            .build()
    }
}

/// Whether work that failed may be done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It would fail once more, or nobody knows.
    No,
    /// What it did is undone, and it may succeed.
    Yes,
    /// It may have been done already.
    IfIdempotent,
}

/// The attempts at one piece of work.
pub(crate) struct Attempts {
    delays: ExponentialBackoff,
    begun: Instant,
    within: Duration,
    idempotent: bool,
    failed: u32,
}

impl Attempts {
    pub(crate) fn new(retry: &Retry, idempotent: bool) -> Self {
        let (begun, within) = (Instant::now(), retry.within);
        Attempts { delays: retry.backoff(), begun, within, idempotent, failed: 0 }
    }

    /// Counts a failed attempt, and returns how long to wait before the next one; `None` when there is to be none.
    pub(crate) fn after_failure(&mut self, again: Again) -> Option<Duration> {
        self.failed += 1;
        let allowed = match again {
            Again::No => false,
            Again::Yes => true,
            Again::IfIdempotent => self.idempotent,
        };
        let delay = self.delays.next().filter(|_| allowed)?;
        (self.begun.elapsed().saturating_add(delay) <= self.within).then_some(delay)
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
        assert_eq!(Attempts::new(&Retry::NEVER, true).after_failure(Again::Yes), None);
    }
}
