//! Puts the observer around a connection's stream, at the place where TLS would go.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use postgres::Socket;
use postgres::tls::{MakeTlsConnect, TlsConnect};

use super::limits::LimitExpired;
use super::openings::Opening;
use super::send_queue::SendQueue;
use super::shown::Shown;
use super::state::WireState;
use super::stream::Observed;
use crate::clock::Deadline;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The connector for one open: secures each socket with `C`, then wraps it.
///
/// A host name can stand for several addresses, and each gets a stream of its own;
/// [`Connector::opened`] returns the state of the last.
#[derive(Clone)]
pub(crate) struct Connector<C> {
    secure: C,
    deadline: Deadline,
    limit: Duration,
    socket_timeout: Option<Duration>,
    slow_query: Option<Duration>,
    query_times: bool,
    /// Of which the streams are a part, where there is one.
    opening: Option<Arc<Opening>>,
    last: Arc<Mutex<Option<Arc<WireState>>>>,
}

impl<C> Connector<C> {
    /// Makes a connector for an open that must be over `limit` from now.
    pub fn new(secure: C, limit: Duration, socket_timeout: Option<Duration>) -> Self {
        Connector {
            secure,
            deadline: Deadline::of(limit),
            limit,
            socket_timeout,
            slow_query: None,
            query_times: false,
            opening: None,
            last: Arc::default(),
        }
    }

    /// Has the connection log statements that take so long.
    pub fn slow_query(self, slow_query: Option<Duration>) -> Self {
        Connector { slow_query, ..self }
    }

    /// Has the time of each statement recorded.
    pub fn query_times(self, query_times: bool) -> Self {
        Connector { query_times, ..self }
    }

    /// Has its streams end with this opening.
    pub fn part_of(self, opening: &Arc<Opening>) -> Self {
        Connector { opening: Some(Arc::clone(opening)), ..self }
    }

    /// The state of the last stream wrapped, whatever became of it.
    pub fn last_stream(&self) -> Option<Arc<WireState>> {
        self.last.lock().clone()
    }

    /// Ends the opening: returns the state of the last stream wrapped, if its handshake was seen to the end. Over a
    /// Unix socket there is none.
    pub fn opened(&self) -> Option<Arc<WireState>> {
        let shared = self.last.lock().take().filter(|shared| shared.status() != 0)?;
        shared.note_open();
        Some(shared)
    }
}

impl<C> MakeTlsConnect<Socket> for Connector<C>
where
    C: MakeTlsConnect<Socket>,
    C::TlsConnect: Send + 'static,
    <C::TlsConnect as TlsConnect<Socket>>::Future: Send,
    C::Stream: Unpin + Send + 'static,
{
    type Stream = Observed<C::Stream>;
    type TlsConnect = Wrap<C::TlsConnect>;
    type Error = C::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, C::Error> {
        let secure = self.secure.make_tls_connect(domain)?;
        let shared = WireState::new(self.socket_timeout).with_slow_query(self.slow_query);
        let shared = Arc::new(shared.with_query_times(self.query_times));
        *self.last.lock() = Some(Arc::clone(&shared));
        if let Some(opening) = &self.opening {
            opening.tries(&shared);
        }
        Ok(Wrap { secure, shared, deadline: self.deadline, limit: self.limit })
    }
}

fn abandoned(shared: &WireState) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, shared.abandoned().text())
}

/// Secures one socket and wraps it.
pub(crate) struct Wrap<C> {
    secure: C,
    shared: Arc<WireState>,
    deadline: Deadline,
    limit: Duration,
}

impl<C> TlsConnect<Socket> for Wrap<C>
where
    C: TlsConnect<Socket> + Send + 'static,
    C::Future: Send,
    C::Stream: Unpin + Send + 'static,
{
    type Stream = Observed<C::Stream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, BoxError>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let shown = Shown::of(&socket);
            let queue = SendQueue::of(&shown);
            self.shared.set_descriptor(shown.descriptor());
            let end = self.deadline.instant().into();
            let mut secured = pin!(tokio::time::timeout_at(end, self.secure.connect(socket)));
            let shared = &self.shared;
            let stream = poll_fn(|cx| match secured.as_mut().poll(cx) {
                // From here on the stream itself looks.
                Poll::Pending if shared.listen(cx.waker()) => Poll::Ready(Err(abandoned(shared))),
                outcome => outcome.map(Ok),
            })
            .await?
            .map_err(|_| io::Error::from(LimitExpired::Opening(self.limit)))?
            .map_err(Into::into)?;
            Ok(Observed::new(stream, self.shared, self.deadline, self.limit, queue))
        })
    }
}
