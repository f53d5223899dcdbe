//! What a program holds of the endpoints on an address.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::clients::connection::Times;
use super::clients::door::{Doorkeeper, Work};
use super::site::Site;
use crate::tiers::AtEnd;

/// Endpoints of a pool, until this is closed or dropped, or the pool's last handle goes.
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
    /// Starts the thread. The server has to be made known to the pool.
    pub(super) fn start(
        listener: TcpListener,
        site: Arc<Site>,
        most: usize,
        times: Times,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let remembered = Arc::clone(&site);
        let answer = move |request, place| {
            let site = Arc::clone(&site);
            async move { site.answer(request, place).await }
        };
        let work = Work { answer: Arc::new(answer), most, times };
        let open = || tokio::net::TcpListener::from_std(listener);
        let doorkeeper =
            Doorkeeper::start("tierpool-http", open, work, async move { remembered.remember().await })?;
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
