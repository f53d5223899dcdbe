//! Puts a returned session back to what it was when new.

use std::time::Duration;

use postgres::SimpleQueryMessage;

use super::pass::Pass;
use super::pg_connection::{PgConnection, TransactionStatus};
use super::pooler::IN_UTF8;
use super::statement_cache::drops_statements;
use crate::clock::Deadline;
use crate::postgres::error::PgError;
use crate::postgres::options::ResetPolicy;

/// Puts settings and role back to what they were when the session began.
const SETTINGS: &str = "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL";

/// Has the session listen to nothing. Notifications that come after its answer there are none.
const LISTENING: &str = "UNLISTEN *";

/// With [`SETTINGS`], what `DISCARD ALL` does without the prepared statements: the client holds on to those by which it
/// looks up types. All in one message, so one round trip.
const REST_OF_FULL: &str = "CLOSE ALL; UNLISTEN *; SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; \
                            DISCARD SEQUENCES";

/// Tells a clean session from an open transaction (false) and a failed one (an error): in a transaction time stands
/// still.
const IS_CLEAN: &str = "SELECT pg_catalog.now() = pg_catalog.statement_timestamp()";

/// What a borrower has left of settings changed in its session, as far as a policy is concerned with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum SettingsLeft {
    /// Nothing to be done, or not known.
    Nothing,
    Restorable,
    /// What the program had set up besides would be undone too, and only a new connection gets it again.
    Unrestorable,
}

impl PgConnection {
    /// Whether a borrower may have left settings changed, of which an unobserved connection tells nothing.
    fn may_have_changed_settings(&self) -> bool {
        self.observer().is_none_or(|shared| shared.settings().are_changed())
    }

    /// Whether a borrower may have left the session listening for notifications, under a policy that minds. Costs
    /// nothing.
    ///
    /// Behind a pooler in transaction mode it is somebody else's session that listens.
    pub(in crate::postgres) fn is_listening_left(&self, policy: &ResetPolicy) -> bool {
        *policy != ResetPolicy::None
            && !self.is_transaction_pooled()
            && self.observer().is_some_and(|shared| shared.listening().is_left())
    }

    fn note_unlistened(&self) {
        if let Some(shared) = self.observer() {
            shared.listening().ended();
        }
    }

    /// What is known of the settings that a borrower has changed. Costs nothing.
    ///
    /// Behind a pooler in transaction mode the session that it changed is somebody else's by now.
    pub(in crate::postgres) fn settings_left(&self, policy: &ResetPolicy) -> SettingsLeft {
        let are_changed = self.observer().is_some_and(|shared| shared.settings().are_changed());
        if !are_changed || self.is_transaction_pooled() {
            return SettingsLeft::Nothing;
        }
        match (policy, self.is_customized) {
            (ResetPolicy::None, _) => SettingsLeft::Nothing,
            // After each use in any case.
            (ResetPolicy::Full, _) => SettingsLeft::Restorable,
            (ResetPolicy::Rollback, true) => SettingsLeft::Unrestorable,
            // A text of the program's own is left to know what has to be set.
            (ResetPolicy::Sql(_), true) => SettingsLeft::Nothing,
            (ResetPolicy::Rollback | ResetPolicy::Sql(_), false) => SettingsLeft::Restorable,
        }
    }
}

/// What a borrower has left of what a reset undoes.
#[derive(Clone, Copy)]
struct Left {
    /// Open or failed.
    transaction: bool,
    settings: bool,
    listening: bool,
    /// Whatever else: something was sent.
    anything: bool,
}

/// Resets `conn` by `policy` within `limit`; `suspect` asks for a sign of life in any case. `Ok` also for one of which
/// [`PgConnection::is_unrestorable`] says that it must not be lent again.
pub(in crate::postgres) fn reset(
    conn: &mut PgConnection,
    policy: &ResetPolicy,
    suspect: bool,
    limit: Duration,
) -> Result<(), PgError> {
    let end = Deadline::of(limit);
    if !conn.end_leftovers(limit)? {
        return Ok(());
    }
    if suspect {
        conn.ping(end.left())?;
    }
    let policy = conn.reset_policy(policy);
    let in_transaction = match conn.transaction_status() {
        Some(status) => status != TransactionStatus::Idle,
        None => !is_clean(conn),
    };
    if in_transaction && *policy == ResetPolicy::None {
        return Err(PgError::left_in_transaction());
    }
    let settings = conn.settings_left(policy);
    let left = Left {
        transaction: in_transaction,
        settings: settings == SettingsLeft::Restorable,
        listening: conn.is_listening_left(policy),
        anything: conn.is_used() || in_transaction,
    };
    let restored = if left.settings || !matches!(policy, ResetPolicy::Rollback) {
        conn.restored_after_reset()
    } else {
        None
    };
    let kept = conn.pass.as_ref().filter(|_| *policy == ResetPolicy::Full).map(Pass::kept);
    let text_from = |left| message(policy, left, kept.as_ref(), restored.as_deref());
    if let Some(mut text) = text_from(left) {
        if !text.is_ascii() && conn.may_have_changed_settings() {
            // The server reads a message in the encoding that was in force before it.
            let first = if in_transaction { format!("ROLLBACK; {IN_UTF8}") } else { IN_UTF8.to_owned() };
            conn.bounded_own(end.left(), |client| client.batch_execute(&first))?;
            text = text_from(Left { transaction: false, ..left }).unwrap_or_default();
        }
        let sent = conn.bounded_own(end.left(), |client| client.batch_execute(&text));
        sent.map_err(|error| if kept.is_some() { told_of_slot(error) } else { error })?;
        if matches!(policy, ResetPolicy::Sql(sql) if drops_statements(sql)) {
            conn.parts().1.clear();
        }
    }
    if conn.is_observed() && conn.transaction_status() != Some(TransactionStatus::Idle) {
        return Err(PgError::not_idle("after a reset"));
    }
    if settings != SettingsLeft::Unrestorable {
        conn.accept_settings();
    }
    if left.listening || *policy == ResetPolicy::Full {
        conn.note_unlistened();
    }
    conn.discard_notifications();
    conn.mark_fresh();
    Ok(())
}

/// What keeps a connection's slot divides by the number of those that it has.
fn told_of_slot(error: PgError) -> PgError {
    match error.sqlstate() {
        Some("22012") => PgError::no_room(
            "the connection had lost its slot in its fleet when it came back, as by pg_advisory_unlock_all()"
                .to_owned(),
        ),
        _ => error,
    }
}

/// The message to send, if any, with what a reset of the settings takes away.
fn message(
    policy: &ResetPolicy,
    left: Left,
    kept: Option<&[String; 2]>,
    restored: Option<&str>,
) -> Option<String> {
    let mut text = statements(policy, left, kept)?;
    if let Some(restored) = restored {
        // On a line of its own, as the user's text may end in a comment; should it end in a semicolon, then an empty
        // statement does no harm.
        text.push_str("\n; ");
        text.push_str(restored);
    }
    Some(text)
}

/// What undoes what a borrower left. ROLLBACK outside of a transaction would put a warning into the server's log.
fn statements(policy: &ResetPolicy, left: Left, kept: Option<&[String; 2]>) -> Option<String> {
    let of_policy = match (policy, kept) {
        (ResetPolicy::Full, Some([before, after])) => &format!("{before}; {REST_OF_FULL}; {after}"),
        (ResetPolicy::Full, None) => REST_OF_FULL,
        (ResetPolicy::Sql(text), _) => text,
        (ResetPolicy::Rollback | ResetPolicy::None, _) => "",
    };
    let is_full = *policy == ResetPolicy::Full;
    let parts = [
        (left.transaction, "ROLLBACK"),
        (left.settings || left.anything && is_full, SETTINGS),
        (left.listening && !is_full, LISTENING),
        (left.anything && !of_policy.is_empty(), of_policy),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|(wanted, _)| *wanted).map(|(_, part)| part).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
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
        let none = Left { transaction: false, settings: false, listening: false, anything: false };
        let of = |policy, transaction, used| {
            statements(&policy, Left { transaction, anything: used || transaction, ..none }, None)
        };
        assert_eq!(of(ResetPolicy::Rollback, false, true), None);
        assert_eq!(of(ResetPolicy::Rollback, true, true).unwrap(), "ROLLBACK");
        assert_eq!(of(ResetPolicy::Full, false, false), None);
        assert_eq!(of(ResetPolicy::Full, false, true).unwrap(), format!("{SETTINGS}; {REST_OF_FULL}"));
        assert!(of(ResetPolicy::Full, true, true).unwrap().starts_with("ROLLBACK; SET SESSION"));
        assert_eq!(of(ResetPolicy::Sql("X".to_owned()), true, true).unwrap(), "ROLLBACK; X");

        let changed = |policy, transaction| {
            statements(&policy, Left { transaction, settings: true, anything: true, ..none }, None).unwrap()
        };
        assert_eq!(changed(ResetPolicy::Rollback, false), SETTINGS);
        assert_eq!(changed(ResetPolicy::Rollback, true), format!("ROLLBACK; {SETTINGS}"));
        // What the text itself sets has to stay.
        assert_eq!(changed(ResetPolicy::Sql("X".to_owned()), false), format!("{SETTINGS}; X"));

        let listening =
            |policy| statements(&policy, Left { listening: true, anything: true, ..none }, None).unwrap();
        assert_eq!(listening(ResetPolicy::Rollback), "UNLISTEN *");
        assert_eq!(listening(ResetPolicy::Sql("X".to_owned())), "UNLISTEN *; X");
        assert_eq!(listening(ResetPolicy::Full).matches("UNLISTEN").count(), 1);
    }
}
