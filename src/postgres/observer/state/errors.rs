//! What the server's errors tell of prepared statements and of the transaction.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::postgres::sqlstate::{Meaning, means};

/// What was read off the errors so far. Written by the stream, with the orderings of [`WireState`](super::WireState).
#[derive(Default)]
pub(crate) struct Errors {
    cached_plans: AtomicU64,
    unknown_statements: AtomicU64,
    /// The SQLSTATE of the last one in the lower five bytes, and 1 in the sixth for a stale plan; 0 for none.
    last: AtomicU64,
    /// The SQLSTATE of the one that ended the session, in the lower five bytes; 0 for none.
    ending: AtomicU64,
}

/// An error of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastError {
    /// Its SQLSTATE.
    pub code: [u8; 5],
    /// The result type of a prepared statement had changed.
    pub is_stale_plan: bool,
}

impl Errors {
    pub fn note(&self, code: [u8; 5], cached_plan: bool) {
        // Only the stream counts, so load and store lose nothing.
        if cached_plan {
            self.cached_plans.store(self.cached_plans() + 1, Relaxed);
        }
        if means(code, Meaning::StatementUnknown) {
            self.unknown_statements.store(self.unknown_statements.load(Relaxed) + 1, Relaxed);
        }
        if !means(code, Meaning::FailedBefore) {
            self.last.store(packed(code, cached_plan), Relaxed);
        }
    }

    /// How often the result type of a prepared statement had changed.
    pub fn cached_plans(&self) -> u64 {
        self.cached_plans.load(Relaxed)
    }

    /// How often the server refused a prepared statement: those, and statements that it did not know.
    pub fn refused_statements(&self) -> u64 {
        self.cached_plans() + self.unknown_statements.load(Relaxed)
    }

    /// The last error since [`Errors::forget`] that says something.
    pub fn last(&self) -> Option<LastError> {
        unpacked(self.last.load(Relaxed))
    }

    /// Notes that the session ended with an error of this code.
    pub fn note_ending(&self, code: [u8; 5]) {
        self.ending.store(packed(code, false), Relaxed);
    }

    /// The SQLSTATE with which the server ended the session.
    pub fn ending(&self) -> Option<[u8; 5]> {
        unpacked(self.ending.load(Relaxed)).map(|error| error.code)
    }

    pub fn forget(&self) {
        self.last.store(0, Relaxed);
    }
}

fn packed([a, b, c, d, e]: [u8; 5], is_stale_plan: bool) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, u8::from(is_stale_plan), 0, 0])
}

fn unpacked(number: u64) -> Option<LastError> {
    let [a, b, c, d, e, stale, ..] = number.to_le_bytes();
    (a != 0).then_some(LastError { code: [a, b, c, d, e], is_stale_plan: stale != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_that_ended_the_session_is_not_forgotten() {
        let errors = Errors::default();
        assert_eq!(errors.ending(), None);
        errors.note_ending(*b"25P03");
        errors.note(*b"40001", false);
        errors.forget();
        assert_eq!(errors.ending(), Some(*b"25P03"));
    }

    #[test]
    fn the_last_error_is_the_last_that_says_something() {
        let errors = Errors::default();
        assert_eq!(errors.last(), None);
        errors.note(*b"40001", false);
        errors.note(*b"25P02", false);
        assert_eq!(errors.last(), Some(LastError { code: *b"40001", is_stale_plan: false }));
        errors.note(*b"0A000", true);
        assert_eq!(errors.last(), Some(LastError { code: *b"0A000", is_stale_plan: true }));
        errors.note(*b"26000", false);
        assert_eq!((errors.cached_plans(), errors.refused_statements()), (1, 2));
        errors.forget();
        assert_eq!(errors.last(), None);
    }
}
