//! The mark of those who want: a lock whose number says when it was put and by which program, so that it wears off.
//!
//! It is put by way of whatever connection is at hand, and that may be lent for an hour a moment later. So a mark
//! counts for one to two periods of the server's clock, and is put anew, on another connection where need be, while the
//! program wants. One that nobody counts any more goes with its connection, or with the next question on it.

use std::time::{Duration, Instant};

use super::keys::{Keys, PROGRAMS, WANT};

/// A period, in seconds.
const PERIOD: u64 = 4;
/// So many periods are told apart: with the program's they are the 31 bits of a number.
const PERIODS: u32 = 1 << 15;
/// A mark of this age is put anew: earlier than one can have worn off.
const AGAIN: Duration = Duration::from_millis(2500);
/// Nobody counts a mark of this age.
const WORN_OFF: Duration = Duration::from_secs(2 * PERIOD);

/// The mark that a program has put last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    on: u64,
    since: Instant,
}

impl Want {
    /// One that was put by way of the connection of this number.
    pub(super) fn put(on: u64) -> Want {
        Want { on, since: Instant::now() }
    }

    /// Whether it has to be put anew, as long as the program wants.
    pub(super) fn is_old(&self) -> bool {
        self.since.elapsed() >= AGAIN
    }

    /// Whether it is on this connection, and others count it.
    pub(super) fn is_on(&self, number: u64) -> bool {
        self.on == number && self.counts()
    }

    /// Whether others count it.
    pub(super) fn counts(&self) -> bool {
        self.since.elapsed() < WORN_OFF
    }
}

/// The period that it is by the server's clock.
fn period() -> String {
    let seconds = "extract(epoch FROM pg_catalog.clock_timestamp())";
    format!("(pg_catalog.floor({seconds} / {PERIOD})::pg_catalog.int8 % {PERIODS})")
}

/// Whether the lock of this `kind` and `number` is a mark that counts.
pub(super) fn is_mark() -> String {
    format!("(kind = {WANT} AND ({} - number / {PROGRAMS} + {PERIODS}) % {PERIODS} <= 1)", period())
}

/// By which program the mark of this `number` was put.
pub(super) fn by_whom() -> String {
    format!("number % {PROGRAMS}")
}

/// Puts a mark on the session that is asked, instead of those that it has among the fleet's `locks`.
pub(super) fn put(keys: &Keys, locks: &str) -> String {
    format!(
        "{}; SELECT pg_catalog.pg_try_advisory_lock_shared({}, ({} * {PROGRAMS} + {})::pg_catalog.int4)",
        take_back(keys, locks),
        keys.kind(WANT),
        period(),
        keys.program(),
    )
}

/// Takes the marks back that the session that is asked has among the fleet's `locks`.
pub(super) fn take_back(keys: &Keys, locks: &str) -> String {
    format!(
        "SELECT count(pg_catalog.pg_advisory_unlock_shared({}, number::pg_catalog.int4)) FROM ({locks}) AS l \
         WHERE kind = {WANT} AND pid = pg_catalog.pg_backend_pid()",
        keys.kind(WANT),
    )
}
