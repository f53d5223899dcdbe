//! What other threads may do to a connection in use.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cancel::CancelRequest;
use super::lease::{Lease, Refusal, Trace};
use super::pg_connection::PgConnection;
use crate::postgres::error::PgError;
use crate::postgres::observer::{Abandoned, WireState};
use crate::process::OF_PARENT;

impl PgConnection {
    /// A handle by which any thread can end a call that waits on this connection, and the connection with it. It ends
    /// with the checkout, and one of a connection that belongs to no pool with that.
    pub fn abandon_handle(&self) -> AbandonHandle {
        AbandonHandle { observer: self.observer.clone(), lease: self.leases.present() }
    }

    /// A handle by which any thread can ask the server to cancel the statement that runs on this connection. It ends
    /// with the checkout, and one of a connection that belongs to no pool with that.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle { request: self.cancel_request(), lease: self.leases.present() }
    }

    /// Ends the checkout for its handles, ahead of every look at what it left behind.
    pub(in crate::postgres) fn end_lease(&mut self) {
        self.leases.end();
    }

    /// Whether its borrower has given it up, which tells nothing of the server.
    pub(in crate::postgres) fn is_given_up_by_borrower(&self) -> bool {
        self.observer()
            .is_some_and(|shared| shared.is_abandoned() && shared.abandoned() == Abandoned::ByBorrower)
    }

    /// Whether something is left of what handles did in the last checkout.
    pub(in crate::postgres) fn is_left_by_handles(&self) -> bool {
        self.leases.is_something_left()
    }
}

/// Ends calls that wait on a connection, from any thread, for as long as that is lent. See
/// [`PgConnection::abandon_handle`](crate::postgres::PgConnection::abandon_handle).
#[derive(Clone)]
pub struct AbandonHandle {
    observer: Option<Arc<WireState>>,
    lease: Arc<Lease>,
}

impl AbandonHandle {
    /// Makes the call that waits on the connection, and every later one, fail at once; returns whether it has. It
    /// cannot on an unobserved connection, and does not once the checkout has ended in which the handle was taken: the
    /// connection may be another borrower's by then. Those are left alone, and by a child made by `fork` all are.
    ///
    /// The server is not asked to cancel anything: it goes on with a running statement until it notices that the client
    /// is gone.
    pub fn abandon(&self) -> bool {
        let (Some(shared), Ok(_act)) = (&self.observer, self.lease.begin()) else { return false };
        // Where the server has ended it before, that is news of the server.
        shared.abandon(if shared.is_broken() { Abandoned::GivenUp } else { Abandoned::ByBorrower });
        true
    }
}

impl fmt::Debug for AbandonHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let works = self.observer.is_some() && self.lease.is_open();
        f.debug_struct("AbandonHandle").field("works", &works).finish()
    }
}

/// Asks the server to cancel what runs on a connection, from any thread, for as long as that is lent. See
/// [`PgConnection::cancel_handle`](crate::postgres::PgConnection::cancel_handle).
///
/// Take this one and not the client's own `cancel_token`: that one needs the connector with which the connection was
/// opened, and it goes on to work when the connection is somebody else's.
#[derive(Clone)]
pub struct CancelHandle {
    request: CancelRequest,
    lease: Arc<Lease>,
}

impl CancelHandle {
    /// Sends the request, over a connection of its own that is secured as the first one is. `Ok` means sent, not
    /// done.
    ///
    /// A connection that goes back to its pool meanwhile is lent on only once the request cannot hit the next
    /// borrower, or else replaced; over a Unix socket it is always replaced.
    ///
    /// # Blocking
    ///
    /// For a connect and the TLS handshake, at most `limit` or the connect timeout of the connection; then until the
    /// server or a PgBouncer has taken the request, at most a second and within `limit`.
    ///
    /// # Errors
    ///
    /// When the checkout has ended in which the handle was taken, when that was in the process from which this one was
    /// forked, when the server cannot be reached, or when the process has no file descriptors left.
    pub fn cancel(&self, limit: Duration) -> Result<(), PgError> {
        let mut act = self.lease.begin().map_err(|refusal| match refusal {
            Refusal::Over => PgError::refused(
                "nothing was cancelled: the checkout in which this handle was taken has ended",
            ),
            Refusal::Inherited => {
                PgError::refused(format!("nothing was cancelled: the connection {OF_PARENT}"))
            }
        })?;
        // Also should what follows panic.
        act.trace = Trace::UnderWay;
        let (outcome, trace) = self.request.send(limit);
        act.trace = trace;
        outcome
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle").finish_non_exhaustive()
    }
}
