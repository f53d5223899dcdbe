//! How much the server may send while no query is answered.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Stands for no limit.
const NONE: u64 = u64::MAX;

const MIB: u64 = 1 << 20;

/// A whole opening: a healthy one takes a kilobyte or two, with a few notices.
const OPENING: u64 = MIB;
/// A check of a connection at rest, but for notifications, of which any number may wait.
const CHECK: u64 = 4 * MIB;
/// A message where no query is answered.
const MESSAGE: u64 = MIB;

/// From here on a call is a flood rather than an answer, and each read looks at the clock.
const CALM: u64 = 64 * 1024;

/// The bytes that the server may still send in an opening or a check. In a query, and in a check that begins with the
/// rest of its reply, there is no limit but that on time: memory follows what comes, and that is what was asked for. With
/// the orderings of [`WireState`](super::WireState).
pub(crate) struct Allowance {
    given: AtomicU64,
    left: AtomicU64,
}

impl Default for Allowance {
    fn default() -> Self {
        Allowance { given: AtomicU64::new(OPENING), left: AtomicU64::new(OPENING) }
    }
}

/// What a read has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// Nothing worth a look.
    Calm,
    /// So much that it may be without end.
    Flood,
    /// More than was allowed, which was so much.
    TooMuch(u64),
}

impl Allowance {
    fn set(&self, bytes: u64) {
        self.given.store(bytes, Relaxed);
        self.left.store(bytes, Relaxed);
    }

    pub fn lift(&self) {
        self.set(NONE);
    }

    /// Limits a check, which may begin with the rest of a reply.
    pub fn limit_check(&self, is_reply_pending: bool) {
        self.set(if is_reply_pending { NONE } else { CHECK });
    }

    /// How long a message may be that begins now.
    pub fn longest_message(&self, is_answering: bool) -> usize {
        let is_free = is_answering && self.given.load(Relaxed) == NONE;
        usize::try_from(if is_free { NONE } else { MESSAGE }).unwrap_or(usize::MAX)
    }

    /// Notes bytes that were read.
    pub fn spend(&self, bytes: usize) -> Spent {
        let left = self.left.load(Relaxed);
        if left == NONE {
            return Spent::Calm;
        }
        let given = self.given.load(Relaxed);
        let Some(left) = left.checked_sub(bytes as u64) else { return Spent::TooMuch(given) };
        self.left.store(left, Relaxed);
        if given - left > CALM { Spent::Flood } else { Spent::Calm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_may_take_what_it_is_given_and_no_more() {
        let allowance = Allowance::default();
        assert_eq!(allowance.spend(64 * 1024), Spent::Calm);
        assert_eq!(allowance.spend(1), Spent::Flood);
        assert_eq!(allowance.spend(1 << 20), Spent::TooMuch(OPENING));
        allowance.lift();
        assert_eq!(allowance.spend(1 << 30), Spent::Calm);
        allowance.limit_check(false);
        assert_eq!(allowance.spend(5 << 20), Spent::TooMuch(CHECK));
        allowance.limit_check(true);
        assert_eq!(allowance.spend(1 << 30), Spent::Calm, "the rest of a reply");
    }

    #[test]
    fn only_a_query_takes_messages_of_any_length() {
        let allowance = Allowance::default();
        assert_eq!(allowance.longest_message(true), 1 << 20, "in an opening");
        allowance.lift();
        assert_eq!(allowance.longest_message(true), usize::MAX);
        assert_eq!(allowance.longest_message(false), 1 << 20, "at rest");
        allowance.limit_check(true);
        assert_eq!(allowance.longest_message(true), usize::MAX, "in the rest of a reply");
        allowance.limit_check(false);
        assert_eq!(allowance.longest_message(true), 1 << 20, "in a check");
    }
}
