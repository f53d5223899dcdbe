//! What it means for another attempt that a session failed.

use super::retry::Again;
use crate::error::Error;
use crate::postgres::connection::PgConnection;
use crate::postgres::error::PgError;
use crate::postgres::sqlstate::{Meaning, means};

/// Why an attempt at a session did not commit.
pub(crate) enum Uncommitted<E> {
    /// No connection could be had for its first statement.
    NoConnection {
        /// What the work made of it; the refusal itself, where that returned `Ok` all the same.
        error: E,
        refusal: Error,
    },
    /// The session failed.
    Session(Setback<E>),
}

impl<E: From<PgError>> Uncommitted<E> {
    /// No connection could be had, and the work was not begun.
    pub(crate) fn refused(refusal: Error) -> Self {
        Uncommitted::NoConnection { error: PgError::from(refusal.again()).into(), refusal }
    }
}

impl<E> Uncommitted<E> {
    pub(crate) fn into_error(self) -> E {
        match self {
            Uncommitted::NoConnection { error, .. } => error,
            Uncommitted::Session(setback) => setback.error,
        }
    }
}

/// A session that failed, and whether it is worth another attempt.
pub(crate) struct Setback<E> {
    pub(crate) error: E,
    pub(crate) again: Again,
    /// Why another attempt may help, for the log.
    pub(crate) cause: String,
    /// What it is, where the session itself has met it: known whatever type the error has become. None where the work
    /// brought it.
    pub(crate) of_frame: Option<OfFrame>,
}

/// A failure of the session's own frame: of BEGIN, COMMIT, or the last statement, which was left to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfFrame {
    /// COMMIT may have taken effect.
    OutcomeUnknown,
    ConnectionLost,
    StatementTimeout,
    /// The server, or this side in its place, refused it.
    Refused,
}

impl OfFrame {
    pub(super) fn of(error: &PgError) -> Self {
        if error.is_outcome_unknown() {
            OfFrame::OutcomeUnknown
        } else if error.is_connection_lost() {
            OfFrame::ConnectionLost
        } else if error.is_statement_timeout() {
            OfFrame::StatementTimeout
        } else {
            OfFrame::Refused
        }
    }
}

impl<E> Setback<E> {
    /// A failure of the work's own; `passing` where the server asked for another attempt.
    pub(super) fn of_work(error: E, passing: Option<Passing>) -> Self {
        let (again, cause) =
            passing.map_or_else(|| (Again::No, String::new()), |passing| (passing.again, passing.cause));
        Setback { error, again, cause, of_frame: None }
    }
}

impl<E: From<PgError>> Setback<E> {
    /// A failure of the session's own frame; `passing` where it is not the error that tells of another attempt.
    pub(super) fn of(error: PgError, passing: Option<Passing>) -> Self {
        let Passing { again, cause } = Passing::of_frame(&error, passing);
        let of_frame = Some(OfFrame::of(&error));
        Setback { error: error.into(), again, cause, of_frame }
    }

    /// BEGIN failed, and the work had nothing to say to that.
    pub(super) fn of_begin(error: PgError, passing: Passing) -> Self {
        let of_frame = Some(OfFrame::of(&error));
        Setback { of_frame, ..Setback::of_work(error.into(), Some(passing)) }
    }
}

/// What it was that passes.
pub(super) struct Passing {
    pub(super) again: Again,
    /// For the log.
    pub(super) cause: String,
}

impl Passing {
    /// What a failure of the session's own frame means, where `passing` is not what tells of another attempt.
    pub(super) fn of_frame(error: &PgError, passing: Option<Passing>) -> Self {
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
        Passing { again, cause: passing.map_or_else(|| error.to_string(), |passing| passing.cause) }
    }

    /// A SQLSTATE of the server's.
    pub(super) fn code(code: &str) -> Self {
        let again = if tells_of_the_server(code) { Again::Outage } else { Again::Yes };
        Passing { again, cause: format!("SQLSTATE {code}") }
    }

    /// A connection that is lost, but for one whose transaction overran a limit. Not by an outage where the server was
    /// silent for too long: it may be at work on a statement to which the client gave too little time, and the next
    /// would fare no better.
    pub(super) fn lost(conn: &PgConnection) -> Self {
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
