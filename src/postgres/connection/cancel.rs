//! The request to cancel what runs on a connection.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use postgres::CancelToken;

use super::lease::Trace;
use crate::postgres::error::PgError;
use crate::postgres::observer::{Connector, WireState};
use crate::postgres::options::LONGEST;
use crate::postgres::tls::Secure;

/// Asks the server to cancel what runs on one connection, over another that is secured as that one is.
#[derive(Clone)]
pub(in crate::postgres) struct CancelRequest {
    token: CancelToken,
    secure: Secure,
    /// What is known of the connection. Nothing over a Unix socket, where the request's own stream is not read along
    /// either.
    observer: Option<Arc<WireState>>,
}

impl CancelRequest {
    pub(super) fn new(token: CancelToken, secure: Secure, observer: Option<Arc<WireState>>) -> Self {
        CancelRequest { token, secure, observer }
    }

    /// Sends it, and says what is left of it. `Ok` means sent, not done.
    pub(in crate::postgres) fn send(&self, limit: Duration) -> (Result<(), PgError>, Trace) {
        if let Err(error) = can_have_a_runtime() {
            return (Err(error), Trace::None);
        }
        if let Some(observer) = &self.observer {
            observer.note_cancel();
        }
        // A limit without end has no place among the times of a clock.
        let connector = Connector::new(self.secure.clone(), limit.min(LONGEST), None);
        let sent = catch_unwind(AssertUnwindSafe(|| self.token.cancel_query(connector.clone())));
        let outcome = match sent {
            Ok(outcome) => outcome.map_err(PgError::open),
            Err(_) => Err(no_runtime("the driver panicked")),
        };
        let trace = match connector.last_stream() {
            // Nothing is known of the stream, also where the driver asked for one.
            _ if self.observer.is_none() => Trace::UnderWay,
            Some(stream) if stream.parting().is_hung_up() => Trace::Arrived,
            Some(stream) if stream.has_sent() => Trace::UnderWay,
            Some(_) => Trace::None,
            // It failed before it had a stream.
            None if outcome.is_err() => Trace::None,
            None => Trace::UnderWay,
        };
        (outcome, trace)
    }
}

/// The driver makes a runtime for each request and panics where it gets none, as for want of file descriptors. So it is
/// tried first; in the moment between the two another thread may still take the last one.
fn can_have_a_runtime() -> Result<(), PgError> {
    // In async code the drop of one panics.
    let made = catch_unwind(|| tokio::runtime::Builder::new_current_thread().enable_all().build().map(drop));
    made.unwrap_or_else(|_| Err(io::Error::other("async code must not block"))).map_err(no_runtime)
}

fn no_runtime(why: impl std::fmt::Display) -> PgError {
    PgError::refused(format!("the request to cancel could not be sent: {why}"))
}
