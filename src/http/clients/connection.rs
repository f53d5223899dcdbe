//! One connection: one request, within its limits.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::gate::{Place, Seat};
use crate::http::reply::Reply;

/// The most of a request's head; what is longer is refused with 431.
const LARGEST_HEAD: usize = 16 * 1024;

/// What is read and thrown away behind an answer: a close with something unread would take the answer from its reader.
const LEFT_UNREAD: usize = 256 * 1024;
const TIME_TO_LEAVE: Duration = Duration::from_secs(1);

/// How long a connection may take.
#[derive(Clone, Copy)]
pub(in crate::http) struct Times {
    /// For the head of its request.
    pub(in crate::http) head: Duration,
    /// In all.
    pub(in crate::http) total: Duration,
}

/// Serves one request. The seat is given back at the end, however it comes.
pub(in crate::http) async fn serve<S, C, A, F>(
    mut stream: S,
    client: C,
    seat: Seat,
    answer: Arc<A>,
    times: Times,
) where
    C: Clone + Send + Sync + 'static,
    S: AsyncRead + AsyncWrite + Unpin,
    A: Fn(Request<Incoming>, Place) -> F,
    F: Future<Output = Reply>,
{
    let place = seat.place;
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(client.clone());
        let answering = answer(request, place);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.head)
        .max_buf_size(LARGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(&mut stream), service);
    // What went wrong on a connection is its client's affair, and told in the answer where it can be.
    if timeout(times.total, serving).await.is_ok() {
        let _ = timeout(TIME_TO_LEAVE, read_the_rest(&mut stream)).await;
    }
}

async fn read_the_rest<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut bytes = [0; 4096];
    let mut left = LEFT_UNREAD;
    while left > 0 {
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)).await;
        let count = buffer.filled().len();
        if read.is_err() || count == 0 {
            return;
        }
        left = left.saturating_sub(count);
    }
}
