//! Calls that take their statement from the connection's cache.

use postgres::types::ToSql;
use postgres::{Client, Row, Statement};

use super::transaction::Session;
use crate::postgres::connection::{PgConnection, StatementCacheStats, TransactionStatus, is_refused};
use crate::postgres::error::PgError;
use crate::postgres::observer::CommitAlong;

type Params<'a> = [&'a (dyn ToSql + Sync)];

impl PgConnection {
    /// Prepares a statement, or returns the one prepared before with the same text on this connection.
    ///
    /// The cache keeps the [`statement_cache_size`](crate::postgres::PgOptions::statement_cache_size) statements that
    /// were used last, over checkins and resets. One that has to make room is closed on the server once the last clone
    /// of its handle is gone.
    ///
    /// When the server refuses a statement of the cache, since the tables below it have changed (0A000, "cached plan
    /// must not change result type") or somebody dropped it there (26000), the whole cache is dropped. The `_cached`
    /// calls then prepare anew and try once more, where no transaction is open, and where they are the first of a
    /// session, whose transaction they begin anew; elsewhere in one the caller gets the error, and the next transaction
    /// works. A text that a connection is refused twice for its result type is prepared at each use from then on: it
    /// is one whose tables change with the `search_path`, as with a schema per tenant. A call with a handle from here
    /// gets the error in either case, and the next `prepare_cached` prepares anew; over a Unix socket only the
    /// `_cached` calls notice.
    ///
    /// # Blocking
    ///
    /// Not at all when the statement is there; else for a round trip, more for types that the client does not know.
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::prepare`]. Nothing is kept then.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// use tierpool::Tier;
    ///
    /// let mut conn = pool.get(Tier::Automation)?;
    /// for page in ["a", "b", "c"] {
    ///     conn.execute_cached("INSERT INTO pages VALUES ($1)", &[&page])?; // prepared once
    /// }
    /// assert!(conn.statement_cache_stats().hits >= 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prepare_cached(&mut self, sql: &str) -> Result<Statement, PgError> {
        let (client, statements) = self.parts();
        Ok(statements.get(client, sql)?)
    }

    /// Executes a statement of the cache and returns its rows; see [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::query`].
    pub fn query_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<Vec<Row>, PgError> {
        Ok(self.with_cached(sql, |client, statement| client.query(statement, params))?)
    }

    /// Executes a statement of the cache that returns one row; see [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::query_one`].
    pub fn query_one_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<Row, PgError> {
        Ok(self.with_cached(sql, |client, statement| client.query_one(statement, params))?)
    }

    /// Executes a statement of the cache that returns at most one row; see [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::query_opt`].
    pub fn query_opt_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<Option<Row>, PgError> {
        Ok(self.with_cached(sql, |client, statement| client.query_opt(statement, params))?)
    }

    /// Executes a statement of the cache and returns the number of rows affected; see
    /// [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::execute`].
    pub fn execute_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<u64, PgError> {
        Ok(self.with_cached(sql, |client, statement| client.execute(statement, params))?)
    }

    /// Returns what the statement cache of this connection has done since it was opened.
    pub fn statement_cache_stats(&self) -> StatementCacheStats {
        self.statements().stats()
    }

    /// Outside of a transaction a refused statement is prepared anew and run again, in one it is the caller's.
    fn with_cached<T>(
        &mut self,
        sql: &str,
        call: impl Fn(&mut Client, &Statement) -> Result<T, postgres::Error>,
    ) -> Result<T, postgres::Error> {
        // Asked before the call: after an error the reply has not been read to its end yet.
        let is_in_transaction =
            self.transaction_status().is_some_and(|status| status != TransactionStatus::Idle);
        let error = match self.once_cached(sql, &call) {
            Err(error) if is_refused(&error) && !is_in_transaction => error,
            outcome => return outcome,
        };
        let (client, statements) = self.parts();
        // Where the status is not known, a transaction that is open has failed and refuses this: then the first error
        // is the one to tell.
        match statements.get(client, sql) {
            Ok(statement) => call(client, &statement),
            Err(_) => Err(error),
        }
    }

    /// Runs a statement of the cache. Where it is refused, the whole cache is dropped.
    fn once_cached<T>(
        &mut self,
        sql: &str,
        call: impl Fn(&mut Client, &Statement) -> Result<T, postgres::Error>,
    ) -> Result<T, postgres::Error> {
        let (client, statements) = self.parts();
        let statement = statements.get(client, sql)?;
        let outcome = call(client, &statement);
        self.note_refused(sql, &outcome);
        outcome
    }

    /// As [`PgConnection::once_cached`], with COMMIT along.
    fn once_cached_along<T>(
        &mut self,
        sql: &str,
        call: impl Fn(&mut Client, &Statement) -> Result<T, postgres::Error>,
    ) -> (Result<T, postgres::Error>, CommitAlong) {
        let (client, statements) = self.parts();
        // By itself, as what it asks the server is not the statement with which COMMIT goes.
        let statement = match statements.get(client, sql) {
            Ok(statement) => statement,
            Err(error) => return (Err(error), CommitAlong::NotSent),
        };
        let (outcome, commit) = self.with_commit_along(|client| call(client, &statement));
        self.note_refused(sql, &outcome);
        (outcome, commit)
    }

    fn note_refused<T>(&mut self, sql: &str, outcome: &Result<T, postgres::Error>) {
        if let Err(error) = outcome
            && is_refused(error)
        {
            let (_, statements) = self.parts();
            statements.drop_refused(sql, error);
        }
    }
}

impl Session<'_> {
    /// Prepares a statement, or returns the one prepared before on the same connection. It outlives the session. See
    /// [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::prepare`].
    pub fn prepare_cached(&mut self, sql: &str) -> Result<Statement, PgError> {
        let (conn, noted) = self.underway().ready()?;
        let (client, statements) = conn.parts();
        statements.get(client, sql).map_err(|error| noted.note(error))
    }

    /// Executes a statement of the connection's cache and returns its rows; see [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::query`].
    pub fn query_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<Vec<Row>, PgError> {
        self.with_cached(sql, |client, statement| client.query(statement, params))
    }

    /// Executes a statement of the connection's cache that returns one row; see [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::query_one`].
    pub fn query_one_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<Row, PgError> {
        self.with_cached(sql, |client, statement| client.query_one(statement, params))
    }

    /// Executes a statement of the connection's cache that returns at most one row; see
    /// [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::query_opt`].
    pub fn query_opt_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<Option<Row>, PgError> {
        self.with_cached(sql, |client, statement| client.query_opt(statement, params))
    }

    /// Executes a statement of the connection's cache and returns the number of rows affected; see
    /// [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::execute`].
    pub fn execute_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<u64, PgError> {
        self.with_cached(sql, |client, statement| client.execute(statement, params))
    }

    fn with_cached<T>(
        &mut self,
        sql: &str,
        call: impl Fn(&mut Client, &Statement) -> Result<T, postgres::Error>,
    ) -> Result<T, PgError> {
        self.as_first(|conn| (conn.once_cached(sql, &call), CommitAlong::NotSent))
    }

    /// Runs a statement of the connection's cache as the session's last, and COMMIT along with it where that goes.
    pub(super) fn end_cached<T>(
        &mut self,
        sql: &str,
        call: impl Fn(&mut Client, &Statement) -> Result<T, postgres::Error>,
    ) -> Result<T, PgError> {
        self.as_first(|conn| conn.once_cached_along(sql, &call))
    }

    /// Makes a call with a statement of the cache, and once more where it is the session's first and is refused.
    fn as_first<T>(
        &mut self,
        call: impl Fn(&mut PgConnection) -> (Result<T, postgres::Error>, CommitAlong),
    ) -> Result<T, PgError> {
        let underway = self.underway();
        let is_first = underway.is_ahead();
        let (conn, _) = underway.ready()?;
        let (mut outcome, mut commit) = call(conn);
        // Nothing of it was executed, and nothing else was done: as if it had been the first.
        if is_first && outcome.as_ref().is_err_and(is_refused) {
            underway.begin_anew()?;
            let (conn, _) = underway.ready()?;
            (outcome, commit) = call(conn);
        }
        underway.note_commit(outcome, commit)
    }
}
