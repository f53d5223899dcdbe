//! What an error of the driver tells: of the connection, and of another attempt.

use std::error::Error as StdError;
use std::io;

use crate::postgres::observer::LimitExpired;

/// Whether an I/O error of a TLS handshake speaks of its content and not of the transport.
pub(super) fn is_tls_mismatch(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
        && error.get_ref().is_none_or(|inner| !inner.is::<LimitExpired>())
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
    if let Some(error) = error.as_db_error() {
        let fatal = error.parsed_severity().is_some_and(|s| {
            matches!(s, postgres::error::Severity::Fatal | postgres::error::Severity::Panic)
        });
        let code = error.code().code();
        return fatal || code.starts_with("08") || matches!(code, "57P01" | "57P02" | "57P03" | "57P05");
    }
    error.is_closed() || find_io(error).is_some()
}

/// Whether the server says that the same transaction may succeed when it is done again.
pub(in crate::postgres) fn is_worth_repeating(error: &postgres::Error) -> bool {
    error.code().is_some_and(|code| is_transient(code.code())) || is_stale_plan(error)
}

/// Whether a SQLSTATE is that of a failure which passes: serialization, deadlock, a server that ends or refuses the
/// session.
pub(in crate::postgres) fn is_transient(code: &str) -> bool {
    matches!(code, "40001" | "40P01" | "57P01" | "57P02" | "57P03")
}

/// Whether a prepared statement was refused since its result type has changed. The text is translated and other
/// missing features share the code, so the server's routine tells it.
pub(in crate::postgres) fn is_stale_plan(error: &postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        error.code().code() == "0A000" && error.routine() == Some("RevalidateCachedQuery")
    })
}
