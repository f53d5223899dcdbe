//! What other threads may do to a connection in use.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use postgres::CancelToken;

use crate::postgres::error::PgError;
use crate::postgres::observer::{Abandoned, Connector, WireState};
use crate::postgres::options::LONGEST;
use crate::postgres::tls::Secure;

/// Ends calls that wait on a connection, from any thread. See
/// [`PgConnection::abandon_handle`](crate::postgres::PgConnection::abandon_handle).
#[derive(Clone)]
pub struct AbandonHandle(Option<Arc<WireState>>);

impl AbandonHandle {
    pub(super) fn new(observer: Option<Arc<WireState>>) -> Self {
        AbandonHandle(observer)
    }

    /// Makes the call that waits on the connection, and every later one, fail at once; returns whether it can. It
    /// cannot on an unobserved connection, which is left alone.
    ///
    /// The server is told nothing: it goes on with a running statement until it notices that the client is gone.
    pub fn abandon(&self) -> bool {
        if let Some(shared) = &self.0 {
            shared.abandon(Abandoned::GivenUp);
            // It may be idle by now.
            if let Some(place) = shared.place() {
                place.look_closer();
            }
        }
        self.0.is_some()
    }
}

impl fmt::Debug for AbandonHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbandonHandle").field("works", &self.0.is_some()).finish()
    }
}

/// Asks the server to cancel what runs on a connection, from any thread. See
/// [`PgConnection::cancel_handle`](crate::postgres::PgConnection::cancel_handle).
///
/// Take this one and not the client's own `cancel_token`: that one needs the connector with which the connection was
/// opened.
#[derive(Clone)]
pub struct CancelHandle {
    token: CancelToken,
    secure: Secure,
}

impl CancelHandle {
    pub(super) fn new(token: CancelToken, secure: Secure) -> Self {
        CancelHandle { token, secure }
    }

    /// Sends the request, over a connection of its own that is secured as the first one is. `Ok` means sent, not
    /// done.
    ///
    /// # Blocking
    ///
    /// For a connect and the TLS handshake, at most `limit` or the connect timeout of the connection; then until the
    /// server or a PgBouncer has taken the request, at most a second and within `limit`.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached.
    pub fn cancel(&self, limit: Duration) -> Result<(), PgError> {
        // A limit without end has no place among the times of a clock.
        let connector = Connector::new(self.secure.clone(), limit.min(LONGEST), None);
        self.token.cancel_query(connector).map_err(PgError::open)
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle").finish_non_exhaustive()
    }
}
