//! A connection by way of a pooler: how it finds that out, and what it does then.
//!
//! **How it is found.** A server says in the start-up handshake which of its processes serves the connection. A pooler
//! that lends one server connection to many clients must invent that number, since a client's request to cancel has
//! to reach the pooler. So one question for `pg_backend_pid()` tells a pooler of any make from a server, and from a
//! proxy that only hands bytes through. A refused start-up option tells it too; the connection is then opened again
//! without one. Over a Unix socket the driver keeps the number to itself; there a server that sees its client come
//! over TCP tells.

use std::time::Duration;

use postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::pg_connection::PgConnection;
use super::pooler::{Behind, resets_session};
use crate::config::PgBouncer;
use crate::postgres::error::{Farewell, OpeningError, PgError};
use crate::postgres::options::ResetPolicy;

/// One row.
const WHO_SERVES: &str = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.inet_client_addr() IS NULL";

/// What the first call on a new connection asks and sets.
pub(in crate::postgres) struct FirstCall<'a> {
    /// A question with one row for an answer: which kind of server it is.
    pub role: Option<&'a str>,
    /// Whether to ask who serves the connection.
    pub who_serves: bool,
    /// What to set; without text, that the server itself answers is all that matters.
    pub set: Option<&'a str>,
}

/// What was told.
#[derive(Default)]
pub(in crate::postgres) struct Told {
    pub role: Option<SimpleQueryRow>,
    /// By what it shows that a pooler is in between.
    pub pooler: Option<&'static str>,
}

impl PgConnection {
    /// Keeps no statements from now on, unless the settings say that those who serve the calls have them all.
    pub(in crate::postgres) fn keep_no_statements(&mut self, pooler_is_said: bool) {
        if !pooler_is_said {
            self.statements_mut().switch_off();
        }
        self.statements_mut().go_by_types();
    }

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

    /// Asks a new connection all that is asked, and sets all that is set, in one round trip. Nothing to do costs none.
    ///
    /// By the simple protocol: a prepared statement would need the same server twice.
    pub(in crate::postgres) fn begin_with(
        &mut self,
        first: &FirstCall<'_>,
        limit: Duration,
    ) -> Result<Told, PgError> {
        let FirstCall { role, who_serves, set } = *first;
        let parts: Vec<_> = [role, who_serves.then_some(WHO_SERVES), set].into_iter().flatten().collect();
        if parts.is_empty() {
            return Ok(Told::default());
        }
        let answer = match self.ask_first(&parts.join("; "), limit) {
            // A server that does not understand who serves has no more to say about it. One that ended the connection
            // may be told as an error of its opening.
            Err(error) if who_serves && !error.is_connection_lost() && !self.is_lost() => {
                return self.begin_with(&FirstCall { who_serves: false, ..*first }, limit);
            }
            outcome => outcome?,
        };
        let mut rows = answer.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let role = role.and_then(|_| rows.next());
        let pooler = rows.next().filter(|_| who_serves).and_then(|row| self.pooler_in(&row));
        Ok(Told { role, pooler })
    }

    /// By what the answer to who serves the connection shows that a pooler is in between; `None`: none is.
    fn pooler_in(&self, row: &SimpleQueryRow) -> Option<&'static str> {
        let told = self.observer().map(|shared| shared.backend_pid().to_string());
        match told {
            Some(told) => {
                (row.get(0) != Some(&told)).then_some("it numbers its connections unlike the server")
            }
            None => (row.get(1) == Some("f")).then_some("the server sees TCP behind the Unix socket"),
        }
    }

    /// Takes note of what is in between.
    pub(in crate::postgres) fn set_behind(&mut self, behind: Behind) {
        self.behind = behind;
        if let (true, Some(shared)) = (self.is_transaction_pooled(), self.observer()) {
            shared.along().lent_by_transactions();
        }
    }

    /// Runs the first call on a new connection. The driver reads a last error and the hang-up behind it in one go, and
    /// then tells of the hang-up alone; the observer has seen the error's SQLSTATE.
    fn ask_first(&mut self, text: &str, limit: Duration) -> Result<Vec<SimpleQueryMessage>, PgError> {
        self.bounded_own(limit, |client| client.simple_query(text)).map_err(|error| {
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
