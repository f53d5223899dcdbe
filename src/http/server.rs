//! What a program holds of the endpoints on an address.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};

use hyper::Request;
use hyper::body::Incoming;

use super::clients::door::{Doorkeeper, Work};
use super::clients::gate::Place;
use super::reply::Reply;
use crate::tiers::AtEnd;

/// Endpoints, until this is closed or dropped; those of a pool end with its last handle, too.
///
/// `Debug` tells the address.
#[must_use = "the endpoints go with it"]
pub struct Server {
    addr: SocketAddr,
    /// What the pool calls at its end, for as long as this is here.
    at_end: AtEnd,
    _doorkeeper: Doorkeeper,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Server {
    /// Starts the thread, which answers, and does something beside that for as long. A server of a pool has to be made
    /// known to it.
    pub(super) fn start<A, F>(
        listener: TcpListener,
        work: Work<A>,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>, Place) -> F + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let open = || tokio::net::TcpListener::from_std(listener);
        let doorkeeper = Doorkeeper::start("tierpool-http", open, work, beside)?;
        Ok(Server { addr, at_end: doorkeeper.end(), _doorkeeper: doorkeeper })
    }

    /// What the pool is to call at its end.
    pub(super) fn at_end(&self) -> &AtEnd {
        &self.at_end
    }

    /// Returns the address that it listens on, with the port that was found where it was asked for port 0.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends it: its connections, its thread, its address. The same as to drop it.
    ///
    /// # Blocking
    ///
    /// Until the thread has ended, which no client delays.
    pub fn close(self) {}
}
