//! The thread of a server, its start and its end.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use super::connection::{self, Times};
use super::gate::Gate;
use super::site::Site;
use crate::process::{PoolThread, Process};
use crate::tiers::AtEnd;

/// How long nothing is accepted after it could not be, as without a descriptor left.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Endpoints of a pool, until this is closed or dropped, or the pool's last handle goes.
///
/// `Debug` tells the address.
#[must_use = "the endpoints go with it"]
pub struct Server {
    addr: SocketAddr,
    stop: Arc<Notify>,
    /// What the pool calls at its end, for as long as this is here.
    _at_end: AtEnd,
    thread: Option<JoinHandle<()>>,
    process: Process,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// What a server's thread is given.
pub(super) struct Work {
    pub(super) site: Site,
    pub(super) gate: Arc<Gate>,
    pub(super) times: Times,
}

impl Server {
    /// Starts the thread. The server has to be made known to the pool.
    pub(super) fn start(listener: TcpListener, work: Work) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let counted = PoolThread::counted();
        let thread = std::thread::Builder::new().name("tierpool-http".to_owned()).spawn(move || {
            let _counted = counted;
            run(&runtime, listener, work, &stopped);
        })?;
        let at_end: AtEnd = Arc::new({
            let stop = Arc::clone(&stop);
            move || stop.notify_one()
        });
        Ok(Server { addr, stop, _at_end: at_end, thread: Some(thread), process: Process::this() })
    }

    /// What the pool is to call at its end.
    pub(super) fn at_end(&self) -> &AtEnd {
        &self._at_end
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

impl Drop for Server {
    fn drop(&mut self) {
        // A child made by `fork` has no such thread.
        if !self.process.is_this() {
            return;
        }
        self.stop.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // It ends by a panic in no case that it does not catch, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

fn run(runtime: &Runtime, listener: TcpListener, work: Work, stop: &Notify) {
    runtime.block_on(async {
        let accepting = tokio::spawn(accept(listener, work));
        stop.notified().await;
        accepting.abort();
    });
}

async fn accept(listener: TcpListener, work: Work) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error!(target: "tierpool", "cannot listen: {error}"),
    };
    let site = Arc::new(work.site);
    let remembered = Arc::clone(&site);
    tokio::spawn(async move { remembered.remember().await });
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let seat = work.gate.enter();
                let place = seat.place;
                let task = tokio::spawn(connection::serve(stream, seat, Arc::clone(&site), work.times));
                work.gate.has(place, task.abort_handle());
            }
            Err(error) => {
                log::warn!(target: "tierpool", "a connection could not be accepted: {error}");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}
