//! Puts a returned session back to what it was when new.

use std::time::Duration;

use postgres::SimpleQueryMessage;

use super::pg_connection::{PgConnection, TransactionStatus};
use super::statement_cache::drops_statements;
use crate::clock::Deadline;
use crate::postgres::error::PgError;
use crate::postgres::options::ResetPolicy;

/// What `DISCARD ALL` does, without the prepared statements: the client holds on to those by which it looks up types.
/// One message, so one round trip.
const FULL: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
                    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// Tells a clean session from an open transaction (false) and a failed one (an error): in a transaction time stands
/// still.
const IS_CLEAN: &str = "SELECT pg_catalog.now() = pg_catalog.statement_timestamp()";

/// Resets `conn` by `policy` within `limit`; `suspect` asks for a sign of life in any case.
pub(in crate::postgres) fn reset(
    conn: &mut PgConnection,
    policy: &ResetPolicy,
    suspect: bool,
    limit: Duration,
) -> Result<(), PgError> {
    let end = Deadline::of(limit);
    if suspect || !conn.is_observed() {
        conn.ping(end.left())?;
    }
    conn.settle(end.left())?;
    let policy = conn.reset_policy(policy);
    let in_transaction = match conn.transaction_status() {
        Some(status) => status != TransactionStatus::Idle,
        None => !is_clean(conn),
    };
    if in_transaction && *policy == ResetPolicy::None {
        return Err(PgError::left_in_transaction());
    }
    if let Some(mut text) = statements(policy, in_transaction, conn.is_used()) {
        if !matches!(policy, ResetPolicy::Rollback)
            && let Some(restored) = conn.restored_after_reset()
        {
            // On a line of its own, as the user's text may end in a comment; should it end in a semicolon, then an
            // empty statement does no harm.
            text.push_str("\n; ");
            text.push_str(&restored);
        }
        conn.bounded(end.left(), |client| client.batch_execute(&text))?;
        if matches!(policy, ResetPolicy::Sql(sql) if drops_statements(sql)) {
            conn.parts().1.clear();
        }
    }
    conn.discard_notifications();
    conn.mark_fresh();
    Ok(())
}

/// The message to send, if any. ROLLBACK outside of a transaction would put a warning into the server's log.
fn statements(policy: &ResetPolicy, in_transaction: bool, used: bool) -> Option<String> {
    let rest = match policy {
        ResetPolicy::Full => FULL,
        ResetPolicy::Sql(text) => text,
        ResetPolicy::Rollback | ResetPolicy::None => "",
    };
    match (in_transaction, rest) {
        (true, "") => Some("ROLLBACK".to_owned()),
        (true, rest) => Some(format!("ROLLBACK; {rest}")),
        (false, "") => None,
        (false, rest) => used.then(|| rest.to_owned()),
    }
}

/// The round trip by which an unobserved connection tells its status.
fn is_clean(conn: &mut PgConnection) -> bool {
    let is_true = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
        _ => false,
    };
    conn.simple_query(IS_CLEAN).is_ok_and(|answer| answer.iter().any(is_true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_sent() {
        let of = |policy, in_transaction, used| statements(&policy, in_transaction, used);
        assert_eq!(of(ResetPolicy::Rollback, false, true), None);
        assert_eq!(of(ResetPolicy::Rollback, true, true).unwrap(), "ROLLBACK");
        assert_eq!(of(ResetPolicy::Full, false, false), None);
        assert_eq!(of(ResetPolicy::Full, false, true).unwrap(), FULL);
        assert!(of(ResetPolicy::Full, true, true).unwrap().starts_with("ROLLBACK; CLOSE ALL"));
        assert_eq!(of(ResetPolicy::Sql("X".to_owned()), true, true).unwrap(), "ROLLBACK; X");
    }
}
