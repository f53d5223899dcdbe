//! Calls that take their statement from the connection's cache.

use postgres::types::ToSql;
use postgres::{Client, Row, Statement};

use super::transaction::Session;
use crate::postgres::connection::{Failed, PgConnection, Ready, StatementCacheStats, TransactionStatus};
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
    /// works. A text that a connection is refused twice for its result type is prepared at each use for the next ten
    /// minutes: it is one whose tables change with the `search_path`, as with a schema per tenant. A call with a handle
    /// from here
    /// gets the error in either case, and the next `prepare_cached` prepares anew; over a Unix socket only the
    /// `_cached` calls notice.
    ///
    /// Behind a pooler that lends servers by the transaction nothing is kept. There the `_cached` calls go by the types
    /// of their parameters, in one round trip, once any connection of the tier has learnt them; see
    /// [the guide](crate::guide::pgbouncer#transaction-mode).
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
        Ok(self.with_cached(sql, params, Ready::query)?)
    }

    /// Executes a statement of the cache that returns one row; see [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::query_one`].
    pub fn query_one_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<Row, PgError> {
        Ok(self.with_cached(sql, params, Ready::query_one)?)
    }

    /// Executes a statement of the cache that returns at most one row; see [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::query_opt`].
    pub fn query_opt_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<Option<Row>, PgError> {
        Ok(self.with_cached(sql, params, Ready::query_opt)?)
    }

    /// Executes a statement of the cache and returns the number of rows affected; see
    /// [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::execute`].
    pub fn execute_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<u64, PgError> {
        Ok(self.with_cached(sql, params, Ready::execute)?)
    }

    /// Returns what the statement cache of this connection has done since it was opened.
    pub fn statement_cache_stats(&self) -> StatementCacheStats {
        self.statements().stats()
    }

    /// Outside of a transaction a refused statement is prepared anew and run again, in one it is the caller's.
    fn with_cached<T>(
        &mut self,
        sql: &str,
        params: &Params<'_>,
        call: Call<T>,
    ) -> Result<T, postgres::Error> {
        // Asked before the call: after an error the reply has not been read to its end yet.
        let is_in_transaction =
            self.transaction_status().is_some_and(|status| status != TransactionStatus::Idle);
        let (outcome, _) = self.once_cached(sql, params, call, Commit::Apart);
        let error = match outcome {
            Err(refusal) if refusal.may_help() && !is_in_transaction => refusal.error,
            outcome => return outcome.map_err(|refusal| refusal.error),
        };
        let (client, statements) = self.parts();
        // Where the status is not known, a transaction that is open has failed and refuses this: then the first error
        // is the one to tell.
        match statements.ready_anew(client, sql, params.len()) {
            Ok(ready) => call(&ready, client, sql, params),
            Err(_) => Err(error),
        }
    }

    /// Runs a statement of the cache, or by the types that are known of it. What is refused is forgotten. What asks the
    /// server for types goes ahead by itself: COMMIT goes with the statement alone.
    fn once_cached<T>(
        &mut self,
        sql: &str,
        params: &Params<'_>,
        call: Call<T>,
        commit: Commit,
    ) -> (Result<T, Refusal>, CommitAlong) {
        let (client, statements) = self.parts();
        let ready = match statements.ready(client, sql, params.len()) {
            Ok(ready) => ready,
            Err(error) => return (Err(error.into()), CommitAlong::NotSent),
        };
        let (outcome, along) = self.call_ready(&ready, sql, params, call, commit);
        if !matches!(outcome, Err(Refusal { failed: Failed::Unsent, .. })) {
            return (outcome, along);
        }
        let (client, statements) = self.parts();
        match statements.ready_instead(client, sql, params.len(), &ready) {
            Ok(ready) => self.call_ready(&ready, sql, params, call, commit),
            Err(error) => (Err(error.into()), CommitAlong::NotSent),
        }
    }

    fn call_ready<T>(
        &mut self,
        ready: &Ready,
        sql: &str,
        params: &Params<'_>,
        call: Call<T>,
        commit: Commit,
    ) -> (Result<T, Refusal>, CommitAlong) {
        let (outcome, along) = match commit {
            Commit::Apart => {
                let outcome = self.in_one_call(|conn| call(ready, conn.parts().0, sql, params));
                (outcome, CommitAlong::NotSent)
            }
            Commit::Along => self.with_commit_along(|client| call(ready, client, sql, params)),
        };
        let outcome = outcome.map_err(|error| {
            let failed = self.statements_mut().note_failed(sql, ready, &error);
            Refusal { error, failed }
        });
        (outcome, along)
    }
}

/// Whether COMMIT goes along with a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commit {
    Apart,
    Along,
}

/// One of the driver's calls for a statement that is ready.
pub(super) type Call<T> = fn(&Ready, &mut Client, &str, &Params<'_>) -> Result<T, postgres::Error>;

/// Why a call failed, and what of it was done.
struct Refusal {
    error: postgres::Error,
    failed: Failed,
}

impl Refusal {
    /// Whether its statement prepared anew may help, of which nothing was executed.
    fn may_help(&self) -> bool {
        self.failed == Failed::Refused
    }
}

impl From<postgres::Error> for Refusal {
    fn from(error: postgres::Error) -> Self {
        Refusal { error, failed: Failed::ForGood }
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
        self.with_cached(sql, params, Ready::query)
    }

    /// Executes a statement of the connection's cache that returns one row; see [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::query_one`].
    pub fn query_one_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<Row, PgError> {
        self.with_cached(sql, params, Ready::query_one)
    }

    /// Executes a statement of the connection's cache that returns at most one row; see
    /// [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::query_opt`].
    pub fn query_opt_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<Option<Row>, PgError> {
        self.with_cached(sql, params, Ready::query_opt)
    }

    /// Executes a statement of the connection's cache and returns the number of rows affected; see
    /// [`PgConnection::prepare_cached`].
    ///
    /// # Errors
    ///
    /// Those of [`postgres::Client::execute`].
    pub fn execute_cached(&mut self, sql: &str, params: &Params<'_>) -> Result<u64, PgError> {
        self.with_cached(sql, params, Ready::execute)
    }

    fn with_cached<T>(&mut self, sql: &str, params: &Params<'_>, call: Call<T>) -> Result<T, PgError> {
        self.as_first(sql, params, call, Commit::Apart)
    }

    /// Runs a statement of the connection's cache as the session's last, and COMMIT along with it where that goes.
    pub(super) fn end_cached<T>(
        &mut self,
        sql: &str,
        params: &Params<'_>,
        call: Call<T>,
    ) -> Result<T, PgError> {
        self.as_first(sql, params, call, Commit::Along)
    }

    /// Makes a call with a statement of the cache, and once more where it is the session's first and is refused.
    fn as_first<T>(
        &mut self,
        sql: &str,
        params: &Params<'_>,
        call: Call<T>,
        commit: Commit,
    ) -> Result<T, PgError> {
        let underway = self.underway();
        let is_first = underway.is_ahead();
        let (conn, _) = underway.ready()?;
        let (mut outcome, mut along) = conn.once_cached(sql, params, call, commit);
        // Nothing of it was executed, and nothing else was done: as if it had been the first.
        if is_first && outcome.as_ref().is_err_and(Refusal::may_help) {
            underway.begin_anew()?;
            let (conn, _) = underway.ready()?;
            (outcome, along) = conn.once_cached(sql, params, call, commit);
        }
        underway.note_commit(outcome.map_err(|refusal| refusal.error), along)
    }
}
