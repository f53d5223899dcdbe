//! The thread that lets clients in, its start and its end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use super::connection::{self, Answers, Times};
use super::gate::Gate;
use crate::process::{PoolThread, Process};
use crate::tiers::AtEnd;

/// How long nothing is accepted after it could not be, as without a descriptor left.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Where clients come from.
pub(super) trait Door: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next client; `None` for one that is not let in.
    fn next(&self) -> impl Future<Output = io::Result<Option<Self::Stream>>> + Send;
}

impl Door for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn next(&self) -> io::Result<Option<Self::Stream>> {
        Ok(Some(self.accept().await?.0))
    }
}

/// What a thread does.
pub(super) struct Work<A> {
    pub(super) site: Arc<A>,
    pub(super) most: usize,
    pub(super) times: Times,
}

/// The thread behind a door, which ends with this.
pub(super) struct Doorkeeper {
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    process: Process,
}

impl Doorkeeper {
    /// Starts a thread. `open` makes the door of it, and `beside` is done beside the work for as long.
    pub(super) fn start<D: Door, A: Answers>(
        name: &str,
        open: impl FnOnce() -> io::Result<D>,
        work: Work<A>,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let door = {
            let _entered = runtime.enter();
            open()?
        };
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let counted = PoolThread::counted();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _counted = counted;
            run(&runtime, door, work, beside, &stopped);
        })?;
        Ok(Doorkeeper { stop, thread: Some(thread), process: Process::this() })
    }

    /// What has it end, for a pool to call at its own end.
    pub(super) fn end(&self) -> AtEnd {
        let stop = Arc::clone(&self.stop);
        Arc::new(move || stop.notify_one())
    }
}

impl Drop for Doorkeeper {
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

fn run<D: Door, A: Answers>(
    runtime: &Runtime,
    door: D,
    work: Work<A>,
    beside: impl Future<Output = ()> + Send + 'static,
    stop: &Notify,
) {
    runtime.block_on(async {
        tokio::spawn(beside);
        let accepting = tokio::spawn(accept(door, work));
        stop.notified().await;
        accepting.abort();
    });
}

async fn accept<D: Door, A: Answers>(door: D, work: Work<A>) {
    let gate = Gate::new(work.most);
    loop {
        match door.next().await {
            Ok(None) => {}
            Ok(Some(stream)) => {
                let seat = gate.enter();
                let place = seat.place;
                let task = tokio::spawn(connection::serve(stream, seat, Arc::clone(&work.site), work.times));
                gate.has(place, task.abort_handle());
            }
            Err(error) => {
                log::warn!(target: "tierpool", "a connection could not be accepted: {error}");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}
