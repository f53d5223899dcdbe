//! What becomes of a stream once the server has said that it ends the session: when the client learns of it, and
//! whether the end itself is waited for first.
//!
//! A borrower's call is told at once, and what follows is the end of the stream for it. In an opening and in a drop the
//! server's end comes first, for as long as a goodbye may take: the server counts a session until its backend has
//! ended, and the seat of a connection that could not be opened, or is being closed, is free once this is over.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Observed;

/// How far the client knows that the server ends the session. It gives up at the first failure of its stream, so the
/// end of the stream, met in the same step as the reason, would have the reason forgotten.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Unknown,
    /// The reason was read, and the client is still to pass it on.
    Said,
    /// What follows is the end of the stream, whether it has arrived or not: nothing more must be sent.
    PassedOn,
}

impl<S> Observed<S> {
    /// Whether the server has said that it ends the session, and its end of the stream comes first.
    pub(super) fn is_parting(&self) -> bool {
        self.end != End::Unknown && (self.shared.parting().is_begun() || !self.shared.is_open())
    }

    /// Keeps what was read just now, with the server's word in it, until the server's end has come.
    pub(super) fn withhold(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        self.withheld.extend_from_slice(&buf.filled()[before..]);
        buf.set_filled(before);
        if self.shared.parting().is_begun() {
            // In place of that of the goodbye, which is less.
            self.shared.set_bound(self.shared.parting().left());
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Observed<S> {
    /// A read after the server's word.
    pub(super) fn read_after_word(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let is_begun = self.shared.parting().is_begun();
        if is_begun || !self.withheld.is_empty() {
            if self.hang_up.is_none() {
                // For one in between, which may leave its end to the client; there is nothing to wait for in this.
                let _ = Pin::new(&mut self.inner).poll_shutdown(cx);
            }
            let limit = self.shared.parting().left();
            let limit = if is_begun { limit } else { limit.min(self.limits.left_to_open()) };
            ready!(self.part(cx, limit));
            if !is_begun {
                // A drop has its own.
                self.hang_up = None;
            }
        }
        if !self.withheld.is_empty() {
            let rest = self.withheld.split_off(self.withheld.len().min(buf.remaining()));
            buf.put_slice(&self.withheld);
            self.withheld = rest;
        } else if self.end == End::Said {
            self.end = End::PassedOn;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind::UnexpectedEof;
    use std::time::Duration;

    use crate::postgres::observer::along::scripted::{Pair, message};

    fn word() -> Vec<u8> {
        message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mno\0\0")
    }

    /// Has the client drop the connection, which reads once more, and the server hang up after that.
    fn parts(mut pair: Pair) {
        pair.shared.parting().begin();
        pair.error = None;
        pair.writes(&message(b'X', b""));
        pair.turn();
        assert!(
            pair.error.is_none() && !pair.shared.parting().is_hung_up(),
            "its backend may still be there"
        );
        assert!(pair.heard().is_empty(), "the server has said goodbye first");
        pair.hangs_up();
        pair.turn();
        assert!(pair.error == Some(UnexpectedEof) && pair.shared.parting().is_hung_up());
    }

    #[test]
    fn a_borrower_is_told_at_once_and_a_drop_waits_for_the_end() {
        let mut pair = Pair::open(None);
        pair.writes(&message(b'Q', b"SELECT 1\0"));
        pair.turn();
        pair.heard();
        pair.says(&word());
        pair.turn();
        assert_eq!((pair.saw(), pair.error), (word(), Some(UnexpectedEof)));
        parts(pair);
    }

    #[test]
    fn what_comes_unasked_is_the_failure_itself_and_a_drop_waits_for_the_end_then_too() {
        let mut pair = Pair::open(None);
        pair.says(&word());
        pair.turn();
        assert_eq!(pair.saw(), word());
        parts(pair);
    }

    /// Has the server say so much and hang up later, before which the client reads nothing.
    fn is_withheld(mut pair: Pair, word: Vec<u8>) {
        pair.says(&word);
        pair.turn();
        assert!(pair.error.is_none() && pair.saw().is_empty());
        pair.hangs_up();
        pair.turn();
        assert_eq!((pair.saw(), pair.error), (word, Some(UnexpectedEof)));
    }

    #[test]
    fn what_comes_amid_a_drop_is_withheld_until_the_end() {
        let pair = Pair::open(None);
        pair.shared.parting().begin();
        is_withheld(pair, word());
    }

    #[test]
    fn an_opening_fails_when_its_backend_has_ended() {
        is_withheld(Pair::opening(None), word());
    }

    #[test]
    fn a_refusal_is_one_whatever_its_severity() {
        is_withheld(Pair::opening(None), message(b'E', b"SERROR\0C28P01\0Mno\0\0"));
    }

    #[test]
    fn an_end_that_does_not_come_is_waited_for_in_vain_no_longer_than_a_goodbye() {
        let mut pair = Pair::opening(None);
        pair.shared.parting().set_limit(Duration::from_millis(20));
        pair.says(&word());
        assert_eq!((pair.ends(), pair.saw()), (UnexpectedEof, word()));
        assert!(!pair.shared.parting().is_hung_up());
    }
}
