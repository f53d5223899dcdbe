//! The thread that lets clients in, its start and its end.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use log::Level;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use super::connection::{self, Times};
use super::gate::{Gate, Place};
use crate::http::reply::Reply;
use crate::lines::say;
use crate::process::{PoolThread, Process};
use crate::tiers::AtEnd;

/// How long nothing is accepted after it could not be, as without a descriptor left.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// How often that is told at the most, since it may go on for long.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Where clients come from.
pub(in crate::http) trait Door: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// What is known of a client, which its request has among its extensions.
    type Client: Clone + Send + Sync + 'static;

    /// The next client; `None` for one that is not let in.
    fn next(&self) -> impl Future<Output = io::Result<Option<(Self::Stream, Self::Client)>>> + Send;
}

impl Door for TcpListener {
    type Stream = tokio::net::TcpStream;
    type Client = ();

    async fn next(&self) -> io::Result<Option<(Self::Stream, ())>> {
        Ok(Some((self.accept().await?.0, ())))
    }
}

/// What a thread does.
pub(in crate::http) struct Work<A> {
    /// The answer to a request in such a place.
    pub(in crate::http) answer: Arc<A>,
    pub(in crate::http) most: usize,
    pub(in crate::http) times: Times,
}

/// The thread behind a door, which ends with this.
pub(in crate::http) struct Doorkeeper {
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    process: Process,
}

impl Doorkeeper {
    /// Starts a thread. `open` makes the door of it, and `beside` is done beside the work for as long.
    pub(in crate::http) fn start<D: Door, A, F>(
        name: &str,
        open: impl FnOnce() -> io::Result<D>,
        work: Work<A>,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>, Place) -> F + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
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
    pub(in crate::http) fn end(&self) -> AtEnd {
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

fn run<D: Door, A, F>(
    runtime: &Runtime,
    door: D,
    work: Work<A>,
    beside: impl Future<Output = ()> + Send + 'static,
    stop: &Notify,
) where
    A: Fn(Request<Incoming>, Place) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    runtime.block_on(async {
        tokio::spawn(beside);
        let accepting = tokio::spawn(accept(door, work));
        stop.notified().await;
        accepting.abort();
    });
}

async fn accept<D: Door, A, F>(door: D, work: Work<A>)
where
    A: Fn(Request<Incoming>, Place) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let gate = Gate::new(work.most);
    let mut told: Option<Instant> = None;
    loop {
        match door.next().await {
            Ok(None) => {}
            Ok(Some((stream, client))) => {
                let seat = gate.enter();
                let place = seat.place;
                let answer = Arc::clone(&work.answer);
                let task = tokio::spawn(connection::serve(stream, client, seat, answer, work.times));
                gate.has(place, task.abort_handle());
            }
            // A client that has gone again is no want of ours.
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                    told = Some(Instant::now());
                    say!(
                        Level::Warn,
                        "tierpool",
                        [error = error.to_string()],
                        "a connection could not be accepted: {error}"
                    );
                }
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

fn is_of_client(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}
