//! The wrapped stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use log::Level;
use postgres::tls::{ChannelBinding, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::backend::{BackendEvent, BackendScanner};
use super::frames::Framer;
use super::frontend::FrontendScanner;
use super::hang_up::{HangUp, READS_IN_A_ROW};
use super::home::Home;
use super::limits::{Limits, Silence};
use super::malformed::Malformed;
use super::nesting::TypeNesting;
use super::notifications::{Notifications, TAG, Wanted};
use super::send_queue::SendQueue;
use super::slow::SlowLog;
use super::state::{ProbeStep, Spent, WireState};
use super::times::QueryTimes;
use crate::clock::Deadline;
use crate::lines::say;
use crate::pool::Place;

mod end;
mod give_up;
mod own;
mod sent;

use end::End;
use own::Own;

/// A `NotificationResponse` of process 0 on a channel without a name. No server sends one, so it marks the end of a
/// probe: it ends the client's wait for a notification.
const END_OF_PROBE: [u8; 11] = [b'A', 0, 0, 0, 10, 0, 0, 0, 0, 0, 0];

/// How long the answer to a request to cancel is waited for: the server's end of the stream.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);

/// For how many reads one counts that brought nothing of a reply: such data may be without end, and the client has as
/// much work with it.
const CHATTER: u32 = 4;

/// A stream between client and server that is read along.
pub(crate) struct Observed<S> {
    inner: S,
    shared: Arc<WireState>,
    server: BackendScanner,
    client: FrontendScanner,
    limits: Limits,
    notifications: Notifications,
    /// How much of [`END_OF_PROBE`] the client is still to be given.
    inject: usize,
    own: Own,
    slow: Option<Box<SlowLog>>,
    times: Option<QueryTimes>,
    types: TypeNesting,
    end: End,
    /// What the client is to read once the server's end has come.
    withheld: Vec<u8>,
    /// The last read was told that there is nothing. Where it was not, the client has stopped reading.
    ran_dry: bool,
    /// That one left it to the turn to write to tell whether a limit has passed.
    is_unjudged: bool,
    reads_in_a_row: u32,
    /// Set while the server's end of the stream is waited for.
    hang_up: Option<HangUp>,
    /// Whom an abandonment wakes.
    listens: Option<Waker>,
    home: Home,
}

impl<S> Observed<S> {
    /// Wraps a stream before the start-up message. Opening the connection may last until `deadline`, `limit` after it
    /// began.
    pub(super) fn new(
        inner: S,
        shared: Arc<WireState>,
        deadline: Deadline,
        limit: Duration,
        queue: Option<SendQueue>,
    ) -> Self {
        let slow = shared.slow_query().map(|limit| Box::new(SlowLog::new(limit)));
        let times = shared.query_times().then(QueryTimes::default);
        Observed {
            inner,
            shared,
            slow,
            times,
            types: TypeNesting::default(),
            server: BackendScanner::default(),
            client: FrontendScanner::default(),
            limits: Limits::new(deadline, limit, queue),
            notifications: Notifications::default(),
            inject: 0,
            own: Own::default(),
            end: End::Unknown,
            withheld: Vec::new(),
            ran_dry: true,
            is_unjudged: false,
            reads_in_a_row: 0,
            hang_up: None,
            listens: None,
            home: Home::here(),
        }
    }

    fn lost(&mut self) {
        self.home.turn_ends();
        self.shared.note_lost();
        if let Some(slow) = &mut self.slow {
            slow.lost(&self.shared);
        }
    }

    /// Reads along; true where a notification has begun in it. An error is one of the server's, for which the stream
    /// is to be given up.
    fn read(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let mut notified = false;
        // A `COPY` to the server is one too, though no answer is due meanwhile.
        let is_answering = self.shared.awaits_reply() || self.shared.is_reply_pending();
        self.server.allow(self.shared.allowance().longest_message(is_answering));
        self.server.want_rows(self.types.is_asking());
        let Observed { shared, slow, times, types, end, .. } = self;
        self.server.scan(bytes, |event| {
            shared.note(event);
            types.heard(event);
            notified |= event == BackendEvent::Notification;
            if let Some(times) = times {
                times.heard(event, shared);
            }
            // Ahead of the first `ReadyForQuery` each error ends the session, whatever its severity.
            let is_refusal = shared.status() == 0;
            if matches!(event, BackendEvent::Error { ends_session, .. } if ends_session || is_refusal) {
                // Unasked, the client takes it for the failure itself.
                *end = if shared.awaits_reply() { End::Said } else { End::PassedOn };
            }
            if let Some(slow) = slow {
                slow.heard(event, shared);
            }
        });
        if self.server.take_progress() {
            self.reads_in_a_row += 1;
            if let Some(since) = self.limits.heard() {
                self.shared.note_heard(since);
            }
        } else {
            self.reads_in_a_row += CHATTER;
        }
        // Notifications have a bound of their own, and a listener may have any number of them waiting.
        let free = if self.shared.is_open() { self.server.take_notified() } else { 0 };
        let spent = self.shared.allowance().spend(bytes.len().saturating_sub(free));
        let too_much = if let Spent::TooMuch(bytes) = spent { Some(Malformed::TooMuch(bytes)) } else { None };
        let refused = match self.server.malformed().or(self.types.malformed()).or(too_much) {
            Some(malformed) => Err(io::Error::from(malformed)),
            None if spent == Spent::Flood => self.limits.check_call(&self.shared).map_err(io::Error::from),
            None => Ok(()),
        };
        refused.map(|()| notified)
    }

    /// Takes notifications out of what was read that are too much for the client.
    fn sift(&mut self, framer: Framer, buf: &mut ReadBuf<'_>, before: usize) {
        let wanted = if self.shared.is_own() { Wanted::No } else { Wanted::Yes };
        let lost = self.notifications.sift(framer, buf, before, wanted);
        if lost > 0 && self.shared.listening().note_lost(lost) == 0 && wanted == Wanted::Yes {
            let (id, pid) = (self.shared.place().map_or(0, Place::connection_id), self.shared.backend_pid());
            say!(
                Level::Warn,
                module_path!(),
                [connection_id = id, backend_pid = pid],
                "notifications are lost: the borrower of connection {id} (backend {pid}) fetches none, or not fast \
                 enough"
            );
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.refuse_in_child(cx)?;
        if this.give_own(buf) {
            return Poll::Ready(Ok(()));
        }
        if this.end != End::Unknown {
            return this.read_after_word(cx, buf);
        }
        if this.shared.listening().were_fetched() {
            this.notifications.were_fetched();
        }
        if this.ran_dry && !this.shared.is_reply_pending() {
            this.notifications.read_begins();
        }
        loop {
            if this.reads_in_a_row >= READS_IN_A_ROW {
                return this.pause(cx);
            }
            if this.shared.is_drained_enough() {
                // What there is stays where it is. Its owner wakes the task when its own time is up.
                return Poll::Pending;
            }
            let before = buf.filled().len();
            match Pin::new(&mut this.inner).poll_read(cx, buf) {
                Poll::Ready(Ok(())) => {
                    let framer = this.server.framer();
                    let bytes = &buf.filled()[before..];
                    let is_end = bytes.is_empty();
                    if is_end && buf.remaining() > 0 {
                        this.lost();
                    }
                    this.shared.probe().drained(bytes.len());
                    let is_hiding = this.shared.along().is_hiding();
                    let notified = this.read(bytes).inspect_err(|_| this.give_up(cx))?;
                    this.ran_dry = false;
                    this.shared.note_read();
                    let framer = this.hide_own(framer, is_hiding, buf, before);
                    if notified || framer.is_amid(TAG) || this.server.framer().is_amid(TAG) {
                        this.sift(framer, buf, before);
                    }
                    if this.is_parting() {
                        this.withhold(buf, before);
                        return this.read_after_word(cx, buf);
                    }
                    // Nothing would mean the end of the stream.
                    if is_end || buf.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Err(error)) => {
                    this.lost();
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => {
                    this.ran_dry = true;
                    this.shared.note_dry(this.server.at_boundary());
                    this.reads_in_a_row = 0;
                    return this.nothing_to_read(cx, buf);
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Observed<S> {
    /// Takes note of how a write went, and makes sure of a limit where it blocks.
    fn written<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &outcome {
            Poll::Ready(Ok(_)) => self.limits.write_blocked = false,
            Poll::Ready(Err(_)) => self.lost(),
            Poll::Pending => {
                self.home.turn_ends();
                self.limits.blocks(self.shared.awaits_reply());
                self.wait(cx, Silence::Proven)?;
            }
        }
        outcome
    }

    /// What becomes of a read that finds nothing.
    fn nothing_to_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.shared.step_probe() {
            Some(ProbeStep::Turn) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Between two messages only; amid one the rest of it is waited for.
            Some(ProbeStep::End) if self.server.at_boundary() => {
                self.shared.probe().end();
                self.inject = END_OF_PROBE.len();
                self.give_end_of_probe(buf);
                return Poll::Ready(Ok(()));
            }
            _ => {}
        }
        // What is to be written may be all that is waited for, and its turn is after this.
        self.is_unjudged = self.limits.write_blocked || self.shared.is_copying_in();
        self.wait(cx, if self.is_unjudged { Silence::Assumed } else { Silence::Proven })?;
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> Observed<S> {
    /// Waits until the server has closed its side, or for `limit`.
    fn part(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        self.hang_up.get_or_insert_with(|| HangUp::within(limit)).poll(cx, &mut self.inner, &self.shared)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.refuse_in_child(cx)?;
        if this.is_parting() {
            // Nothing of the client's gets there any more, and its goodbye least of all.
            return Poll::Ready(Ok(bytes.len()));
        }
        if this.is_weaving() {
            return this.weave(cx, bytes);
        }
        let outcome = Pin::new(&mut this.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = outcome {
            this.limits.sent(count);
            this.take(&bytes[..count]);
        }
        this.written(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.home.turn_ends();
        this.refuse_if_abandoned(cx)?;
        if !this.is_parting() {
            ready!(this.send_own(cx))?;
        }
        let outcome = Pin::new(&mut this.inner).poll_flush(cx);
        // One that has stopped reading waits for its own reader, which may be gone for good: then it never asks again,
        // and what the kernel has by now would not end its wait either. The end of the answer may have been read too.
        let is_bounded = !this.ran_dry && this.hang_up.is_none() && this.shared.bound().is_some();
        // The client sleeps right after the flush that ends a request, without another read.
        let waits = this.shared.awaits_reply() || this.shared.is_copying_in();
        if outcome.is_ready() && (waits || is_bounded) {
            this.limits.write_blocked = false;
            this.wait(cx, this.silence())?;
        }
        this.written(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.home.turn_ends();
        this.refuse_in_child(cx)?;
        if this.shared.status() == 0 {
            // Before a handshake there is nothing to close but the stream of a request to cancel. PgBouncer drops a
            // request whose sender has gone, and a server that has closed the stream has dealt with it.
            let limit = CANCEL_LIMIT.min(this.limits.left_to_open());
            return match this.part(cx, limit) {
                Poll::Ready(()) => Pin::new(&mut this.inner).poll_shutdown(cx),
                Poll::Pending => Poll::Pending,
            };
        }
        if this.hang_up.is_none() {
            ready!(this.send_own(cx))?;
            let outcome = Pin::new(&mut this.inner).poll_shutdown(cx);
            match this.written(cx, outcome) {
                Poll::Ready(Ok(())) => {}
                unfinished => return unfinished,
            }
        }
        // By then its backend has ended and no longer counts as a connection.
        let limit = this.shared.parting().left();
        this.part(cx, limit).map(Ok)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Observed<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}
