//! A transaction as a closure.

use std::time::Duration;

use super::retry::Again;
use super::transaction::{Noted, Session, SessionOptions};
use crate::postgres::connection::{PgConnection, TransactionStatus};
use crate::postgres::error::{PgError, is_lost};
use crate::postgres::options::SOCKET_MARGIN;
use crate::postgres::sqlstate::{Meaning, means};
use crate::text::line;

/// The longest that the ROLLBACK after an error may take. Past it the connection is given up, which rolls back too.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(5);

/// The longest that the rest of a reply may take which the caller did not read.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// Runs `work` in a transaction: BEGIN before it, COMMIT when it returns `Ok`, ROLLBACK when it returns `Err`.
///
/// BEGIN and the session's own limits go in one message. When `work` panics nothing is sent: the panic unwinds at
/// once, whatever the server does, and the connection stays in the transaction until its pool rolls it back.
///
/// It runs once, whatever `options` say of repeating it: that is for
/// [`PgPool::session_with`](crate::TieredPool::session_with), which can take another connection.
///
/// A session whose statement timeout is longer than the pool's gets a socket timeout to match. Behind a PgBouncer in
/// transaction mode the pool's own statement timeout holds for the session too, by `SET LOCAL`.
///
/// # Blocking
///
/// For the answers to BEGIN and COMMIT, up to the socket timeout; for that to ROLLBACK, and for the rest of a row
/// stream that `work` left half read, at most 5 s each. Not at all once
/// the connection is lost or abandoned.
///
/// # Errors
///
/// Those of `work`, as they are. Besides, as a [`PgError`]: BEGIN or COMMIT failed; the connection is in a
/// transaction already; a statement had failed and `work` returned `Ok` all the same, so that COMMIT would have rolled
/// back without a word. When the connection is lost between COMMIT and its answer,
/// [`PgError::is_outcome_unknown`] is true.
///
/// # Examples
///
/// ```no_run
/// use tierpool::postgres::{PgConnection, PgError, SessionOptions, run_session};
///
/// fn store(conn: &mut PgConnection, page: &str) -> Result<u64, PgError> {
///     let options = SessionOptions::new().lock_timeout(std::time::Duration::from_secs(1));
///     run_session(conn, &options, |tx| tx.execute("INSERT INTO pages VALUES ($1)", &[&page]))
/// }
/// ```
pub fn run_session<T, E: From<PgError>>(
    conn: &mut PgConnection,
    options: &SessionOptions,
    work: impl FnOnce(&mut Session<'_>) -> Result<T, E>,
) -> Result<T, E> {
    attempt(conn, options, work).map_err(|setback| setback.error)
}

/// A session that failed, and whether it is worth another attempt.
pub(crate) struct Setback<E> {
    pub(crate) error: E,
    pub(crate) again: Again,
    /// Why another attempt may help, for the log.
    pub(crate) cause: String,
}

impl<E: From<PgError>> Setback<E> {
    /// A failure that another attempt does not cure.
    pub(crate) fn for_good(error: PgError) -> Self {
        Setback { error: error.into(), again: Again::No, cause: String::new() }
    }

    /// A failure of the session's own frame; `passing` where it is not the error that tells of another attempt.
    fn of(error: PgError, passing: Option<Passing>) -> Self {
        let again = match &passing {
            _ if error.sqlstate().is_some_and(|code| means(code, Meaning::Overran)) => Again::No,
            _ if error.is_of_statement_mode() => Again::No,
            _ if error.is_outcome_unknown() => Again::IfIdempotent,
            Some(passing) => passing.again,
            None if !error.is_retryable() => Again::No,
            None if error.is_connection_lost() || error.sqlstate().is_some_and(tells_of_the_server) => {
                Again::Outage
            }
            None => Again::Yes,
        };
        let cause = passing.map_or_else(|| error.to_string(), |passing| passing.cause);
        Setback { error: error.into(), again, cause }
    }

    /// No connection could be had at the moment.
    pub(crate) fn outage(error: PgError) -> Self {
        let cause = error.to_string();
        Setback { error: error.into(), again: Again::Outage, cause }
    }
}

/// What it was that passes.
struct Passing {
    again: Again,
    /// For the log.
    cause: String,
}

impl Passing {
    /// A SQLSTATE of the server's.
    fn code(code: &str) -> Self {
        let again = if tells_of_the_server(code) { Again::Outage } else { Again::Yes };
        Passing { again, cause: format!("SQLSTATE {code}") }
    }

    /// A connection that is lost, but for one whose transaction overran a limit. Not by an outage where the server was
    /// silent for too long: it may be at work on a statement to which the client gave too little time, and the next
    /// would fare no better.
    fn lost(conn: &PgConnection) -> Self {
        let silent = conn.observer().is_some_and(|shared| {
            conn.present_socket_timeout().is_some_and(|limit| shared.silence() >= limit)
        });
        let again = if silent { Again::Yes } else { Again::Outage };
        Passing { again, cause: "the connection was lost".to_owned() }
    }
}

/// Whether a SQLSTATE tells of the server, which ends or refuses everybody's sessions, and not of this one's work.
fn tells_of_the_server(code: &str) -> bool {
    means(code, Meaning::EndsSession) || means(code, Meaning::ReadOnly)
}

/// One run of a session, as [`run_session`] describes it.
pub(crate) fn attempt<T, E: From<PgError>>(
    conn: &mut PgConnection,
    options: &SessionOptions,
    work: impl FnOnce(&mut Session<'_>) -> Result<T, E>,
) -> Result<T, Setback<E>> {
    run_once(conn, options, work).map_err(|setback| match conn.is_ended_by_pool() {
        // What was held for too long would be so once more, and a closed pool lends no other connection.
        true => Setback { again: Again::No, ..setback },
        false => setback,
    })
}

fn run_once<T, E: From<PgError>>(
    conn: &mut PgConnection,
    options: &SessionOptions,
    work: impl FnOnce(&mut Session<'_>) -> Result<T, E>,
) -> Result<T, Setback<E>> {
    let limits = LimitsInForce::raise(conn, options);
    let mut noted = Noted::on(limits.conn);
    begin(limits.conn, options).map_err(|error| {
        // Nothing was done yet, so a connection lost here is one lost before COMMIT.
        let lost = error.is_connection_lost().then(|| Passing::lost(limits.conn));
        Setback::of(error, lost)
    })?;
    match work(&mut Session::new(limits.conn, &mut noted)) {
        Ok(value) => {
            // Looked up here, as what comes ends the transaction.
            let ignored = passing(limits.conn, noted);
            commit(limits.conn).map(|()| value).map_err(|error| {
                let ignored = ignored.filter(|_| error.is_commit_aborted());
                Setback::of(error, ignored)
            })
        }
        Err(error) => {
            let passing = passing(limits.conn, noted);
            roll_back(limits.conn);
            let (again, cause) =
                passing.map_or_else(|| (Again::No, String::new()), |passing| (passing.again, passing.cause));
            Err(Setback { error, again, cause })
        }
    }
}

/// Why the transaction on this connection failed, where that passes; asked before it is rolled back.
///
/// The work's own error can be of any type and is not looked at. What counts is the last error of the server's: on an
/// observed connection as it came over the wire, also to calls of the bare client; else as the session's calls saw it.
fn passing(conn: &mut PgConnection, noted: Noted) -> Option<Passing> {
    let ending = conn.observer().and_then(|shared| shared.errors().ending());
    let overran = noted.overran || ending.is_some_and(|code| means(code, Meaning::Overran));
    // Work that was too slow for a limit of the server's is so once more.
    if noted.sent_end || overran {
        return None;
    }
    let lost = conn.is_lost().then(|| Passing::lost(conn));
    if !conn.is_observed() {
        return lost.or_else(|| noted.transient.as_deref().map(Passing::code));
    }
    if lost.is_none() {
        // Status and role of the server come with the end of the reply, after the error. Where that does not come, the
        // caller's error is still what led here.
        let _ = conn.settle(SETTLE_LIMIT);
    }
    let shared = conn.observer()?;
    // The work has ended the transaction by itself: what it did before that stays.
    if shared.status() == b'I' {
        return None;
    }
    let passing = shared.errors().last().and_then(|last| {
        let code = str::from_utf8(&last.code).ok()?;
        // Elsewhere there may be a server that takes writes; to that the pool's next connection leads.
        let elsewhere = means(code, Meaning::ReadOnly) && shared.is_misrouted();
        (last.is_stale_plan || elsewhere || means(code, Meaning::Transient)).then(|| Passing::code(code))
    });
    passing.or(lost)
}

/// A socket timeout raised for one session, and put back to the borrower's own also when that panics.
struct LimitsInForce<'a> {
    conn: &'a mut PgConnection,
    before: Option<Duration>,
}

impl<'a> LimitsInForce<'a> {
    fn raise(conn: &'a mut PgConnection, options: &SessionOptions) -> Self {
        let before = conn.present_socket_timeout();
        if let (Some(usual), Some(statement)) = (before, options.statement_timeout) {
            // Zero is the server's word for no limit.
            let needed = (!statement.is_zero()).then(|| statement.saturating_add(SOCKET_MARGIN).max(usual));
            conn.set_socket_timeout(needed);
        }
        LimitsInForce { conn, before }
    }
}

impl Drop for LimitsInForce<'_> {
    fn drop(&mut self) {
        self.conn.set_socket_timeout(self.before);
    }
}

/// Says of an error before COMMIT that the same work is worth doing again, where that is the connection's loss and not
/// the pool's own doing.
fn undone(conn: &PgConnection, error: PgError) -> PgError {
    if conn.is_ended_by_pool() { error.for_good() } else { error.before_commit() }
}

fn begin(conn: &mut PgConnection, options: &SessionOptions) -> Result<(), PgError> {
    conn.settle(SETTLE_LIMIT).map_err(|error| undone(conn, error))?;
    if conn.transaction_status().is_some_and(|status| status != TransactionStatus::Idle) {
        return Err(PgError::in_transaction());
    }
    if let Some(shared) = conn.observer() {
        shared.errors().forget();
    }
    let text = options.begin(conn.local_statement_timeout());
    conn.batch_execute(&text).map_err(|error| {
        // BEGIN may have worked and a SET LOCAL after it failed.
        roll_back(conn);
        undone(conn, conn.explained(error.into()))
    })
}

fn commit(conn: &mut PgConnection) -> Result<(), PgError> {
    // A COMMIT of a failed transaction rolls back and reports success. The observer knows; without it a statement
    // ahead of COMMIT in the same message fails where the transaction has.
    let text = if conn.is_observed() { "COMMIT" } else { "SELECT; COMMIT" };
    conn.settle(SETTLE_LIMIT).map_err(|error| undone(conn, PgError::lost_before_commit(error)))?;
    match conn.transaction_status() {
        // `work` has ended the transaction by itself.
        Some(TransactionStatus::Idle) if !conn.is_lost() => return Ok(()),
        Some(TransactionStatus::Failed) => {
            roll_back(conn);
            return Err(PgError::commit_aborted());
        }
        Some(_) | None => {}
    }
    // By then the session is over, and no server reads what is sent.
    let was_lost = conn.is_lost();
    let sent_before = conn.round_trips();
    match conn.batch_execute(text) {
        Ok(()) => Ok(()),
        Err(error) if is_lost(&error) => {
            let unsent = was_lost || sent_before.is_some() && conn.round_trips() == sent_before;
            if !unsent {
                return Err(conn.explained(PgError::commit_lost(error)));
            }
            let lost = conn.explained(PgError::lost_before_commit(error.into()));
            Err(undone(conn, lost))
        }
        Err(error) if error.code().is_some_and(|code| means(code.code(), Meaning::FailedBefore)) => {
            roll_back(conn);
            Err(PgError::commit_aborted())
        }
        Err(error) => Err(error.into()),
    }
}

/// Ends the transaction if there is one, or else the connection. The error that led here is the one that matters.
fn roll_back(conn: &mut PgConnection) {
    if conn.is_lost()
        || conn.transaction_status() == Some(TransactionStatus::Idle) && !conn.is_reply_pending()
    {
        return;
    }
    if let Err(error) = conn.bounded(ROLLBACK_LIMIT, |client| client.batch_execute("ROLLBACK")) {
        log::debug!("connection given up, as ROLLBACK failed: {}", line(&error));
        conn.abandon();
    }
}
