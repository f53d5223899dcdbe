//! Signs of life: the checks of a connection, each within a limit.

use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, Notification, SimpleQueryMessage, SimpleQueryRow};

use super::pass::Pass;
use super::pg_connection::PgConnection;
use crate::postgres::error::PgError;
use crate::postgres::observer::Probe;

/// The observer's own mark, see there; the server names a process and a channel.
pub(super) fn is_end_of_probe(notification: &Notification) -> bool {
    notification.process_id() == 0 && notification.channel().is_empty()
}

fn row(message: SimpleQueryMessage) -> Option<SimpleQueryRow> {
    match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }
}

impl PgConnection {
    /// Checks without a round trip that neither side has hung up: by one question to the kernel where nothing has come
    /// since the last read, else in 2 µs or so, with all that the server has sent unasked. A server that is frozen, or
    /// a network that swallows packets, passes. An unobserved connection is pinged.
    ///
    /// Notifications that were not fetched yet are discarded.
    ///
    /// # Blocking
    ///
    /// At most `limit`, and that long only amid a message of the server that stopped half-way.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub fn probe(&mut self, limit: Duration) -> Result<(), PgError> {
        if self.is_lost() {
            return Err(self.lost());
        }
        if !self.is_observed() {
            return self.ping(limit);
        }
        // In a child it is the stream that says whose it is.
        if self.is_inherited() { self.turn_once(limit) } else { self.look(limit) }
    }

    /// As [`PgConnection::probe`] for an observed connection, of which it was asked lately whether it is inherited.
    pub(in crate::postgres) fn look(&mut self, limit: Duration) -> Result<(), PgError> {
        if !self.is_lost() && self.is_quiet() { Ok(()) } else { self.turn_once(limit) }
    }

    /// Whether neither the kernel nor the client has anything that came unasked.
    fn is_quiet(&mut self) -> bool {
        // What a session listens for the client may have, for nobody.
        let (Some(wire), Some(arrivals)) = (self.observer.as_deref(), &mut self.arrivals) else {
            return false;
        };
        if !wire.is_at_rest() || wire.listening().is_possible() {
            return false;
        }
        let is_quiet = arrivals.are_none();
        if !is_quiet {
            wire.note_arrival();
        }
        is_quiet
    }

    /// Turns the connection's reactor once: what the client has to send is sent, and what has come is read.
    pub(super) fn turn_once(&mut self, limit: Duration) -> Result<(), PgError> {
        if self.is_lost() { Err(self.lost()) } else { self.turn(limit, Probe::start) }
    }

    /// Reads replies that are pending to their end, so that the transaction status is known. Sends nothing. Without
    /// effect when none is pending, and on an unobserved connection.
    ///
    /// # Blocking
    ///
    /// Until the server has sent the rest, at most `limit`.
    ///
    /// # Errors
    ///
    /// When the connection is lost, or the replies do not end in time; it is lost then. The same for a `COPY` to the
    /// server that was begun as a text or whose writer was forgotten: nothing ends it.
    pub fn settle(&mut self, limit: Duration) -> Result<(), PgError> {
        if !self.is_reply_pending() {
            return Ok(());
        }
        if self.is_lost() {
            return Err(self.lost());
        }
        self.turn(limit, Probe::start_settling)?;
        if self.is_reply_pending() {
            // A `COPY` that only its writer could end.
            self.abandon();
            return Err(self.lost());
        }
        Ok(())
    }

    /// Turns the connection's reactor until the observer ends it.
    fn turn(&mut self, limit: Duration, start: fn(&Probe)) -> Result<(), PgError> {
        let PgConnection { client: Some(client), observer: Some(shared), .. } = self else { return Ok(()) };
        shared.set_bound(limit);
        start(shared.probe());
        let outcome = loop {
            match client.notifications().blocking_iter().next() {
                Ok(Some(notification)) if is_end_of_probe(&notification) => break Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => break Err(PgError::lost()),
                Err(error) => break Err(error.into()),
            }
        };
        shared.probe().end();
        shared.clear_bound();
        let outcome = if outcome.is_ok() && shared.is_broken() { Err(PgError::lost()) } else { outcome };
        outcome.map_err(|error| self.explained(error))
    }

    /// Asks the server for a sign of life: one round trip. After a failure the connection is of no use.
    ///
    /// # Blocking
    ///
    /// At most `limit`.
    ///
    /// # Errors
    ///
    /// When the connection is lost, or there is no answer in time.
    pub fn ping(&mut self, limit: Duration) -> Result<(), PgError> {
        if self.is_lost() {
            return Err(self.lost());
        }
        let was_fresh = !self.is_used();
        match self.observer.is_some() {
            true => self.bounded_own(limit, |client| client.simple_query("").map(drop))?,
            false => self.client_mut().is_valid(limit)?,
        }
        if was_fresh {
            self.mark_fresh();
        }
        Ok(())
    }

    /// Gives it what it is open by, until its end.
    pub(in crate::postgres) fn set_pass(&mut self, pass: Pass) {
        self.pass = Some(pass);
    }

    /// The number of its pass, where it needs one.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass.as_ref().map(Pass::number)
    }

    /// Asks the server something in one round trip by the simple protocol, for the pool itself, and returns the rows of
    /// all statements in `text`. Past `limit` the connection is lost. The session is as fresh as before.
    pub(crate) fn ask(&mut self, text: &str, limit: Duration) -> Result<Vec<SimpleQueryRow>, PgError> {
        if self.is_lost() {
            return Err(self.lost());
        }
        let was_fresh = !self.is_used();
        let answer = self.bounded_own(limit, |client| client.simple_query(text))?;
        if was_fresh {
            self.mark_fresh();
        }
        Ok(answer.into_iter().filter_map(row).collect())
    }

    /// As [`PgConnection::bounded`], for what the pool sends for itself.
    pub(in crate::postgres) fn bounded_own<T>(
        &mut self,
        limit: Duration,
        call: impl FnOnce(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T, PgError> {
        self.as_own(|conn| conn.bounded(limit, call))
    }

    /// Runs `call` under `limit`; past it the connection is lost. Without effect on an unobserved connection.
    pub(in crate::postgres) fn bounded<T>(
        &mut self,
        limit: Duration,
        call: impl FnOnce(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T, PgError> {
        if let Some(shared) = self.observer() {
            shared.set_bound(limit);
        }
        let outcome = call(self.client_mut());
        if let Some(shared) = self.observer() {
            shared.clear_bound();
        }
        if outcome.is_err() && self.is_lost() {
            self.abandon();
        }
        outcome.map_err(|error| self.explained(error.into()))
    }
}
