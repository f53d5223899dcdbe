//! A client's stream to a server that says what a test has it say.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

use crate::clock::Deadline;
use crate::postgres::observer::WireState;
use crate::postgres::observer::stream::Observed;

/// A message: its type and its body.
pub(in crate::postgres::observer) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag], length.to_be_bytes().as_slice(), body].concat()
}

/// A server of which each read gets one piece, and nothing where there is none.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    says: VecDeque<Vec<u8>>,
    heard: Vec<u8>,
    /// How much each write takes, in turn; then all.
    takes: VecDeque<usize>,
    /// How many flushes wait before one is done.
    flushes: usize,
}

impl AsyncRead for Server {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let says = &mut self.0.lock().says;
        let Some(bytes) = says.front() else { return Poll::Pending };
        buf.put_slice(bytes);
        // An end is one for good.
        if !bytes.is_empty() {
            says.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut script = self.0.lock();
        let count = script.takes.pop_front().unwrap_or(bytes.len()).min(bytes.len());
        script.heard.extend_from_slice(&bytes[..count]);
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushes = &mut self.0.lock().flushes;
        let Some(left) = flushes.checked_sub(1) else { return Poll::Ready(Ok(())) };
        *flushes = left;
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// An open connection, both sides of which are the test's.
pub(in crate::postgres::observer) struct Pair {
    /// For the stream's timer.
    runtime: Arc<Runtime>,
    server: Server,
    pub shared: Arc<WireState>,
    stream: Observed<Server>,
    /// What the client is still to write.
    unwritten: Vec<u8>,
    /// What it has read.
    pub seen: Vec<u8>,
    pub error: Option<io::ErrorKind>,
    /// How many more reads the client makes: it stops where its own reader has. `None`: any number.
    pub reads: Option<usize>,
}

impl Pair {
    pub fn open(socket_timeout: Option<Duration>) -> Pair {
        let mut pair = Pair::opening(socket_timeout);
        pair.says(&message(b'Z', b"I"));
        pair.turn();
        pair.shared.note_open();
        pair.seen.clear();
        pair.server.0.lock().heard.clear();
        pair
    }

    /// One that has sent its start-up message.
    pub fn opening(socket_timeout: Option<Duration>) -> Pair {
        let (server, shared) = (Server::default(), Arc::new(WireState::new(socket_timeout)));
        let limit = Duration::from_secs(60);
        shared.parting().set_limit(limit);
        let stream = Observed::new(server.clone(), Arc::clone(&shared), Deadline::of(limit), limit, None);
        let (unwritten, seen) = (Vec::new(), Vec::new());
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let runtime = Arc::new(runtime);
        let mut pair = Pair { runtime, server, shared, stream, unwritten, seen, error: None, reads: None };
        pair.writes(b"\0\0\0\x08\0\x03\0\0");
        pair.turn();
        pair
    }

    /// The server's next bytes, which come as one piece.
    pub fn says(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.server.0.lock().says.push_back(bytes.to_vec());
    }

    /// The server's end of the stream.
    pub fn hangs_up(&self) {
        self.server.0.lock().says.push_back(Vec::new());
    }

    /// How much the server's next writes take each; none for one that has to wait.
    pub fn takes(&self, counts: impl IntoIterator<Item = usize>) {
        self.server.0.lock().takes.extend(counts);
    }

    /// So many flushes have to wait, as those do of a layer that has taken more than its socket does.
    pub fn flushes_late(&self, count: usize) {
        self.server.0.lock().flushes = count;
    }

    /// What the server was sent since this was last asked.
    pub fn heard(&self) -> Vec<u8> {
        std::mem::take(&mut self.server.0.lock().heard)
    }

    pub fn writes(&mut self, bytes: &[u8]) {
        self.unwritten.extend_from_slice(bytes);
    }

    /// Takes what the client has seen since this was last asked.
    pub fn saw(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.seen)
    }

    /// Whether all that the client had to write was taken.
    pub fn has_written(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Reads, writes and flushes as the client does, for as long as anything comes of it.
    pub fn turn(&mut self) {
        let runtime = Arc::clone(&self.runtime);
        let _entered = runtime.enter();
        let mut idle = 0;
        while idle < 3 && self.error.is_none() {
            let before = (self.seen.len(), self.unwritten.len(), self.server.0.lock().heard.len());
            self.poll(&mut Context::from_waker(Waker::noop()));
            let after = (self.seen.len(), self.unwritten.len(), self.server.0.lock().heard.len());
            idle = if before == after { idle + 1 } else { 0 };
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if self.reads != Some(0) {
            self.reads = self.reads.map(|left| left - 1);
            self.read(cx);
        }
        if !self.unwritten.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unwritten) {
                Poll::Ready(Ok(count)) => drop(self.unwritten.drain(..count)),
                Poll::Ready(Err(error)) => self.error = Some(error.kind()),
                Poll::Pending => {}
            }
        }
        // What it could not write it does not flush.
        if self.unwritten.is_empty()
            && let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx)
        {
            self.error = Some(error.kind());
        }
    }

    /// Sleeps until it is woken, as the client's task does, until the stream has failed, and says by what.
    pub fn sleeps(&mut self) -> std::io::ErrorKind {
        let (runtime, limit, begun) = (Arc::clone(&self.runtime), Duration::from_secs(20), Instant::now());
        let failed = std::future::poll_fn(|cx| {
            self.poll(cx);
            self.error.map_or(Poll::Pending, Poll::Ready)
        });
        // At its end it is polled once more.
        let failed = runtime.block_on(async { tokio::time::timeout(limit, failed).await });
        assert!(begun.elapsed() < limit, "nothing wakes it");
        failed.unwrap()
    }

    /// Lets time pass.
    pub fn rest(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Turns until the stream has failed, and says by what.
    pub fn ends(&mut self) -> std::io::ErrorKind {
        let since = Instant::now();
        loop {
            if let Some(error) = self.error {
                return error;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "it waits for good");
            self.turn();
            self.rest(Duration::from_millis(5));
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) {
        let mut bytes = [0; 8192];
        let mut buf = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
            // For the client that is the end of the stream.
            Poll::Ready(Ok(())) if buf.filled().is_empty() => self.error = Some(io::ErrorKind::UnexpectedEof),
            Poll::Ready(Ok(())) => self.seen.extend_from_slice(buf.filled()),
            Poll::Ready(Err(error)) => self.error = Some(error.kind()),
            Poll::Pending => {}
        }
    }
}
