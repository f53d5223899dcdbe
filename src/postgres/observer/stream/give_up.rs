//! The end of a stream from this side: when it is given up, and what is sent then.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::{Observed, Silence};
use crate::process::OF_PARENT;

/// What is sent where answers are due: `Flush` and `Terminate`.
///
/// A PgBouncer before 1.21 takes a client's server for free once it has passed on the end of an answer, whatever else
/// the client has asked for, until that sends something more. It gives the server of a client that leaves to the next
/// one then, who gets the answers still to come. Behind a message it closes that server instead, and `Flush` is one
/// without an answer of its own. A server itself reads both when it is done with its statements.
const FLUSH_AND_TERMINATE: [u8; 10] = *b"H\0\0\0\x04X\0\0\0\x04";

impl<S: AsyncWrite + Unpin> Observed<S> {
    /// Called before the task sleeps: fails when it must not.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>, silence: Silence) -> io::Result<()> {
        if self.shared.listen_again(&mut self.listens, cx.waker()) {
            return Err(self.abandoned(cx));
        }
        self.limits.check(&self.shared, cx, silence).map_err(|expired| {
            self.give_up(cx);
            expired.into()
        })
    }

    /// What one that sleeps without another read knows of what there is to read. One that has stopped reading has no
    /// other way to its limit, and one that was writing has had its turn to write since its read.
    pub(super) fn silence(&self) -> Silence {
        let is_proven = !self.ran_dry || self.is_unjudged;
        if is_proven { Silence::Proven } else { Silence::Assumed }
    }

    /// Called amid a row of reads that all found data: turns the reactor, unless that has gone on for too long. For the
    /// client that is the end of its turn, as if there was no more.
    pub(super) fn pause(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reads_in_a_row = 0;
        self.ran_dry = true;
        self.shared.note_paused();
        if let Err(expired) = self.limits.check_flood(&self.shared) {
            self.give_up(cx);
            return Poll::Ready(Err(expired.into()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gives the connection up, and says so to whoever may take what is due for another's.
    pub(super) fn give_up(&mut self, cx: &mut Context<'_>) {
        if self.may_terminate() {
            // Once and without waiting: what the kernel does not take now is not sent.
            let _ = Pin::new(&mut self.inner).poll_write(cx, &FLUSH_AND_TERMINATE);
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
        self.lost();
    }

    /// Whether an answer is due on a stream that is of use and between two messages of the client's.
    fn may_terminate(&self) -> bool {
        let is_amid = !self.own.is_sent() || !self.client.framer().at_boundary();
        // Not amid a handshake, nor on the parent's socket.
        let is_due = self.shared.awaits_reply() && self.shared.status() != 0 && self.home.is_here();
        is_due && !is_amid && !self.shared.is_broken()
    }

    fn abandoned(&mut self, cx: &mut Context<'_>) -> io::Error {
        self.give_up(cx);
        io::Error::new(io::ErrorKind::ConnectionAborted, self.shared.abandoned().text())
    }

    pub(super) fn refuse_if_abandoned(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.shared.is_abandoned() { Err(self.abandoned(cx)) } else { Ok(()) }
    }

    /// Before anything is done to the socket, which a child made by `fork` shares with its parent.
    pub(super) fn refuse_in_child(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.shared.is_in_one_call() || self.home.is_this() {
            return self.refuse_if_abandoned(cx);
        }
        self.lost();
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, format!("the connection {OF_PARENT}")))
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use super::*;
    use crate::postgres::observer::Abandoned;
    use crate::postgres::observer::along::scripted::{Pair, message};

    /// A connection on which this was written.
    fn pair_that_wrote(bytes: &[u8], socket_timeout: Option<Duration>) -> Pair {
        let mut pair = Pair::open(socket_timeout);
        pair.writes(bytes);
        pair.turn();
        assert_eq!(pair.heard(), bytes);
        pair
    }

    fn query() -> Vec<u8> {
        message(b'Q', b"SELECT 1\0")
    }

    #[test]
    fn a_stream_given_up_amid_an_answer_says_so_once() {
        let mut abandoned = pair_that_wrote(&query(), None);
        abandoned.shared.abandon(Abandoned::GivenUp);
        assert_eq!(abandoned.ends(), ErrorKind::ConnectionAborted);
        assert_eq!(abandoned.heard(), FLUSH_AND_TERMINATE);
        // As the client's drop does, which asks once more.
        abandoned.error = None;
        assert_eq!((abandoned.ends(), abandoned.heard()), (ErrorKind::ConnectionAborted, Vec::new()));

        let mut late = pair_that_wrote(&query(), Some(Duration::from_millis(20)));
        assert_eq!(late.ends(), ErrorKind::TimedOut);
        assert_eq!(late.heard(), FLUSH_AND_TERMINATE);
    }

    #[test]
    fn nothing_is_said_amid_a_message_nor_where_nothing_is_due() {
        let amid = [query(), query()[..7].to_vec()].concat();
        for written in [amid, Vec::new()] {
            let mut pair = pair_that_wrote(&written, None);
            pair.shared.abandon(Abandoned::GivenUp);
            assert_eq!((pair.ends(), pair.heard()), (ErrorKind::ConnectionAborted, Vec::new()));
        }
    }

    #[test]
    fn nothing_is_said_where_it_would_have_to_wait_or_the_server_has_ended_the_session() {
        let mut full = pair_that_wrote(&query(), None);
        full.takes([0]);
        full.shared.abandon(Abandoned::GivenUp);
        assert_eq!((full.ends(), full.heard()), (ErrorKind::ConnectionAborted, Vec::new()));

        let mut ended = pair_that_wrote(&query(), None);
        ended.says(&message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mno\0\0"));
        ended.turn();
        ended.shared.abandon(Abandoned::GivenUp);
        assert!(ended.error.is_some() && ended.heard().is_empty());
    }

    #[test]
    fn a_limit_that_passes_as_a_flush_goes_through_that_had_to_wait_wakes_the_client() {
        let mut pair = Pair::open(Some(Duration::from_millis(30)));
        pair.writes(&query());
        // The second one is that of the turn in which the limit has passed: its read leaves that to the writing.
        pair.flushes_late(1);
        assert_eq!(pair.sleeps(), ErrorKind::TimedOut);
    }
}
