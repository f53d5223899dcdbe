//! The statements of a queue's table.
//!
//! One column, `due`, says from when on an item can be claimed: when its delay, its wait after a failure or its lease
//! is over. So a claim that nobody renews ends by itself, and claiming looks at one index. A dead letter is none of
//! that.
//!
//! A claim is told from all others by item, owner and attempt. The owner is a run of one process, and the attempt goes
//! up with each claim, so that of two who take an item for theirs one finds no row.

/// What marks a table as a queue, and in what version.
pub(super) const MARK: &str = "tierpool queue 1";

/// Two programs that make the same queue at the same time take turns: IF NOT EXISTS alone still fails then.
pub(super) const TAKE_TURNS: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('tierpool queue ' || $1, 0))";

/// The mark of the table, null where it is no queue; whether the role may remove items, and its name. No row where
/// there is no such table.
pub(super) const LOOK: &str = "SELECT obj_description(c, 'pg_class'), has_table_privilege(c, 'DELETE'), \
    current_user::text FROM (SELECT to_regclass($1)::oid AS c) AS t WHERE c IS NOT NULL";

pub(super) fn create(table: &str) -> String {
    format!(
        "CREATE TABLE {table} (
            id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            payload bytea NOT NULL,
            pushed  timestamptz NOT NULL DEFAULT clock_timestamp(),
            due     timestamptz NOT NULL DEFAULT clock_timestamp(),
            attempt integer NOT NULL DEFAULT 0,
            owner   text,
            dead    timestamptz,
            error   text
        );
        CREATE INDEX ON {table} (due, id) WHERE dead IS NULL;
        COMMENT ON TABLE {table} IS '{MARK}'"
    )
}

/// `$1` payload, `$2` seconds from now.
pub(super) fn push(table: &str) -> String {
    format!(
        "INSERT INTO {table} (payload, due) VALUES ($1, clock_timestamp() + make_interval(secs => $2)) RETURNING id"
    )
}

/// When a delay of `$1` seconds is over by the server's clock.
pub(super) const DUE: &str = "SELECT clock_timestamp() + make_interval(secs => $1)";

pub(super) fn push_many(table: &str) -> String {
    format!("COPY {table} (payload, due) FROM STDIN (FORMAT binary)")
}

/// `$1` owner, `$2` lease in seconds, `$3` items, `$4` bytes, `$5` attempts.
///
/// Nobody waits for another's claim, since rows locked by it are left out. The sizes are looked at once the rows are
/// locked, so that nothing is claimed beyond the bytes but for a single item; rows that are not changed are free again
/// with the COMMIT. An item whose attempts are used up, which only a host that died can have left so, becomes a dead
/// letter here.
pub(super) fn claim(table: &str) -> String {
    format!(
        "WITH found AS MATERIALIZED (
            SELECT id, due, octet_length(payload) AS bytes FROM {table}
            WHERE dead IS NULL AND due <= now() ORDER BY due, id LIMIT $3 FOR UPDATE SKIP LOCKED
        ), sized AS (
            SELECT id, row_number() OVER w AS nth, sum(bytes) OVER w AS bytes
            FROM found WINDOW w AS (ORDER BY due, id ROWS UNBOUNDED PRECEDING)
        )
        UPDATE {table} AS q SET
            attempt = CASE WHEN q.attempt < $5 THEN q.attempt + 1 ELSE q.attempt END,
            owner = CASE WHEN q.attempt < $5 THEN $1 END,
            due = clock_timestamp() + make_interval(secs => $2),
            dead = CASE WHEN q.attempt >= $5 THEN clock_timestamp() END,
            error = CASE WHEN q.attempt < $5 THEN q.error
                ELSE 'given up: the lease of its last attempt ended without a word of what became of it'
                    || coalesce('; before that: ' || q.error, '') END
        FROM sized WHERE q.id = sized.id AND (sized.nth = 1 OR sized.bytes <= $4)
        RETURNING q.id, q.attempt, CASE WHEN q.dead IS NULL THEN q.payload END"
    )
}

/// `$1` owner, `$2` items, `$3` attempts, `$4` lease in seconds. A row that is locked is being removed, or given to
/// another.
pub(super) fn renew(table: &str) -> String {
    format!(
        "WITH own AS MATERIALIZED (
            SELECT q.id FROM {table} AS q
            JOIN unnest($2::bigint[], $3::integer[]) AS k (id, attempt) USING (id, attempt)
            WHERE q.owner = $1 FOR UPDATE OF q SKIP LOCKED
        )
        UPDATE {table} AS q SET due = clock_timestamp() + make_interval(secs => $4) FROM own WHERE q.id = own.id"
    )
}

/// `$1` owner, `$2` items, `$3` attempts. What was not begun was no attempt.
pub(super) fn give_back(table: &str) -> String {
    format!(
        "UPDATE {table} AS q SET owner = NULL, attempt = q.attempt - 1, due = clock_timestamp()
        FROM unnest($2::bigint[], $3::integer[]) AS k (id, attempt)
        WHERE q.id = k.id AND q.attempt = k.attempt AND q.owner = $1"
    )
}

/// `$1` item, `$2` owner, `$3` attempt. It raises 22012 where it removes nothing, so that COMMIT can go along with it.
pub(super) fn remove(table: &str) -> String {
    format!(
        "WITH gone AS (DELETE FROM {table} WHERE id = $1 AND owner = $2 AND attempt = $3 RETURNING id)
        SELECT 1 / count(*) FROM gone"
    )
}

/// `$1` item, `$2` owner, `$3` attempt, `$4` error, `$5` seconds to wait, `$6` attempts.
///
/// Returns whether the item is dead, null where its claim has ended, and whether it is there. An item without an owner
/// and with that error is one of which the same was said before, by a statement whose answer was lost. The row is
/// locked first: where a removal is under way, its end is waited for and then seen.
pub(super) fn fail(table: &str) -> String {
    format!(
        "WITH found AS MATERIALIZED (
            SELECT id FROM {table} WHERE id = $1 FOR UPDATE
        ), failed AS (
            UPDATE {table} AS q SET
                owner = NULL, error = $4, due = clock_timestamp() + make_interval(secs => $5),
                dead = CASE WHEN attempt >= $6 THEN clock_timestamp() END
            FROM found
            WHERE q.id = found.id AND attempt = $3 AND (owner = $2 OR owner IS NULL AND error = $4)
            RETURNING dead IS NOT NULL AS is_dead
        )
        SELECT (SELECT is_dead FROM failed), EXISTS (SELECT FROM found)"
    )
}

/// By the order of the index: dead letters, and what was removed and not yet vacuumed, may be many.
pub(super) fn is_empty(table: &str) -> String {
    format!("SELECT (SELECT id FROM {table} WHERE dead IS NULL ORDER BY due, id LIMIT 1) IS NULL")
}

/// Ready, of these with a lease that ended, delayed, leased, dead; seconds since the first of the ready was due.
pub(super) fn stats(table: &str) -> String {
    format!(
        "SELECT
            count(*) FILTER (WHERE dead IS NULL AND due <= now()),
            count(*) FILTER (WHERE dead IS NULL AND due <= now() AND owner IS NOT NULL),
            count(*) FILTER (WHERE dead IS NULL AND due > now() AND owner IS NULL),
            count(*) FILTER (WHERE dead IS NULL AND due > now() AND owner IS NOT NULL),
            count(*) FILTER (WHERE dead IS NOT NULL),
            extract(epoch FROM now() - min(due) FILTER (WHERE dead IS NULL AND due <= now()))::float8
        FROM {table}"
    )
}

/// `$1` most. The latest first.
pub(super) fn dead_letters(table: &str) -> String {
    format!(
        "SELECT id, attempt, dead, error FROM {table} WHERE dead IS NOT NULL ORDER BY dead DESC, id LIMIT $1"
    )
}

pub(super) fn retry_dead(table: &str) -> String {
    format!(
        "UPDATE {table} SET dead = NULL, owner = NULL, attempt = 0, due = clock_timestamp() WHERE dead IS NOT NULL"
    )
}
