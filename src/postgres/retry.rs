//! When work is worth doing again, and after how long.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::PgError;

/// How often and how soon work is tried again after a transient failure: a serialization failure (40001), a deadlock
/// (40P01), a server that ends or refuses the session (57P01 to 57P03), or a connection lost before COMMIT was sent.
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
    /// Whether doing the work twice comes to the same as doing it once. Only then is it tried again when the
    /// connection was lost after COMMIT was sent and nobody knows whether it took effect. Default: no.
    pub idempotent: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            attempts: 5,
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            idempotent: false,
        }
    }
}

impl Retry {
    /// Work is tried once.
    pub const NEVER: Retry =
        Retry { attempts: 1, first: Duration::ZERO, longest: Duration::ZERO, idempotent: false };

    /// The delays before the second and each further attempt.
    pub fn delays(&self) -> impl Iterator<Item = Duration> {
        ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .with_max_times(self.attempts.saturating_sub(1) as usize)
            .build()
    }

    /// Whether work that ended with this error may be done again.
    pub fn applies_to(&self, error: &PgError) -> bool {
        error.is_retryable() || (self.idempotent && error.is_outcome_unknown())
    }
}
