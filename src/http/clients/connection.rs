//! One connection: one request, within its limits.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::gate::{Place, Seat};
use crate::http::reply::{self, Reply};

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
        let answering = match head_fault(&request) {
            None => Ok(answer(request, place)),
            Some(fault) => Err(reply::text(StatusCode::BAD_REQUEST, fault)),
        };
        async move {
            Ok::<_, Infallible>(match answering {
                Ok(answering) => answering.await,
                Err(refusal) => refusal,
            })
        }
    });
    let served = async {
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(times.head)
            .max_buf_size(LARGEST_HEAD)
            .keep_alive(false)
            .serve_connection(TokioIo::new(&mut stream), service);
        // What went wrong on a connection is its client's affair, and told in the answer where it can be.
        let _ = serving.await;
        let _ = timeout(TIME_TO_LEAVE, read_the_rest(&mut stream)).await;
    };
    let _ = timeout(times.total, served).await;
}

/// What makes a head say two things at once, or not whom it is for (RFC 9112, section 3.2).
fn head_fault<B>(request: &Request<B>) -> Option<&'static str> {
    let count = |name| request.headers().get_all(name).iter().count();
    match (count(header::HOST), count(header::AUTHORIZATION)) {
        (0, _) if request.version() >= Version::HTTP_11 => Some("HTTP/1.1 wants the header Host"),
        (0 | 1, 0 | 1) => None,
        _ => Some("Host and Authorization may be given once each"),
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
