//! What the calls of a session have seen of its errors, and of an end of the transaction of the work's own.

use std::sync::Arc;

use crate::postgres::connection::PgConnection;
use crate::postgres::error::{PgError, is_lost, is_worth_repeating};
use crate::postgres::observer::WireState;
use crate::postgres::sqlstate::{Meaning, means};

/// What the calls of a session have seen. Those of the bare client are not among them.
#[derive(Default)]
pub(super) struct Noted {
    /// Where the connection is read along: for the error with which the server ended it.
    wire: Option<Arc<WireState>>,
    /// The SQLSTATE of the last error, if that was one that passes.
    pub(super) transient: Option<String>,
    /// The server ended the session, since the transaction overran a limit.
    pub(super) overran: bool,
    /// Why the server has refused the BEGIN that went along, once that was told.
    refusal: Option<Arc<PgError>>,
    /// The work has sent an end of the transaction of its own: what it did may stay, whatever came after.
    pub(super) sent_end: bool,
}

impl Noted {
    pub(super) fn on(conn: &PgConnection) -> Self {
        Noted { wire: conn.observer_handle(), ..Noted::default() }
    }

    /// Takes note of statements by the simple protocol that are about to be sent.
    pub(super) fn sends(&mut self, sql: &str) {
        self.sent_end |= ends_transaction(sql);
    }

    pub(super) fn note(&mut self, error: postgres::Error) -> PgError {
        let code = error.code().map(|code| code.code());
        // It says no more than that there was an error before.
        if !code.is_some_and(|code| means(code, Meaning::FailedBefore)) {
            self.transient = code.filter(|_| is_worth_repeating(&error)).map(str::to_owned);
        }
        self.overran |= is_lost(&error) && code.is_some_and(|code| means(code, Meaning::Overran));
        let wire = self.wire.as_deref();
        let error = PgError::from(error).ended_by(wire.and_then(|wire| wire.errors().ending()));
        // After an end of its own the work may have been done, and what the pool has ended would be once more.
        let is_undone = !self.sent_end && !wire.is_some_and(WireState::is_ended_by_pool);
        let error = if is_undone { error.before_commit() } else { error.for_good() };
        // Those after it say that there was one before.
        let is_of_begin = self.refusal.is_none() && wire.is_some_and(|wire| wire.along().is_begin_refused());
        if is_of_begin { PgError::not_begun(self.refusal.insert(Arc::new(error))) } else { error }
    }

    /// What a session fails with whose work has kept an error to itself: that of BEGIN, where nothing came after it.
    pub(super) fn ignored(&self) -> PgError {
        self.refusal.as_ref().map_or_else(PgError::commit_aborted, PgError::not_begun)
    }
}

/// Whether one of these statements is a COMMIT or its like. Blind to one behind a comment; an END within a text quoted
/// by dollars is that of a block.
fn ends_transaction(sql: &str) -> bool {
    let quoted = sql.contains('$');
    sql.split(';').any(|statement| {
        let mut words = statement.split_whitespace().map(str::to_ascii_uppercase);
        match (words.next().as_deref(), words.next().as_deref()) {
            (Some("COMMIT"), _) | (Some("PREPARE"), Some("TRANSACTION")) => true,
            (Some("END"), None | Some("WORK" | "TRANSACTION" | "AND")) => !quoted,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_the_transaction_is_recognised() {
        for sql in
            ["COMMIT", "commit and chain", "INSERT INTO t VALUES (1);\n Commit;", "end work", "END; BEGIN"]
        {
            assert!(ends_transaction(sql), "{sql}");
        }
        assert!(ends_transaction("PREPARE TRANSACTION 'x'"));
        for sql in
            ["", "SELECT CASE WHEN true THEN 1 END", "DO $$ BEGIN PERFORM 1; END $$", "PREPARE s AS SELECT 1"]
        {
            assert!(!ends_transaction(sql), "{sql}");
        }
        assert!(!ends_transaction("DO $$ BEGIN PERFORM 1; END; $$; UPDATE commits SET n = 1"));
    }
}
