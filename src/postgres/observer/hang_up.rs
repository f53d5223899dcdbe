//! A wait for the server's end of the stream: bounded in time and in bytes, since it may go on to send.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::state::WireState;

/// What is read at most meanwhile.
const MOST: usize = 1 << 20;

/// How many reads in a row find data before the task turns the reactor: well below what the runtime lets a task do at
/// once. Beyond that the runtime has each read and each timer find nothing, which would look like silence here.
pub(super) const READS_IN_A_ROW: u32 = 32;

pub(super) struct HangUp {
    timer: Pin<Box<Sleep>>,
    end: Instant,
    bytes: usize,
}

impl HangUp {
    pub fn within(limit: Duration) -> Self {
        HangUp { timer: Box::pin(sleep(limit)), end: Instant::now() + limit, bytes: 0 }
    }

    /// Ready once the server has closed its side, or when that is not to be waited for any more.
    pub fn poll<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        shared: &WireState,
    ) -> Poll<()> {
        let mut scratch = [0; 4096];
        for _ in 0..READS_IN_A_ROW {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => self.bytes += buf.filled().len(),
                Poll::Ready(end) => {
                    // One over TLS may end without a word. A reset, as of something in between, proves nothing.
                    if end.map_or_else(|error| error.kind() == io::ErrorKind::UnexpectedEof, |()| true) {
                        shared.parting().note_hung_up();
                    }
                    return Poll::Ready(());
                }
                // Another thread's abandon wakes this task too.
                Poll::Pending if shared.listen(cx.waker()) => return Poll::Ready(()),
                Poll::Pending => return self.timer.as_mut().poll(cx),
            }
        }
        if shared.is_abandoned() || self.bytes > MOST || Instant::now() >= self.end {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
