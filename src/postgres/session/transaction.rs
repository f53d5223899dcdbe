//! The handle by which a session's closure works, and the session's options.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use postgres::types::{BorrowToSql, ToSql, Type};
use postgres::{
    Client, CopyInWriter, CopyOutReader, IsolationLevel, Row, RowIter, SimpleQueryMessage, Statement,
    ToStatement,
};

use super::retry::Retry;
use crate::postgres::connection::PgConnection;
use crate::postgres::error::{PgError, is_lost, is_worth_repeating};
use crate::postgres::observer::WireState;
use crate::postgres::sqlstate::{Meaning, means};

/// How one session differs from the pool's usual. Nothing of it outlives the session.
///
/// ```
/// use std::time::Duration;
/// use tierpool::postgres::{IsolationLevel, SessionOptions};
///
/// let options = SessionOptions::new()
///     .isolation(IsolationLevel::Serializable)
///     .read_only(true)
///     .statement_timeout(Duration::from_secs(2));
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    isolation: Option<IsolationLevel>,
    read_only: Option<bool>,
    deferrable: Option<bool>,
    pub(super) statement_timeout: Option<Duration>,
    lock_timeout: Option<Duration>,
    tag: Option<String>,
    pub(in crate::postgres) retry: Option<Retry>,
    pub(crate) idempotent: bool,
}

impl SessionOptions {
    /// Starts with what the server and the connection have set.
    pub fn new() -> Self {
        SessionOptions::default()
    }

    /// Sets the isolation level.
    pub fn isolation(mut self, level: IsolationLevel) -> Self {
        self.isolation = Some(level);
        self
    }

    /// Makes the transaction read-only, or read-write where the session's default is read-only.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = Some(read_only);
        self
    }

    /// Lets a serializable read-only transaction wait for a snapshot with which it cannot fail.
    pub fn deferrable(mut self, deferrable: bool) -> Self {
        self.deferrable = Some(deferrable);
        self
    }

    /// Limits each statement of the session; zero for no limit.
    pub fn statement_timeout(mut self, limit: Duration) -> Self {
        self.statement_timeout = Some(limit);
        self
    }

    /// Limits each wait for a lock; zero for no limit.
    pub fn lock_timeout(mut self, limit: Duration) -> Self {
        self.lock_timeout = Some(limit);
        self
    }

    /// Names what the session is for, in the list of holders.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Has [`PgPool::session_with`](crate::TieredPool::session_with) run the session again, on another connection,
    /// when it failed in a way that passes; [`Retry`] says in which and how often. Default: never.
    ///
    /// The closure runs once more from its beginning. What it did to the database before was undone; what it did
    /// elsewhere was not.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Says that doing the work twice comes to the same as doing it once. Only then is it tried again when the
    /// connection was lost after COMMIT was sent and nobody knows whether it took effect. Default: no.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    pub(crate) fn given_tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The message that begins the session, with the statement timeout to set where the session has none of its own.
    pub(super) fn begin(&self, usual_timeout: Option<Duration>) -> String {
        let mut text = String::from("BEGIN");
        if let Some(level) = self.isolation {
            text.push_str(match level {
                IsolationLevel::Serializable => " ISOLATION LEVEL SERIALIZABLE",
                IsolationLevel::RepeatableRead => " ISOLATION LEVEL REPEATABLE READ",
                IsolationLevel::ReadUncommitted => " ISOLATION LEVEL READ UNCOMMITTED",
                _ => " ISOLATION LEVEL READ COMMITTED",
            });
        }
        if let Some(read_only) = self.read_only {
            text.push_str(if read_only { " READ ONLY" } else { " READ WRITE" });
        }
        if let Some(deferrable) = self.deferrable {
            text.push_str(if deferrable { " DEFERRABLE" } else { " NOT DEFERRABLE" });
        }
        for (name, limit) in [
            ("statement_timeout", self.statement_timeout.or(usual_timeout)),
            ("lock_timeout", self.lock_timeout),
        ] {
            if let Some(limit) = limit {
                // Milliseconds in an `int`. Less than one must not become 0, which means no limit.
                let least = u128::from(!limit.is_zero());
                let ms = limit.as_millis().clamp(least, i32::MAX as u128);
                let _ = write!(text, "; SET LOCAL {name} = {ms}");
            }
        }
        text
    }
}

/// The connection inside a session: a client's calls, without those that would end the transaction by accident.
///
/// Its errors are [`PgError`]s, so that `?` works for every error type that a session may return.
pub struct Session<'a> {
    conn: &'a mut PgConnection,
    depth: u32,
    noted: &'a mut Noted,
}

/// What the calls of a session have seen of its errors. Those of the bare client are not among them.
pub(super) struct Noted {
    /// Where the connection is read along: for the error with which the server ended it.
    wire: Option<Arc<WireState>>,
    /// The SQLSTATE of the last error, if that was one that passes.
    pub(super) transient: Option<String>,
    /// The server ended the session, since the transaction overran a limit.
    pub(super) overran: bool,
    /// The work has sent an end of the transaction of its own: what it did may stay, whatever came after.
    pub(super) sent_end: bool,
}

/// Whether one of these statements is a COMMIT or its like. Blind to one behind a comment; an END within a text quoted
/// by dollars is that of a block.
fn ends_transaction(sql: &str) -> bool {
    let quoted = sql.contains('$');
    sql.split(';').any(|statement| {
        let mut words = statement.split_whitespace().map(str::to_ascii_uppercase);
        match (words.next().as_deref(), words.next().as_deref()) {
            (Some("COMMIT"), _) | (Some("PREPARE"), Some("TRANSACTION")) => true,
            (Some("END"), None | Some("WORK" | "TRANSACTION" | "AND")) => !quoted,
            _ => false,
        }
    })
}

impl Noted {
    pub(super) fn on(conn: &PgConnection) -> Self {
        Noted { wire: conn.observer_handle(), transient: None, overran: false, sent_end: false }
    }

    fn note(&mut self, error: postgres::Error) -> PgError {
        let code = error.code().map(|code| code.code());
        // It says no more than that there was an error before.
        if !code.is_some_and(|code| means(code, Meaning::FailedBefore)) {
            self.transient = code.filter(|_| is_worth_repeating(&error)).map(str::to_owned);
        }
        self.overran |= is_lost(&error) && code.is_some_and(|code| means(code, Meaning::Overran));
        let wire = self.wire.as_deref();
        let error = PgError::from(error).ended_by(wire.and_then(|wire| wire.errors().ending()));
        // After an end of its own the work may have been done, and what the pool has ended would be once more.
        let is_undone = !self.sent_end && !wire.is_some_and(WireState::is_ended_by_pool);
        if is_undone { error.before_commit() } else { error.for_good() }
    }
}

macro_rules! forward {
    ($(
        $(#[$doc:meta])*
        fn $name:ident $(<$($generic:ident: $bound:path),*>)? ($($arg:ident: $type:ty),*) -> $out:ty;
    )*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// Those of the call of the same name of [`postgres::Client`].
        pub fn $name $(<$($generic: ?Sized + $bound),*>)? (&mut self, $($arg: $type),*) -> Result<$out, PgError> {
            let Session { conn, noted, .. } = self;
            conn.$name($($arg),*).map_err(|error| noted.note(error))
        }
    )*};
}

impl<'a> Session<'a> {
    pub(super) fn new(conn: &'a mut PgConnection, noted: &'a mut Noted) -> Self {
        Session { conn, depth: 0, noted }
    }

    pub(super) fn on_connection<T>(
        &mut self,
        call: impl FnOnce(&mut PgConnection) -> Result<T, postgres::Error>,
    ) -> Result<T, PgError> {
        call(self.conn).map_err(|error| self.noted.note(error))
    }

    forward! {
        /// Executes a statement and returns the number of rows affected.
        fn execute<S: ToStatement>(query: &S, params: &[&(dyn ToSql + Sync)]) -> u64;
        /// Executes a statement with the types of its parameters given, without preparing it.
        fn execute_typed(query: &str, params: &[(&(dyn ToSql + Sync), Type)]) -> u64;
        /// Executes a statement and returns its rows.
        fn query<S: ToStatement>(query: &S, params: &[&(dyn ToSql + Sync)]) -> Vec<Row>;
        /// Executes a statement that returns one row.
        fn query_one<S: ToStatement>(query: &S, params: &[&(dyn ToSql + Sync)]) -> Row;
        /// Executes a statement that returns at most one row.
        fn query_opt<S: ToStatement>(query: &S, params: &[&(dyn ToSql + Sync)]) -> Option<Row>;
        /// Executes a statement with the types of its parameters given, without preparing it, and returns its rows.
        fn query_typed(query: &str, params: &[(&(dyn ToSql + Sync), Type)]) -> Vec<Row>;
        /// Prepares a statement; it outlives the session.
        fn prepare(query: &str) -> Statement;
        /// Prepares a statement with the types of its parameters given.
        fn prepare_typed(query: &str, types: &[Type]) -> Statement;
        /// Starts a `COPY FROM STDIN`.
        fn copy_in<S: ToStatement>(query: &S) -> CopyInWriter<'_>;
        /// Starts a `COPY TO STDOUT`.
        fn copy_out<S: ToStatement>(query: &S) -> CopyOutReader<'_>;
    }

    /// Executes statements by the simple protocol and returns their rows as text.
    ///
    /// # Errors
    ///
    /// Those of the call of the same name of [`postgres::Client`].
    pub fn simple_query(&mut self, query: &str) -> Result<Vec<SimpleQueryMessage>, PgError> {
        self.noted.sent_end |= ends_transaction(query);
        self.on_connection(|conn| conn.simple_query(query))
    }

    /// Executes statements by the simple protocol.
    ///
    /// # Errors
    ///
    /// Those of the call of the same name of [`postgres::Client`].
    pub fn batch_execute(&mut self, query: &str) -> Result<(), PgError> {
        self.noted.sent_end |= ends_transaction(query);
        self.on_connection(|conn| conn.batch_execute(query))
    }

    /// Executes a statement and returns its rows one by one, as they come.
    ///
    /// # Errors
    ///
    /// Those of the call of the same name of [`postgres::Client`].
    pub fn query_raw<S, P, I>(&mut self, query: &S, params: I) -> Result<RowIter<'_>, PgError>
    where
        S: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        let Session { conn, noted, .. } = self;
        conn.query_raw(query, params).map_err(|error| noted.note(error))
    }

    /// Runs `work` within a savepoint: what it did is undone when it returns `Err`, and the session goes on.
    ///
    /// # Errors
    ///
    /// Those of `work`, and those of the statements that set and release the savepoint.
    pub fn savepoint<T, E: From<PgError>>(
        &mut self,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let depth = self.depth + 1;
        self.batch_execute(&format!("SAVEPOINT tierpool_{depth}"))?;
        match work(&mut Session { conn: self.conn, depth, noted: self.noted }) {
            Ok(value) => {
                self.batch_execute(&format!("RELEASE SAVEPOINT tierpool_{depth}"))?;
                Ok(value)
            }
            Err(error) => {
                let name = format!("tierpool_{depth}");
                // On a connection that is lost this fails at once, and the first error is the one that matters.
                let _ = self
                    .conn
                    .batch_execute(&format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}"));
                Err(error)
            }
        }
    }

    /// The client itself, for functions that take a `postgres::GenericClient`. Its `transaction` must not be called:
    /// there is one already; use [`Session::savepoint`].
    pub fn client(&mut self) -> &mut Client {
        self.conn
    }
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("conn", &self.conn).field("depth", &self.depth).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_modes_go_in_one_message() {
        assert_eq!(SessionOptions::new().begin(None), "BEGIN");
        let usual = Some(Duration::from_secs(30));
        assert_eq!(SessionOptions::new().begin(usual), "BEGIN; SET LOCAL statement_timeout = 30000");
        let options = SessionOptions::new()
            .isolation(IsolationLevel::Serializable)
            .read_only(true)
            .deferrable(true)
            .statement_timeout(Duration::from_micros(1))
            .lock_timeout(Duration::ZERO);
        assert_eq!(
            options.begin(usual),
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE; \
             SET LOCAL statement_timeout = 1; SET LOCAL lock_timeout = 0"
        );
    }

    #[test]
    fn an_end_of_the_transaction_is_recognised() {
        for sql in
            ["COMMIT", "commit and chain", "INSERT INTO t VALUES (1);\n Commit;", "end work", "END; BEGIN"]
        {
            assert!(ends_transaction(sql), "{sql}");
        }
        assert!(ends_transaction("PREPARE TRANSACTION 'x'"));
        for sql in
            ["", "SELECT CASE WHEN true THEN 1 END", "DO $$ BEGIN PERFORM 1; END $$", "PREPARE s AS SELECT 1"]
        {
            assert!(!ends_transaction(sql), "{sql}");
        }
        assert!(!ends_transaction("DO $$ BEGIN PERFORM 1; END; $$; UPDATE commits SET n = 1"));
    }
}
