//! What the pool itself has to say on the stream, and keeps from the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, ReadBuf};

use super::{END_OF_PROBE, Observed};
use crate::postgres::observer::along::{Next, UNHEARD_COMMIT};
use crate::postgres::observer::frames::Framer;
use crate::postgres::observer::frontend::{FrontendEvent, Request};

/// How much of the client's is copied, so that it leaves in one packet with what goes along. What is larger goes
/// through from where it is.
const COPIED: usize = 16 * 1024;

/// How much is copied of the beginning of a message at least.
const HEAD: usize = 64;

/// Bytes that are not those of either side.
#[derive(Default)]
pub(super) struct Own {
    /// To go out ahead of anything else, and how much of it has.
    out: Vec<u8>,
    sent: usize,
    /// Answers to requests that were not sent, for the client. Made only where no other is due, and given between two
    /// messages of the server's, which may send some unasked.
    refusals: Vec<u8>,
}

impl Own {
    /// Whether nothing is left to go out.
    pub fn is_sent(&self) -> bool {
        self.out.is_empty()
    }

    /// Gives the client answers of the pool's own; false where there are none.
    fn give_refusals(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let count = self.refusals.len().min(buf.remaining());
        buf.put_slice(&self.refusals[..count]);
        self.refusals.drain(..count);
        count > 0
    }
}

impl<S> Observed<S> {
    /// Gives the client what is the pool's own; false where there is nothing.
    pub(super) fn give_own(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if self.inject > 0 {
            self.give_end_of_probe(buf);
            return true;
        }
        let gives = self.server.at_boundary() && self.own.give_refusals(buf);
        self.limits.owes(!self.own.refusals.is_empty());
        gives
    }

    pub(super) fn give_end_of_probe(&mut self, buf: &mut ReadBuf<'_>) {
        let start = END_OF_PROBE.len() - self.inject;
        let count = self.inject.min(buf.remaining());
        buf.put_slice(&END_OF_PROBE[start..start + count]);
        self.inject -= count;
    }

    /// Whether the client's bytes may not simply go on.
    pub(super) fn is_weaving(&self) -> bool {
        !self.own.is_sent() || self.shared.along().weaves()
    }

    /// Takes what answers the pool's own statements out of what was read behind `before`, `framer` being where the
    /// stream stood there, and `is_hiding` whether amid a message that is taken out. Returns where what is left begins.
    pub(super) fn hide_own(
        &mut self,
        framer: Framer,
        is_hiding: bool,
        buf: &mut ReadBuf<'_>,
        before: usize,
    ) -> Framer {
        if !self.shared.along().watches() {
            return framer;
        }
        let kept = self.shared.along().sift(framer, &mut buf.filled_mut()[before..]);
        buf.set_filled(before + kept);
        if is_hiding { Framer::of_server() } else { framer }
    }

    fn refuse_request(&mut self) -> Poll<io::Result<usize>> {
        self.lost();
        let text = "a request came that cannot go with the pool's own BEGIN";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)))
    }

    /// Puts a COMMIT into the stream whose answer nobody waits for, where that was asked for.
    fn leave(&mut self) {
        if !self.client.framer().at_boundary() || !self.shared.along().take_leave() {
            return;
        }
        self.grant(UNHEARD_COMMIT.len());
        self.own.out.extend_from_slice(UNHEARD_COMMIT);
        self.shared.note_sent(FrontendEvent::Request(Request::Housekeeping));
        if let Some(slow) = &mut self.slow {
            slow.sent_own();
        }
    }
}

impl<S: AsyncWrite + Unpin> Observed<S> {
    /// Sends what is to go out ahead of anything else.
    pub(super) fn send_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.own.is_sent() && !self.shared.along().leaves() {
            return Poll::Ready(Ok(()));
        }
        self.leave();
        while self.own.sent < self.own.out.len() {
            let outcome = Pin::new(&mut self.inner).poll_write(cx, &self.own.out[self.own.sent..]);
            let count = ready!(self.written(cx, outcome))?;
            if count == 0 {
                self.lost();
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.limits.sent(count);
            self.own.sent += count;
        }
        self.own.out.clear();
        self.own.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Takes the client's next bytes, with what goes along with them.
    pub(super) fn weave(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.send_own(cx))?;
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let client = self.client.framer();
            match self.shared.along().next(rest, client, self.shared.awaits_reply()) {
                Next::Put(own) => {
                    self.grant(own.len());
                    self.own.out.extend_from_slice(&own);
                }
                Next::Pass(count) => {
                    let room = COPIED.saturating_sub(self.own.out.len());
                    let count = match client.at_boundary() {
                        true => count.min(room.max(HEAD)),
                        false if count > room => return self.pass_through(cx, bytes, taken, count),
                        false => count,
                    };
                    self.take(&rest[..count]);
                    self.own.out.extend_from_slice(&rest[..count]);
                    taken += count;
                }
                Next::Refuse(count, answer) => {
                    // Its reader goes on to follow the messages; nothing is noted of what is not sent.
                    self.client.scan(&rest[..count], |_| ());
                    self.own.refusals.extend_from_slice(&answer);
                    taken += count;
                    cx.waker().wake_by_ref();
                }
                // The answer wakes the task, or its limit does. Nothing else sees to that: what is due may have been
                // sent since the client's last read, and it flushes nothing that it could not write.
                Next::Wait if taken == 0 => {
                    self.home.turn_ends();
                    self.wait(cx, self.silence())?;
                    return Poll::Pending;
                }
                Next::Wait => break,
                Next::Broken => return self.refuse_request(),
            }
        }
        match self.send_own(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // What is left goes out ahead of anything else.
            _ => Poll::Ready(Ok(taken)),
        }
    }

    /// Sends a part of a message from where it is.
    fn pass_through(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        taken: usize,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        let has_taken = || if taken > 0 { Poll::Ready(Ok(taken)) } else { Poll::Pending };
        if self.send_own(cx)?.is_pending() {
            return has_taken();
        }
        let outcome = Pin::new(&mut self.inner).poll_write(cx, &bytes[taken..taken + count]);
        match self.written(cx, outcome)? {
            Poll::Ready(count) => {
                self.limits.sent(count);
                self.take(&bytes[taken..taken + count]);
                Poll::Ready(Ok(taken + count))
            }
            Poll::Pending => has_taken(),
        }
    }
}
