//! Ends what a borrower has left half done: a reply that was not read to its end, a `COPY` that was not ended, a
//! request to cancel under way.
//!
//! Its connection is with a helper by then, and the next borrower may be waiting for it. So all of this together takes
//! less than half a second ([`ALL`]), whatever the server sends or does not send; what does not end in that time is not
//! worth waiting for, since a new connection takes a few milliseconds.
//!
//! | left | what is done | where that is not enough |
//! | --- | --- | --- |
//! | the end of a reply, as after an error | read: it is on its way | as the next |
//! | rows, `COPY` data from the server, a statement at work | cancelled, and the rest is read | closed |
//! | the same outside of a transaction, behind a pooler that lends a server for one | closed: some pass the server on before the whole answer is there, and others get the rest | |
//! | a `COPY` to the server whose writer was dropped | the client ends it, and the answer is read | closed |
//! | one whose writer was forgotten, or begun as a text | closed: the client has nothing to end it by | |
//! | a reply whose reader was forgotten | cancelled where the server is still at it; the client reads no more, so closed | |
//! | a request to cancel | its end is waited for, and a round trip follows | closed |
//!
//! A connection closed here says nothing against others ([`PgConnection::is_unrestorable`]), unless it is found lost:
//! that a server far away has not answered by then is no news of it.
//!
//! Over a Unix socket nothing tells that a reply is due. There the ping at each return gets its answer behind all of
//! it; without one the statement is cancelled and the connection replaced.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;

use super::checks::is_end_of_probe;
use super::lease::Trace;
use super::pg_connection::PgConnection;
use crate::clock::Deadline;
use crate::postgres::error::PgError;
use crate::postgres::observer::{Pending, WireState};

/// How long it may take in all.
const ALL: Duration = Duration::from_millis(450);

/// How long a reply may take by itself. What is usual, the end of a reply after an error, is there already.
const BY_ITSELF: Duration = Duration::from_millis(20);

/// How long a request to cancel may take, its TLS handshake included.
const CANCEL: Duration = Duration::from_millis(250);

/// How long the rest of a cancelled reply may take.
const REST: Duration = Duration::from_millis(100);

/// How much that may be: more than the buffers between a server and its client hold.
const REST_BYTES: u64 = 64 << 20;

/// How long a ping over a Unix socket may take before the statement ahead of it is cancelled.
const UNOBSERVED: Duration = Duration::from_millis(150);

impl PgConnection {
    /// Ends what the last borrower has left half done; false where the connection must not be lent again.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub(super) fn end_leftovers(&mut self, limit: Duration) -> Result<bool, PgError> {
        let end = Deadline::of(limit.min(ALL));
        let mut cancelled = self.leases.await_acts(CANCEL.min(end.left()));
        if cancelled == Trace::UnderWay {
            return Ok(self.is_for_nobody());
        }
        if self.is_lost() {
            return Err(self.lost());
        }
        if !self.is_observed() {
            return self.ping_or_cancel(end);
        }
        let mut is_through = self.read_on(BY_ITSELF.min(end.left()))?;
        if self.pending() == Pending::Server {
            if self.may_be_lent_on() {
                return Ok(self.is_for_nobody());
            }
            let trace = self.cancel_now(CANCEL.min(end.left()));
            if trace != Trace::Arrived {
                return if self.is_lost() { Err(self.lost()) } else { Ok(self.is_for_nobody()) };
            }
            cancelled = trace;
            is_through = self.read_on(REST.min(end.left()))?;
        }
        if !is_through && self.pending() == Pending::Nothing {
            // Its thread may have been kept from running for that long.
            is_through = self.read_on(REST.min(end.left()))?;
        }
        if !is_through || self.pending() != Pending::Nothing {
            return Ok(self.is_for_nobody());
        }
        if cancelled == Trace::Arrived {
            return self.ping_or_replace(end.left());
        }
        Ok(true)
    }

    fn ping_or_replace(&mut self, limit: Duration) -> Result<bool, PgError> {
        match self.ping(limit) {
            Ok(()) => Ok(true),
            Err(error) if error.is_client_timeout() || !self.is_lost() => Ok(self.is_for_nobody()),
            Err(error) => Err(error),
        }
    }

    fn pending(&self) -> Pending {
        self.observer().map_or(Pending::Nothing, |shared| shared.pending())
    }

    /// Whether nothing of a reply is left, neither with the server nor with a client that has stopped reading.
    pub(in crate::postgres) fn is_read_out(&self) -> bool {
        self.observer().is_none_or(WireState::is_read_out)
    }

    /// Whether a pooler may give the server to another client while the statement is still answered.
    fn may_be_lent_on(&self) -> bool {
        self.is_transaction_pooled() && self.observer().is_some_and(|shared| shared.status() == b'I')
    }

    fn is_for_nobody(&mut self) -> bool {
        self.set_unrestorable();
        false
    }

    /// Where the server does not answer in time the statement is cancelled, and where that request is nobody knows.
    fn ping_or_cancel(&mut self, end: Deadline) -> Result<bool, PgError> {
        let Err(error) = self.ping(UNOBSERVED.min(end.left())) else { return Ok(true) };
        if self.is_lost() || end.left().is_zero() {
            return Err(error);
        }
        self.cancel_now(CANCEL.min(end.left()));
        self.ping_or_replace(REST.min(end.left()))?;
        Ok(self.is_for_nobody())
    }

    /// Reads a pending reply for as long as what ends by itself may take, as [`PgConnection::read_on`] does.
    pub(super) fn end_reply(&mut self) -> Result<bool, PgError> {
        self.read_on(BY_ITSELF)
    }

    /// Reads a pending reply for at most `limit`, and leaves the connection as it is where there is more. Tells whether
    /// the client came to its end: it does not where its reader was forgotten, also when all of it has been read.
    fn read_on(&mut self, limit: Duration) -> Result<bool, PgError> {
        if self.is_read_out() {
            return Ok(true);
        }
        self.as_own(|conn| conn.read_on_for(limit))
    }

    fn read_on_for(&mut self, limit: Duration) -> Result<bool, PgError> {
        let PgConnection { client: Some(client), observer: Some(shared), .. } = self else { return Ok(true) };
        shared.start_draining(REST_BYTES, limit);
        let outcome = loop {
            match client.notifications().timeout_iter(limit).next() {
                Ok(Some(notification)) if !is_end_of_probe(&notification) => {}
                Ok(end) => break Ok(end.is_some()),
                Err(error) => break Err(PgError::from(error)),
            }
        };
        shared.probe().end();
        let outcome = if outcome.is_ok() && shared.is_broken() { Err(PgError::lost()) } else { outcome };
        outcome.map_err(|error| self.explained(error))
    }

    /// Cancels what runs, on a thread of its own: a connect may take longer than there is time for.
    fn cancel_now(&self, limit: Duration) -> Trace {
        let request = self.cancel_request();
        let (done, outcome) = mpsc::channel();
        let sender = thread::Builder::new().name("tierpool-cancel".to_owned());
        let spawned = sender.spawn(move || {
            let (_, trace) = request.send(limit);
            // Nobody waits for it any more where it took too long.
            let _ = done.send(trace);
        });
        if spawned.is_err() {
            return Trace::None;
        }
        outcome.recv_timeout(limit).unwrap_or(Trace::UnderWay)
    }
}
