//! A transaction as a closure.

use super::bounds::{ending_limit, roll_back, stands_at, undone};
use super::ending::{Committed, Ending};
use super::noted::Noted;
use super::options::SessionOptions;
use super::retry::Again;
use super::setback::{OfFrame, Passing, Setback, Uncommitted};
use super::transaction::Session;
use super::underway::{Frame, Phase};
use crate::postgres::connection::{PgConnection, TransactionStatus};
use crate::postgres::error::{PgError, is_lost};
use crate::postgres::sqlstate::{Meaning, means};

/// Runs `work` in a transaction: BEGIN ahead of its first statement, COMMIT when it returns `Ok`, ROLLBACK when it
/// returns `Err`. Where it sends nothing, nothing is sent.
///
/// BEGIN and the session's own limits go along with the first statement and cost no round trip; ahead of one by the
/// simple protocol, as of `batch_execute`, and over a Unix socket, they take one of their own. Where the session is
/// [`read_only`](SessionOptions::read_only) and not serializable, and its commands have done nothing but read, the
/// answer to COMMIT is not waited for.
///
/// When `work` panics nothing is sent: the panic unwinds at once, whatever the server does, and the connection stays in
/// the transaction until its pool rolls it back.
///
/// Where BEGIN is refused, as `SERIALIZABLE` by a standby, the statement that needed it fails with that, and so does
/// each after it: none runs outside of the transaction. The connection stays good.
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
/// Those of `work`, as they are. Besides, as a [`PgError`]: the connection is in a transaction already, which is told
/// before `work` begins; BEGIN failed and `work` returned `Ok` all the same; COMMIT failed; a statement had failed and
/// `work` returned `Ok` all the same, so that COMMIT would have rolled back without a word; `work` caught the panic of
/// a savepoint's. When the connection is lost
/// between COMMIT and its answer, [`PgError::is_outcome_unknown`] is true.
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
    run_session_ending(conn, options, |tx| work(tx).map(Ending::Commit))
}

/// As [`run_session`], with work that can leave its last statement to the session, for COMMIT to go along with it.
///
/// What that saves, and what to give as the last statement, is told at
/// [`session_ending`](crate::TieredPool::session_ending).
///
/// # Blocking
///
/// As [`run_session`], and for the answer to the last statement, up to the socket timeout.
///
/// # Errors
///
/// As [`run_session`], and those of the last statement.
///
/// # Panics
///
/// When `work` does, or what [`Last::map`](crate::postgres::Last::map) was given; by then the transaction is committed.
///
/// # Examples
///
/// ```no_run
/// use tierpool::postgres::{Ending, Last, PgConnection, PgError, SessionOptions, run_session_ending};
///
/// fn store(conn: &mut PgConnection, page: &str) -> Result<u64, PgError> {
///     run_session_ending(conn, &SessionOptions::new(), |_| {
///         Ok(Ending::Last(Last::execute("INSERT INTO pages VALUES ($1)").with(page)))
///     })
/// }
/// ```
pub fn run_session_ending<'e, T: 'e, E: From<PgError>>(
    conn: &mut PgConnection,
    options: &SessionOptions,
    work: impl FnOnce(&mut Session<'_>) -> Result<Ending<'e, T>, E>,
) -> Result<T, E> {
    let frame = Frame::on(conn, options)?;
    attempt(frame, work).map(Committed::value).map_err(Uncommitted::into_error)
}

/// One run of a session, as [`run_session`] describes it; on a connection of the pool's, from its first statement on.
pub(crate) fn attempt<'e, T: 'e, E: From<PgError>>(
    mut frame: Frame<'_>,
    work: impl FnOnce(&mut Session<'_>) -> Result<Ending<'e, T>, E>,
) -> Result<Committed<'e, T>, Uncommitted<E>> {
    let mut session = Session::new(frame.underway());
    let (outcome, of_last) = match work(&mut session).map(|ending| ending.end(&mut session)) {
        Ok(Ok(committed)) => (Ok(committed), None),
        Ok(Err(error)) => {
            let of_last = OfFrame::of(&error);
            (Err(error.into()), Some(of_last))
        }
        Err(error) => (Err(error), None),
    };
    let ended = match frame.take_phase() {
        // Nothing was sent.
        Phase::Ahead => outcome.map_err(|error| Uncommitted::Session(Setback::of_work(error, None))),
        Phase::NoConnection(refusal) => Err(match outcome {
            Ok(_) => Uncommitted::refused(refusal),
            Err(error) => Uncommitted::NoConnection { error, refusal },
        }),
        Phase::NotBegun(refused) => Err(Uncommitted::Session(match outcome {
            Ok(_) => Setback::of_begin(refused.error(), refused.passing),
            Err(error) => Setback::of_work(error, Some(refused.passing)),
        })),
        // It fails where its COMMIT did, and by that error.
        Phase::Ended(passing) => {
            outcome.map_err(|error| Uncommitted::Session(Setback::of_work(error, passing)))
        }
        Phase::Panicked => {
            if let Some((conn, _)) = frame.parts() {
                roll_back(conn);
            }
            let error = outcome.err().unwrap_or_else(|| PgError::savepoint_panicked().into());
            // A panic is never repeated.
            Err(Uncommitted::Session(Setback::of_work(error, None)))
        }
        Phase::Begun => end(&mut frame, outcome).map_err(Uncommitted::Session),
    };
    ended.map_err(|uncommitted| match uncommitted {
        Uncommitted::Session(setback) => {
            Uncommitted::Session(Setback { of_frame: setback.of_frame.or(of_last), ..setback })
        }
        no_connection => no_connection,
    })
}

/// Ends a transaction that was begun.
fn end<T, E: From<PgError>>(frame: &mut Frame<'_>, outcome: Result<T, E>) -> Result<T, Setback<E>> {
    let options = frame.options();
    let Some((conn, noted)) = frame.parts() else {
        unreachable!("BUG: a session that was begun has no connection");
    };
    let ended = match outcome {
        Ok(value) => {
            // Looked up here, as what comes ends the transaction.
            let ignored = passing(conn, noted);
            commit(conn, options).map(|()| value).map_err(|error| match error.is_commit_aborted() {
                true => Setback::of(noted.ignored(), ignored),
                false => Setback::of(error, None),
            })
        }
        Err(error) => {
            let passing = passing(conn, noted);
            roll_back(conn);
            Err(Setback::of_work(error, passing))
        }
    };
    ended.map_err(|setback| match conn.is_ended_by_pool() {
        // What was held for too long would be so once more, and a closed pool lends no other connection.
        true => Setback { again: Again::No, ..setback },
        false => setback,
    })
}

/// Why the transaction on this connection failed, where that passes; asked before it is rolled back.
///
/// The work's own error can be of any type and is not looked at. What counts is the last error of the server's: on an
/// observed connection as it came over the wire, also to calls of the bare client; else as the session's calls saw it.
fn passing(conn: &mut PgConnection, noted: &Noted) -> Option<Passing> {
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
        let _ = conn.settle(ending_limit(conn));
    }
    let shared = conn.observer()?;
    // The work has ended the transaction by itself: what it did before that stays. A BEGIN without an answer leaves the
    // status of before it.
    if shared.status() == b'I' && !shared.along().is_begin_unanswered() {
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

fn commit(conn: &mut PgConnection, options: &SessionOptions) -> Result<(), PgError> {
    // A COMMIT of a failed transaction rolls back and reports success. The observer knows; without it a statement
    // ahead of COMMIT in the same message fails where the transaction has.
    if conn.is_begin_held() {
        // Nothing was sent, so there is nothing to commit.
        let lost =
            |conn: &PgConnection| undone(conn, conn.explained(PgError::lost_before_commit(PgError::lost())));
        return if conn.is_lost() { Err(lost(conn)) } else { Ok(()) };
    }
    let text = if conn.is_observed() { "COMMIT" } else { "SELECT; COMMIT" };
    conn.settle(ending_limit(conn)).map_err(|error| undone(conn, PgError::lost_before_commit(error)))?;
    match conn.transaction_status() {
        // `work` has ended the transaction by itself.
        Some(TransactionStatus::Idle) if !conn.is_lost() => return Ok(()),
        Some(TransactionStatus::Failed) => {
            roll_back(conn);
            return Err(PgError::commit_aborted());
        }
        Some(_) | None => {}
    }
    if options.may_leave(conn.is_serializable()) && conn.can_leave() {
        let sent = conn.leave_transaction(ending_limit(conn));
        return sent.map_err(|error| undone(conn, PgError::lost_before_commit(error)));
    }
    // By then the session is over, and no server reads what is sent.
    let was_lost = conn.is_lost();
    let sent_before = conn.round_trips();
    match conn.batch_execute(text) {
        Ok(()) if stands_at(conn, TransactionStatus::Idle) => Ok(()),
        Ok(()) => {
            conn.abandon();
            Err(PgError::commit_unanswered())
        }
        // Only an error of the server's says that nothing is committed.
        Err(error) if is_lost(&error) || error.as_db_error().is_none() => {
            let unsent = was_lost || sent_before.is_some() && conn.round_trips() == sent_before;
            if !unsent {
                // What follows an answer that is none answers nobody knows what.
                conn.abandon();
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
