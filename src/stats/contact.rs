//! When a server last gave a sign of life, and what has failed since.

use std::fmt;
use std::time::Duration;

use crate::text::Ago;

/// What a pool knows of its server without asking it.
///
/// A sign of life is a connection that was opened, a validation or a reset that was answered, a refusal for want of
/// connections, and any reply on a connection, where the database layer tells of it by
/// [`SessionControl::silence`](crate::SessionControl::silence). Nothing is written at a checkout for it.
///
/// ```
/// use tierpool::{MemoryManager, Pool};
///
/// let pool = Pool::builder().max_size(1).min_idle(Some(0)).build(MemoryManager)?;
/// assert_eq!(pool.stats().contact.to_string(), "not seen yet");
/// drop(pool.get()?);
/// assert!(pool.stats().contact.last_seen.is_some());
/// # Ok::<(), tierpool::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Contact {
    /// How long ago the last sign of life was; `None` before the first.
    pub last_seen: Option<Duration>,
    /// The last failure to reach the server, if there was none of its signs of life since.
    pub failure: Option<ContactFailure>,
}

/// A failure to reach the server, or to be let in: an attempt to open a connection, a validation that had no answer in
/// time, a question of the pool's own; or one that goes on, when something has waited for an answer for so long that
/// errors say that the server does not answer.
///
/// A connection found dead is none: the server may have closed it, and be there. What the pool does about it, opening
/// another one, shows whether it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ContactFailure {
    /// How long ago it failed; zero for one that goes on.
    pub ago: Duration,
    /// Why, in one line.
    pub cause: String,
    /// How long ago that which failed was begun: signs of life since then are newer.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) begun: Duration,
}

impl ContactFailure {
    pub(crate) fn new(begun: Duration, ago: Duration, cause: String) -> Self {
        ContactFailure { ago, cause, begun }
    }
}

impl Contact {
    /// What two pools know of one server: the newer of what each does.
    pub(crate) fn or_newer(self, other: Contact) -> Contact {
        let last_seen = [self.last_seen, other.last_seen].into_iter().flatten().min();
        let failures = [self.failure, other.failure].into_iter().flatten();
        let newest = failures.min_by_key(|failure| failure.begun);
        let is_news = |failure: &ContactFailure| last_seen.is_none_or(|seen| failure.begun <= seen);
        Contact { last_seen, failure: newest.filter(is_news) }
    }

    /// Whether the server was seen within `limit`, and nothing has failed since.
    pub(crate) fn is_within(&self, limit: Duration) -> bool {
        self.failure.is_none() && self.last_seen.is_some_and(|ago| ago <= limit)
    }
}

impl fmt::Display for ContactFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        if self.ago.is_zero() { Ok(()) } else { write!(f, ", {}", Ago(self.ago)) }
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.failure, self.last_seen) {
            (Some(failure), _) => failure.fmt(f),
            (None, Some(ago)) => write!(f, "last seen {}", Ago(ago)),
            (None, None) => f.write_str("not seen yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(seen: Option<u64>, failed: Option<u64>) -> Contact {
        let failed = failed.map(Duration::from_secs);
        let failure = failed.map(|begun| ContactFailure::new(begun, begun / 2, "refused".to_owned()));
        Contact { last_seen: seen.map(Duration::from_secs), failure }
    }

    #[test]
    fn of_two_pools_the_newer_sign_counts() {
        let merged = |a, b| contact(a, None).or_newer(contact(b, None)).last_seen.map(|ago| ago.as_secs());
        assert_eq!(merged(None, None), None);
        assert_eq!(
            (merged(Some(7), None), merged(None, Some(7)), merged(Some(7), Some(3))),
            (Some(7), Some(7), Some(3))
        );
    }

    #[test]
    fn a_failure_of_one_pool_is_answered_by_a_later_sign_to_the_other() {
        let failing = contact(Some(30), Some(10));
        assert_eq!(failing.clone().or_newer(contact(Some(5), None)), contact(Some(5), None));
        let still = failing.or_newer(contact(Some(20), Some(8)));
        assert_eq!(still, contact(Some(20), Some(8)));
        assert_eq!(still.to_string(), "refused, 4.0 s ago");
        assert!(!still.is_within(Duration::from_secs(60)));
        assert_eq!(contact(None, Some(3)).or_newer(contact(None, None)), contact(None, Some(3)));
    }

    #[test]
    fn seen_is_within_the_limit_or_not() {
        let limit = Duration::from_secs(60);
        assert!(contact(Some(60), None).is_within(limit));
        assert!(!contact(Some(61), None).is_within(limit));
        assert!(!contact(None, None).is_within(limit));
    }
}
