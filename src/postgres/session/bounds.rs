//! A transaction's bounds on its connection: BEGIN, ROLLBACK, and the limits of time between them.

use std::time::Duration;

use log::Level;

use super::options::SessionOptions;
use crate::lines::say;
use crate::postgres::connection::{PgConnection, TransactionStatus};
use crate::postgres::error::PgError;
use crate::postgres::options::SOCKET_MARGIN;
use crate::text::line;

/// The longest that the ROLLBACK after an error may take, or the rest of a reply which the caller did not read. Past it
/// the connection is given up, which rolls back too.
const ENDING_LIMIT: Duration = Duration::from_secs(5);

/// [`ENDING_LIMIT`] on this connection: a server that may be silent for less has less to end in, whatever it goes on to
/// send.
pub(super) fn ending_limit(conn: &PgConnection) -> Duration {
    conn.present_socket_timeout().map_or(ENDING_LIMIT, |silence| silence.min(ENDING_LIMIT))
}

/// Sees that a connection is in no transaction, and that nothing of what it was used for before is left to be read.
pub(super) fn make_ready(conn: &mut PgConnection) -> Result<(), PgError> {
    conn.settle(ending_limit(conn)).map_err(|error| undone(conn, error))?;
    if conn.transaction_status().is_some_and(|status| status != TransactionStatus::Idle) {
        return Err(PgError::in_transaction());
    }
    Ok(())
}

/// Has BEGIN go along with the first statement. Over a Unix socket it goes by itself.
pub(super) fn begin_along(conn: &mut PgConnection, options: &SessionOptions) -> Result<(), PgError> {
    let commands = options.begin_along(conn.local_statement_timeout());
    forget_errors(conn);
    if conn.hold_begin(commands, options.is_read_only()) { Ok(()) } else { send_begin(conn, options, "") }
}

fn forget_errors(conn: &PgConnection) {
    if let Some(shared) = conn.observer() {
        shared.errors().forget();
    }
}

pub(super) fn send_begin(
    conn: &mut PgConnection,
    options: &SessionOptions,
    before: &str,
) -> Result<(), PgError> {
    forget_errors(conn);
    let text = format!("{before}{}", options.begin(conn.local_statement_timeout()).join("; "));
    conn.batch_execute(&text).map_err(|error| {
        // BEGIN may have worked and a SET LOCAL after it failed.
        roll_back(conn);
        undone(conn, conn.explained(error.into()))
    })?;
    if !stands_at(conn, TransactionStatus::InTransaction) {
        conn.abandon();
        return Err(undone(conn, conn.explained(PgError::lost())));
    }
    Ok(())
}

/// Raises the socket timeout where the session's statements may take longer. Returns the one to put back.
pub(super) fn raise_limits(conn: &mut PgConnection, options: &SessionOptions) -> Option<Duration> {
    let usual = conn.present_socket_timeout();
    if let (Some(usual), Some(statement)) = (usual, options.statement_timeout) {
        // Zero is the server's word for no limit.
        let needed = (!statement.is_zero()).then(|| statement.saturating_add(SOCKET_MARGIN).max(usual));
        conn.set_socket_timeout(needed);
    }
    usual
}

/// Whether the answer to a statement of the session's own has left the connection as that does; always where it is not
/// observed. Where not, it was the answer to something else: a `COPY` that fails as it begins can have two ends, of
/// which the client knows one.
pub(super) fn stands_at(conn: &PgConnection, status: TransactionStatus) -> bool {
    !conn.is_observed() || conn.transaction_status() == Some(status)
}

/// Says of an error before COMMIT that the same work is worth doing again, where that is the connection's loss and not
/// the pool's own doing.
pub(super) fn undone(conn: &PgConnection, error: PgError) -> PgError {
    if conn.is_ended_by_pool() { error.for_good() } else { error.before_commit() }
}

/// Ends the transaction if there is one, or else the connection. The error that led here is the one that matters.
pub(super) fn roll_back(conn: &mut PgConnection) {
    // Then the server's own word counts: of a BEGIN that was held or refused there is nothing to undo.
    conn.end_along();
    if conn.is_lost()
        || conn.transaction_status() == Some(TransactionStatus::Idle) && !conn.is_reply_pending()
    {
        return;
    }
    let outcome = conn.bounded(ending_limit(conn), |client| client.batch_execute("ROLLBACK"));
    if outcome.is_ok() && !stands_at(conn, TransactionStatus::Idle) {
        conn.abandon();
    }
    if let Err(error) = outcome {
        say!(
            Level::Debug,
            module_path!(),
            [error = line(&error)],
            "connection given up, as ROLLBACK failed: {}",
            line(&error)
        );
        conn.abandon();
    }
}
