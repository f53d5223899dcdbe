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
            let [a, b, c, d, e] = code;
            self.last.store(u64::from_le_bytes([a, b, c, d, e, u8::from(cached_plan), 0, 0]), Relaxed);
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
        let [a, b, c, d, e, stale, ..] = self.last.load(Relaxed).to_le_bytes();
        (a != 0).then_some(LastError { code: [a, b, c, d, e], is_stale_plan: stale != 0 })
    }

    pub fn forget(&self) {
        self.last.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
