//! How items are claimed, and what becomes of those that fail.

use std::time::Duration;

use crate::postgres::PgError;
use crate::text::Time;

/// Shorter, and a busy moment of the server's or the machine's would take an item from a host that is alive: it is
/// renewed at a third.
const LEAST_LEASE: Duration = Duration::from_secs(1);
/// Longer, and what a dead host had is back too late for anybody to notice.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);
const MOST_ATTEMPTS: u32 = 1_000;
/// A wait beyond this is none that anybody meant.
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// More often, and idle hosts are load.
const LEAST_POLL: Duration = Duration::from_millis(10);

/// How items of a [`Queue`](super::Queue) are claimed, and what becomes of those that fail. All settings have defaults.
///
/// ```
/// use std::time::Duration;
/// use tierpool::batch::queue::Claims;
///
/// let claims = Claims::new()
///     .lease(Duration::from_secs(30))
///     .attempts(3)
///     .backoff(Duration::from_secs(5), Duration::from_secs(600))
///     .until_empty(true);
/// # let _ = claims;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    pub(super) lease: Duration,
    pub(super) attempts: u32,
    pub(super) first: Duration,
    pub(super) longest: Duration,
    pub(super) poll: Duration,
    pub(super) bytes: usize,
    pub(super) until_empty: bool,
}

impl Default for Claims {
    fn default() -> Self {
        Claims {
            // A dead host's items come back within a minute, and a server may restart meanwhile.
            lease: Duration::from_secs(60),
            attempts: 5,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60 * 60),
            poll: Duration::from_millis(500),
            bytes: 64 * 1024 * 1024,
            until_empty: false,
        }
    }
}

impl Claims {
    /// Starts with the defaults.
    pub fn new() -> Self {
        Claims::default()
    }

    /// Sets how long a claim holds without being renewed, 1 s to 24 h; it is renewed at a third of that. What a crashed
    /// host had is claimed by others after it. Default 60 s.
    ///
    /// A renewal writes to the item's row. A session that keeps its snapshot, by `repeatable read` or `serializable`,
    /// cannot remove the row after that, and is done again as after any failure to serialize: there the lease has to be
    /// more than three times what the work takes.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets after how many failed attempts an item is a dead letter, 1 to 1,000. Default 5.
    ///
    /// One that ended with its host counts, whether the item was being worked on or waited for a worker: which of them
    /// ended the host nobody knows. So an item that ends each process that begins with it can make dead letters of some
    /// that were claimed with it; [`retry_dead`](super::Queue::retry_dead), once it is gone, brings those back.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets how long a failed item waits for its second attempt, and the longest that it ever waits, up to ten years.
    /// Each wait is twice the one before, and longer by a random part of itself. Default 1 s and 1 h.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first = first;
        self.longest = longest;
        self
    }

    /// Sets how often an empty queue is looked at, 10 ms to ten years. Default 500 ms.
    pub fn poll(mut self, every: Duration) -> Self {
        self.poll = every;
        self
    }

    /// Sets how many bytes of payloads may be claimed and not ended, at least 1. A single item is claimed whatever its
    /// size, so up to one more item's may be there. Default 64 MiB.
    pub fn bytes(mut self, most: usize) -> Self {
        self.bytes = most;
        self
    }

    /// Sets whether the batch ends when the queue has no item but dead letters. It waits for delayed ones, and for
    /// those that other hosts have: what these fail at comes back. Default false: it goes on until it is
    /// [stopped](crate::batch::Options::stop).
    pub fn until_empty(mut self, until_empty: bool) -> Self {
        self.until_empty = until_empty;
        self
    }

    /// Names all faults at once.
    pub(super) fn check(&self) -> Result<(), PgError> {
        let mut faults = Vec::new();
        let mut within = |what: &str, given: Duration, least: Duration, most: Duration| {
            if !(least..=most).contains(&given) {
                let [given, least, most] = [given, least, most].map(Time);
                faults.push(format!("{what} is {given}, and has to be between {least} and {most}"));
            }
        };
        within("the lease", self.lease, LEAST_LEASE, LONGEST_LEASE);
        within("the poll", self.poll, LEAST_POLL, LONGEST_DELAY);
        within("the longest backoff", self.longest, self.first, LONGEST_DELAY);
        if !(1..=MOST_ATTEMPTS).contains(&self.attempts) {
            faults.push(format!(
                "attempts are {}, and have to be between 1 and {MOST_ATTEMPTS}",
                self.attempts
            ));
        }
        if self.bytes == 0 {
            faults.push("bytes are 0, and have to be at least 1".to_owned());
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(PgError::refused(format!("the claims cannot be used: {}", faults.join("; ")))),
        }
    }

    /// How long an item waits after this attempt, without the random part.
    pub(super) fn delay_after(&self, attempt: u32) -> Duration {
        let doubled =
            1_u32.checked_shl(attempt.saturating_sub(1)).and_then(|times| self.first.checked_mul(times));
        doubled.map_or(self.longest, |delay| delay.min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_of_claims_are_named_at_once() {
        let claims = Claims::new().lease(Duration::ZERO).attempts(0).bytes(0).poll(Duration::ZERO);
        let error =
            claims.backoff(Duration::from_secs(2), Duration::from_secs(1)).check().unwrap_err().to_string();
        for fault in
            ["the lease is 0 s", "attempts are 0", "bytes are 0", "the poll is 0 s", "the longest backoff is"]
        {
            assert!(error.contains(fault), "{fault}: {error}");
        }
        assert!(Claims::new().check().is_ok());
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let claims = Claims::new().backoff(Duration::from_secs(2), Duration::from_secs(10));
        let seconds = [1, 2, 3, 4, 40, 400].map(|attempt| claims.delay_after(attempt).as_secs());
        assert_eq!(seconds, [2, 4, 8, 10, 10, 10]);
    }
}
