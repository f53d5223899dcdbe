//! What is asked of the server, and what its answers mean.
//!
//! Each question is one message, so one round trip, and none of it waits for a lock. `README.md` says who takes which.

use postgres::SimpleQueryRow;

use super::core::{Budget, View};
use super::keys::{ADHOC, KINDS, Key, Keys, MARK, PLACE};
use super::want;
use crate::postgres::{PgConnection, PgError};

/// Codes of a server that has no such locks, or does not let this role use or see them.
const CANNOT: [&str; 4] = ["0A000", "42501", "42883", "42P01"];

/// The fleet's locks, in the server's own table of them: `kind` and `number`.
pub(super) fn locks(keys: &Keys) -> String {
    locks_from(keys.first())
}

/// The locks of the fleet whose first number is this.
pub(super) fn locks_from(first: u32) -> String {
    format!(
        "SELECT pid, classid::pg_catalog.int8 - {first} AS kind, objid::pg_catalog.int8 AS number \
         FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted \
         AND classid::pg_catalog.int8 BETWEEN {first} AND {last} AND database = \
         (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
        last = first + (KINDS - 1),
    )
}

/// Counts all of them.
pub(super) fn count(keys: &Keys, budget: Budget) -> String {
    format!(
        "SELECT count(DISTINCT number) FILTER (WHERE kind = 0 AND number < {slots}), \
         count(*) FILTER (WHERE kind = {MARK}), count(*) FILTER (WHERE kind >= {MARK}), \
         count(DISTINCT {who}) FILTER (WHERE {wants}), count(DISTINCT number) FILTER (WHERE kind = {PLACE}), \
         min(number) FILTER (WHERE kind >= {MARK} AND number <> {ours}), \
         count(DISTINCT number) FILTER (WHERE kind = {ADHOC} AND number < {reserve}) FROM ({locks}) AS l",
        slots = budget.slots(),
        reserve = budget.reserve(),
        who = want::by_whom(),
        wants = want::is_mark(),
        ours = keys.budget_number(),
        locks = locks(keys),
    )
}

/// Counts the slots of the reserve that are taken, for a session that asks for no more.
pub(super) fn count_adhoc(keys: &Keys, budget: Budget) -> String {
    format!(
        "SELECT count(DISTINCT number) FROM ({}) AS l WHERE kind = {ADHOC} AND number < {}",
        locks(keys),
        budget.reserve()
    )
}

/// The answer to [`count`].
pub(super) fn view(row: &SimpleQueryRow) -> View {
    View {
        slots_held: number(row, 0).unwrap_or(0),
        members: number(row, 1).unwrap_or(0),
        weights: number(row, 2).unwrap_or(0),
        wanting: number(row, 3).unwrap_or(0),
        asking: number(row, 4).unwrap_or(0),
        other_budget: number(row, 5).and_then(Keys::budget_of),
    }
}

/// How many slots of the reserve are taken, by the answer to [`count`].
pub(super) fn adhoc_taken(row: &SimpleQueryRow) -> u32 {
    number(row, 6).unwrap_or(0)
}

/// A number of the answer; none where it is NULL, or the answer another one.
pub(super) fn number(row: &SimpleQueryRow, column: usize) -> Option<u32> {
    row.try_get(column).ok().flatten().and_then(|text| text.parse().ok())
}

/// For whom a slot is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taker {
    /// A process that has none. Without a free slot its connection takes a place for askers, unless it has one.
    Asker {
        /// It has a place.
        has_place: bool,
    },
    /// A process that has some: nobody must be asking, nor wanting where it has its share.
    Member {
        /// It has its share.
        beyond_share: bool,
    },
}

/// Takes the first free one of `count` locks of a kind, looking from `start` on: tables for a question, of which `kept`
/// has its number `n` where `is_kept`.
///
/// Exclusive mode is granted where nobody holds the lock; shared mode is taken beside it, and exclusive mode let go of,
/// so that the lock is not free at any moment (I1).
fn first_free(keys: &Keys, kind: u32, count: u32, may: &str, start: u32) -> String {
    let slot = keys.kind(kind);
    let at = |index: &str| format!("(({start} + {index}) % {count})");
    format!(
        "tried (i, got) AS (\
         SELECT 0, pg_catalog.pg_try_advisory_lock({slot}, {first}) WHERE {may} UNION ALL \
         SELECT i + 1, pg_catalog.pg_try_advisory_lock({slot}, {next}) FROM tried WHERE NOT got AND i + 1 < {count}), \
         taken AS (SELECT {this} AS n FROM tried WHERE got), \
         shared AS (SELECT n, pg_catalog.pg_try_advisory_lock_shared({slot}, n) AS is_shared FROM taken), \
         kept AS (SELECT n, CASE WHEN is_shared THEN pg_catalog.pg_advisory_unlock({slot}, n) END AS is_kept \
         FROM shared)",
        first = at("0"),
        next = at("i + 1"),
        this = at("i"),
    )
}

/// Takes the first free slot, looking from `start` on. The row says which, and which place for askers was taken.
pub(super) fn take(keys: &Keys, budget: Budget, taker: Taker, start: u32) -> String {
    let place = keys.kind(PLACE);
    let may = match taker {
        Taker::Asker { .. } => "true".to_owned(),
        Taker::Member { beyond_share } => {
            let or_wants = if beyond_share { format!(" OR {}", want::is_mark()) } else { String::new() };
            format!("NOT EXISTS (SELECT FROM ({}) AS l WHERE kind = {PLACE}{or_wants})", locks(keys))
        }
    };
    let may_have_place = taker == Taker::Asker { has_place: false };
    format!(
        "WITH RECURSIVE {free}, places (i, got) AS (\
         SELECT 0, pg_catalog.pg_try_advisory_lock({place}, 0) WHERE {may_have_place} AND NOT EXISTS (\
         SELECT FROM kept WHERE is_kept) UNION ALL \
         SELECT i + 1, pg_catalog.pg_try_advisory_lock({place}, i + 1) FROM places WHERE NOT got AND i + 1 < {askers}) \
         SELECT (SELECT n FROM kept WHERE is_kept), (SELECT i FROM places WHERE got)",
        free = first_free(keys, 0, budget.slots(), &may, start),
        askers = budget.askers(),
    )
}

/// Takes the first free slot of the reserve, looking from `start` on. The row says which.
pub(super) fn take_adhoc(keys: &Keys, budget: Budget, start: u32) -> String {
    let free = first_free(keys, ADHOC, budget.reserve(), "true", start);
    format!("WITH RECURSIVE {free} SELECT (SELECT n FROM kept WHERE is_kept)")
}

/// Puts a member's marks on a session.
pub(super) fn put_marks(keys: &Keys, weight: u32) -> String {
    let marks: Vec<_> = (0..weight).map(|index| shared(keys.mark(index))).collect();
    format!("SELECT {}", marks.join(", "))
}

/// The expression that takes a lock in shared mode, at once or not at all.
pub(super) fn shared(Key(kind, number): Key) -> String {
    format!("pg_catalog.pg_try_advisory_lock_shared({kind}, {number})")
}

/// Lets go of a place for askers.
pub(super) fn leave_place(keys: &Keys, place: u32) -> String {
    format!("SELECT pg_catalog.pg_advisory_unlock({}, {place})", keys.kind(PLACE))
}

/// Whether the session that is asked holds a slot.
pub(super) fn holds(keys: &Keys, slot: Key) -> String {
    let (kind, Key(_, number)) = (keys.kind_of(slot), slot);
    format!(
        "SELECT count(*) FROM ({}) AS l WHERE kind = {kind} AND number = {number} \
         AND pid = pg_catalog.pg_backend_pid()",
        locks(keys)
    )
}

/// How many other sessions hold a slot. Of one that was just granted to this session, in a mode that excludes others,
/// there is none, unless the locks are not real.
pub(super) fn others(keys: &Keys, slot: Key) -> String {
    let (kind, Key(_, number)) = (keys.kind_of(slot), slot);
    format!(
        "SELECT count(*) FROM ({}) AS l WHERE kind = {kind} AND number = {number} \
         AND pid <> pg_catalog.pg_backend_pid()",
        locks(keys)
    )
}

/// Whether it does, by the first row of an answer.
pub(super) fn is_held(rows: &[SimpleQueryRow], fleet: &str) -> Result<(), PgError> {
    match rows.first().and_then(|row| number(row, 0)) {
        Some(1..) => Ok(()),
        _ => Err(PgError::no_room(format!(
            "the connection has lost its slot in fleet {fleet}, as by pg_advisory_unlock_all()"
        ))),
    }
}

/// Why a server cannot hold the locks.
pub(super) fn unreal(what: &str) -> PgError {
    PgError::cannot_share(format!("the server cannot hold the locks of a fleet: it {what}"))
}

/// Why a server that has answered with an error cannot, where that is what it says.
pub(super) fn explained(error: PgError) -> PgError {
    match error.sqlstate() {
        Some(code) if CANNOT.contains(&code) => PgError::cannot_share(format!(
            "the server cannot hold the locks of a fleet, or this role may not use pg_try_advisory_lock() and see \
             pg_locks: {error}"
        )),
        _ => error,
    }
}

/// Refuses a connection on which no lock stays.
pub(super) fn require_session(conn: &PgConnection) -> Result<(), PgError> {
    if !conn.is_transaction_pooled() {
        return Ok(());
    }
    Err(PgError::cannot_share(
        "behind a PgBouncer in transaction mode no session keeps a lock, and so there is no fleet; one in session mode \
         has to be said to be so (USE_PGBOUNCER=session)"
            .to_owned(),
    ))
}

/// What has a session keep locks over a statement that frees all that it has, in one message and so in one transaction:
/// that holds them meanwhile. It fails where the session does not hold the first of them, its slot.
pub(super) fn kept(keys: &Keys, held: &[Key]) -> [String; 2] {
    let in_transaction =
        |Key(kind, number): &Key| format!("pg_catalog.pg_try_advisory_xact_lock_shared({kind}, {number})");
    let before: Vec<_> = held.iter().map(in_transaction).collect();
    let after: Vec<_> = held.iter().copied().map(shared).collect();
    let [before, after] = [before, after].map(|calls| calls.join(", "));
    let slot = held.first().map(|slot| holds(keys, *slot)).unwrap_or_default();
    [format!("SELECT 1 / ({slot}); SELECT {before}"), format!("SELECT {after}")]
}
