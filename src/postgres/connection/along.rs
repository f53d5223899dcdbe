//! BEGIN and COMMIT that go along with statements, so that they cost no round trip of their own.
//!
//! Over a Unix socket nothing goes along: there the byte stream is not in the pool's hands.

use std::time::Duration;

use postgres::Client;

use super::pg_connection::{PgConnection, TransactionStatus};
use crate::postgres::error::PgError;
use crate::postgres::observer::{CommitAlong, WireState};

impl PgConnection {
    /// Has BEGIN and what belongs to it go along with the next statement; false where that is not possible.
    /// `is_read_only`: the transaction is.
    pub(in crate::postgres) fn hold_begin(&mut self, commands: Vec<String>, is_read_only: bool) -> bool {
        let Some(shared) = self.observer() else { return false };
        shared.along().hold_begin(commands, is_read_only);
        true
    }

    /// Whether BEGIN is still to go along with the next statement: nothing was sent.
    pub(in crate::postgres) fn is_begin_held(&self) -> bool {
        self.observer().is_some_and(|shared| shared.along().is_begin_held())
    }

    /// Ends what a session has to do with the connection: a BEGIN that was not sent never is, and statements that come
    /// are sent again, whatever became of the session's.
    pub(in crate::postgres) fn end_along(&self) {
        if let Some(shared) = self.observer() {
            shared.along().end_session();
        }
    }

    /// Runs `call` with COMMIT along with the one statement that it executes, and says what became of that COMMIT.
    ///
    /// The call sends a statement that was prepared before, or one with the types of its parameters given, and reads
    /// the answer to its end. Nothing else: neither a look-up of types, which would be taken for the statement, nor a
    /// `COPY`. A BEGIN that is still held goes along too. After it nothing more is sent until the session ends.
    pub(in crate::postgres) fn with_commit_along<T>(
        &mut self,
        call: impl FnOnce(&mut Client) -> Result<T, postgres::Error>,
    ) -> (Result<T, postgres::Error>, CommitAlong) {
        // With the rest of an answer due, or in a failed transaction, it is of no use.
        let is_ready = self.transaction_status() == Some(TransactionStatus::InTransaction);
        if let (true, Some(shared)) = (is_ready, self.observer()) {
            shared.along().arm_commit();
        }
        let outcome = call(self.client_mut());
        let along = self.observer().map_or(CommitAlong::NotSent, |shared| {
            shared.along().disarm_commit(shared.errors().ending().is_some())
        });
        (outcome, along)
    }

    /// Whether the present transaction is serializable, where BEGIN went along with the question.
    pub(in crate::postgres) fn is_serializable(&self) -> Option<bool> {
        self.observer().and_then(|shared| shared.along().is_serializable())
    }

    /// Whether COMMIT can be sent without waiting for its answer: BEGIN went along, its transaction is read-only, and
    /// each command since was one that reads.
    ///
    /// Not where the session may listen: what sends it has the client give its notifications away.
    pub(in crate::postgres) fn can_leave(&self) -> bool {
        let may = |shared: &WireState| !shared.listening().is_possible() && shared.along().only_reads();
        self.observer().is_some_and(may)
            && self.transaction_status() == Some(TransactionStatus::InTransaction)
            && !self.is_begin_held()
    }

    /// Sends COMMIT and does not wait for the answer, which is read with that to the next request, or with the next
    /// look at the connection.
    ///
    /// # Errors
    ///
    /// When the connection is lost, as far as that is known by then.
    pub(in crate::postgres) fn leave_transaction(&mut self, limit: Duration) -> Result<(), PgError> {
        if let Some(shared) = self.observer() {
            shared.along().leave();
        }
        self.turn_once(limit)
    }
}
