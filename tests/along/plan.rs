//! What one session does and what is done to it, by the seed and its number: so a failure can be shown.

use std::time::Duration;

use tierpool::postgres::{IsolationLevel, SessionOptions};

use crate::support::proxy::{Direction, Proxy};

/// What a proxy can do on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// It finds words.
    Plain,
    /// It sees bytes only.
    Secret,
}

/// How a row is written.
#[derive(Clone, Copy, Debug)]
pub enum Write {
    Execute,
    Cached,
    Prepared,
    Typed,
    Batch,
    Copy,
    Query,
    Simple,
    /// Its answer is not read.
    Unread,
    /// By the client itself.
    Bare,
    Savepoint,
}

const WRITES: [Write; 11] = [
    Write::Execute,
    Write::Cached,
    Write::Prepared,
    Write::Typed,
    Write::Batch,
    Write::Copy,
    Write::Query,
    Write::Simple,
    Write::Unread,
    Write::Bare,
    Write::Savepoint,
];

/// What the session's work does behind, or in the place of, its second row.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Commit,
    /// The second row is the last statement, for COMMIT to go along with it.
    Last,
    /// The same, by its rows.
    LastRows,
    Fail,
    Panic,
    /// A statement fails between the rows, and nobody minds.
    IgnoreOne,
    /// As before, and the second row is the last statement.
    IgnoreThenLast,
}

/// What is done on the way to the server and back. The session that it meets may be another's.
#[derive(Clone, Copy, Debug)]
pub enum Trap {
    None,
    /// The server is asked for something else than these words say, and refuses.
    Garbled(&'static [u8], &'static [u8]),
    /// The connection is cut so many bytes behind the first of these.
    Cut(Direction, &'static [u8], usize),
}

impl Trap {
    pub fn lay(self, proxy: &Proxy) {
        match self {
            Trap::None => {}
            Trap::Garbled(words, others) => proxy.garble(words, others),
            Trap::Cut(direction, words, behind) => proxy.cut_within(direction, words, behind),
        }
    }
}

#[derive(Debug)]
pub struct Plan {
    pub rows: [Write; 2],
    pub end: End,
    /// The work goes on after any error but a savepoint's, and returns `Ok`.
    pub ignores_all: bool,
    pub trap: Trap,
    pub mode: Mode,
    pub options: SessionOptions,
}

/// What the session's transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Writes,
    /// It begins read-only, and is made writable.
    WritesAfterAll,
    /// It is read-only, and reads.
    Reads,
}

impl Plan {
    pub fn of(seed: u64, key: i64, wire: Wire) -> Plan {
        // Apart from its neighbours' whatever the generator makes of a small difference.
        let mut dice = fastrand::Rng::with_seed(seed ^ (key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let row = |dice: &mut fastrand::Rng| WRITES[dice.usize(..WRITES.len())];
        let end = match dice.u32(0..20) {
            0..7 => End::Commit,
            7..12 => End::Last,
            12..15 => End::LastRows,
            15 => End::Fail,
            16 => End::Panic,
            17 => End::IgnoreOne,
            _ => End::IgnoreThenLast,
        };
        let (mode, options) = options(&mut dice);
        Plan {
            rows: [row(&mut dice), row(&mut dice)],
            end,
            ignores_all: dice.u32(0..6) == 0,
            trap: trap(&mut dice, wire),
            mode,
            options,
        }
    }
}

fn trap(dice: &mut fastrand::Rng, wire: Wire) -> Trap {
    let direction = if dice.bool() { Direction::ToServer } else { Direction::ToClient };
    match dice.u32(0..40) {
        0 => Trap::Cut(direction, b"", dice.usize(0..200)),
        _ if wire == Wire::Secret => Trap::None,
        1 | 2 => Trap::Garbled(b"BEGIN", b"BEGIM"),
        3 | 4 => Trap::Garbled(b"SET LOCAL", b"SET LOCUL"),
        5 => Trap::Garbled(b"COMMIT", b"COMMAT"),
        6 => Trap::Cut(direction, b"BEGIN", dice.usize(0..60)),
        7 => Trap::Cut(direction, b"COMMIT", dice.usize(0..60)),
        8 => Trap::Cut(direction, b"INSERT", dice.usize(0..120)),
        _ => Trap::None,
    }
}

fn options(dice: &mut fastrand::Rng) -> (Mode, SessionOptions) {
    let options = SessionOptions::new();
    let writes = |options| (Mode::Writes, options);
    match dice.u32(0..10) {
        0 => writes(options.lock_timeout(Duration::from_secs(10))),
        1 => writes(options.statement_timeout(Duration::from_secs(20))),
        2 => writes(options.isolation(IsolationLevel::RepeatableRead).read_only(false)),
        3 => writes(options.isolation(IsolationLevel::Serializable).lock_timeout(Duration::from_secs(10))),
        4 => (Mode::WritesAfterAll, options.read_only(true)),
        5 => (Mode::WritesAfterAll, options.read_only(true).isolation(IsolationLevel::ReadCommitted)),
        6 => (Mode::Reads, options.read_only(true)),
        7 => (Mode::Reads, options.read_only(true).isolation(IsolationLevel::RepeatableRead)),
        _ => writes(options),
    }
}
