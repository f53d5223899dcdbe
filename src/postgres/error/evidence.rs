//! What an error of the driver tells: of the connection, and of another attempt.

use std::error::Error as StdError;
use std::io;

use postgres::error::DbError;

use crate::postgres::observer::{LimitExpired, Malformed};
use crate::postgres::sqlstate::{Meaning, ends_session, means};
use crate::text::line;

/// Whether what went wrong while connecting, without a word of the server's, stays so until the settings are changed:
/// TLS, or a way to log in that one side does not know. An answer that cannot be read is none of that: it may be of
/// another service that had the port, or of one server of those behind a name.
pub(super) fn is_of_settings(error: &postgres::Error) -> bool {
    find_io(error).is_none_or(is_tls_mismatch) && !error.is_closed() && !is_of_another_protocol(error)
}

/// Whether an I/O error of a TLS handshake speaks of its content and not of the transport.
pub(super) fn is_tls_mismatch(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
        // What the observer says is of what came through it, TLS or not.
        && error.get_ref().is_none_or(|inner| !inner.is::<LimitExpired>() && !inner.is::<Malformed>())
}

pub(super) fn find_io(error: &postgres::Error) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

/// Whether an error of a call on an open connection means that the connection is gone.
pub(crate) fn is_lost(error: &postgres::Error) -> bool {
    match error.as_db_error() {
        Some(error) => ends_session(error.code().code(), error.parsed_severity()),
        None => error.is_closed() || find_io(error).is_some(),
    }
}

/// Whether `statement_timeout` ended the statement. One that a user cancelled is told apart by the English message.
pub(crate) fn is_statement_timeout(error: &postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        means(error.code().code(), Meaning::Cancelled) && !error.message().contains("user request")
    })
}

/// Whether a PgBouncer refused a transaction since it is in statement mode. It says so to everybody in these words,
/// with the code that it has for all it refuses, and ends the connection.
pub(super) fn is_of_statement_mode(error: &postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        means(error.code().code(), Meaning::ProtocolViolation)
            && error.message().contains("statement pooling mode")
    })
}

/// Whether the server says that the same transaction may succeed when it is done again.
pub(in crate::postgres) fn is_worth_repeating(error: &postgres::Error) -> bool {
    error.code().is_some_and(|code| means(code.code(), Meaning::Transient)) || is_stale_plan(error)
}

/// Whether a prepared statement was refused since its result type has changed. The text is translated and other
/// missing features share the code, so the server's routine tells it.
pub(in crate::postgres) fn is_stale_plan(error: &postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        means(error.code().code(), Meaning::Unsupported) && error.routine() == Some("RevalidateCachedQuery")
    })
}

/// What the driver says of an answer to its greeting that it cannot read.
const UNREADABLE: [&str; 4] = [
    "invalid message length",
    "bytes remaining on stream",
    "unexpected message from server",
    "error parsing response from server",
];

/// Whether what answered while connecting is something else than PostgreSQL.
pub(super) fn is_of_another_protocol(error: &postgres::Error) -> bool {
    let told = line(error);
    error.as_db_error().is_none() && UNREADABLE.iter().any(|text| told.contains(text))
}

/// What the server says besides its message.
pub(super) fn besides(error: &DbError) -> impl Iterator<Item = (&'static str, &str)> {
    let more = [("detail", error.detail()), ("hint", error.hint()), ("context", error.where_())];
    more.into_iter().filter_map(|(what, text)| Some((what, text?)))
}
