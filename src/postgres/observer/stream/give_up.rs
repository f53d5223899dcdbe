//! The end of a stream from this side: when it is given up, and what is sent then.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::{Observed, Silence};
use crate::process::OF_PARENT;

/// What is sent where answers are due: `Flush` and `Terminate`.
///
/// A PgBouncer before 1.21 takes a client's server for free once it has passed on the end of an answer, until the client
/// sends something more, whatever that has asked for already. From a client that leaves it gives the server to the next
/// one then, who gets the answers that are still to come. Behind a message it closes that server instead, and `Flush` is
/// one without an answer of its own. A server itself reads both when it is done with its statements.
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

    /// Called amid a row of reads that all found data: turns the reactor, unless that has gone on for too long. For the
    /// client that is the end of its turn, as if there was no more.
    pub(super) fn pause(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reads_in_a_row = 0;
        self.ran_dry = true;
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
        let is_amid = self.limits.write_blocked || !self.own.is_sent() || !self.client.framer().at_boundary();
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
