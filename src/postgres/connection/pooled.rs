//! A connection by way of a pooler: how it finds that out, and what it does then.
//!
//! **How it is found.** A server says in the start-up handshake which of its processes serves the connection. A pooler
//! that lends one server connection to many clients must invent that number, since a client's request to cancel has
//! to reach the pooler. So one question for `pg_backend_pid()` tells a pooler of any make from a server, and from a
//! proxy that only hands bytes through. A refused start-up option tells it too; the connection is then opened again
//! without one. Over a Unix socket the driver keeps the number to itself; there a server that sees its client come
//! over TCP tells.

use std::time::Duration;

use postgres::{Client, SimpleQueryMessage};

use super::pg_connection::PgConnection;
use super::pooler::{Behind, resets_session};
use crate::config::PgBouncer;
use crate::postgres::error::{Farewell, OpeningError, PgError};
use crate::postgres::options::ResetPolicy;

/// By the simple protocol: a prepared statement would need the same server twice.
const WHO_SERVES: &str = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.inet_client_addr() IS NULL";

impl PgConnection {
    /// The statement timeout that each session must set for itself.
    pub(in crate::postgres) fn local_statement_timeout(&self) -> Option<Duration> {
        self.behind.statement_timeout.filter(|_| self.is_transaction_pooled())
    }

    /// The policy in force: in transaction mode a reset of the session could reach somebody else's.
    pub(in crate::postgres) fn reset_policy<'a>(&self, policy: &'a ResetPolicy) -> &'a ResetPolicy {
        if self.is_transaction_pooled() && resets_session(policy) { &ResetPolicy::Rollback } else { policy }
    }

    /// What a reset of the session must set again.
    pub(super) fn restored_after_reset(&self) -> Option<String> {
        (self.behind.mode == PgBouncer::Session).then(|| self.behind.restored_after_reset())
    }

    /// Asks who serves the connection, and says by what it shows that a pooler is in between; `None`: none is.
    ///
    /// A server that does not understand the question has no more to say about it.
    pub(in crate::postgres) fn find_pooler(
        &mut self,
        limit: Duration,
    ) -> Result<Option<&'static str>, PgError> {
        let told = self.observer().map(|shared| shared.backend_pid().to_string());
        let answer = match self.ask_first(limit, |client| client.simple_query(WHO_SERVES)) {
            Ok(answer) => answer,
            // One that ended the connection may be told as an error of its opening.
            Err(error) if error.is_connection_lost() || self.is_lost() => return Err(error),
            Err(_) => return Ok(None),
        };
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let Some(row) = row else { return Ok(None) };
        Ok(match told {
            Some(told) => {
                (row.get(0) != Some(&told)).then_some("it numbers its connections unlike the server")
            }
            None => (row.get(1) == Some("f")).then_some("the server sees TCP behind the Unix socket"),
        })
    }

    /// Takes note of what is in between, and sets what a new session needs because of it.
    ///
    /// Either way the server itself answers once. A pooler takes clients also while it has no server for them: without
    /// that answer the pool would open connections that fail at their first use, as fast as its borrowers ask for them,
    /// and would never know of the outage.
    pub(in crate::postgres) fn settle_behind(
        &mut self,
        behind: Behind,
        limit: Duration,
    ) -> Result<(), PgError> {
        self.behind = behind;
        let set = match self.behind.mode {
            PgBouncer::Off => return Ok(()),
            PgBouncer::Session => self.behind.set_statement_timeout().unwrap_or_default(),
            PgBouncer::Transaction => String::new(),
        };
        self.ask_first(limit, |client| client.batch_execute(&set))
    }

    /// Runs one of the first calls on a new connection. The driver reads a last error and the hang-up behind it in one
    /// go, and then tells of the hang-up alone; the observer has seen the error's SQLSTATE.
    fn ask_first<T>(
        &mut self,
        limit: Duration,
        call: impl FnOnce(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T, PgError> {
        self.bounded_own(limit, call).map_err(|error| {
            let last = self.observer().filter(|shared| shared.is_broken()).and_then(|s| s.errors().last());
            match (error.sqlstate(), last) {
                (None, Some(last)) if error.is_connection_lost() => {
                    let code = String::from_utf8_lossy(&last.code).into_owned();
                    PgError::opening(OpeningError::Ended(Farewell(code)))
                }
                _ => error,
            }
        })
    }
}
