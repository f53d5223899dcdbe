//! The handle by which a session's closure works.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use postgres::types::{BorrowToSql, ToSql, Type};
use postgres::{
    Client, CopyInWriter, CopyOutReader, Row, RowIter, SimpleQueryMessage, Statement, ToStatement,
};

use super::bounds::stands_at;
use super::underway::Underway;
use crate::postgres::connection::{PgConnection, TransactionStatus};
use crate::postgres::error::PgError;

/// The connection inside a session: a client's calls, without those that would end the transaction by accident.
///
/// Its errors are [`PgError`]s, so that `?` works for every error type that a session may return.
///
/// Its first statement takes the connection and sends BEGIN; see [`session`](crate::TieredPool::session).
pub struct Session<'a> {
    underway: Underway<'a>,
    depth: u32,
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
            let (conn, noted) = self.underway.ready()?;
            conn.$name($($arg),*).map_err(|error| noted.note(error))
        }
    )*};
}

impl<'a> Session<'a> {
    pub(super) fn new(underway: Underway<'a>) -> Self {
        Session { underway, depth: 0 }
    }

    pub(super) fn underway(&mut self) -> &mut Underway<'a> {
        &mut self.underway
    }

    /// Runs statements by the simple protocol.
    fn run<T>(
        &mut self,
        query: &str,
        call: impl FnOnce(&mut PgConnection) -> Result<T, postgres::Error>,
    ) -> Result<T, PgError> {
        let (conn, noted) = self.underway.ready_apart()?;
        noted.sends(query);
        call(conn).map_err(|error| noted.note(error))
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
        self.run(query, |conn| conn.simple_query(query))
    }

    /// Executes statements by the simple protocol.
    ///
    /// # Errors
    ///
    /// Those of the call of the same name of [`postgres::Client`].
    pub fn batch_execute(&mut self, query: &str) -> Result<(), PgError> {
        self.run(query, |conn| conn.batch_execute(query))
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
        let (conn, noted) = self.underway.ready()?;
        conn.query_raw(query, params).map_err(|error| noted.note(error))
    }

    /// Runs `work` within a savepoint: what it did is undone when it returns `Err`, and the session goes on.
    ///
    /// # Errors
    ///
    /// Those of `work`, and those of the statements that set and release the savepoint.
    ///
    /// # Panics
    ///
    /// Where `work` does. A panic sends nothing and undoes nothing by itself, so whoever catches it within the session
    /// cannot go on: each further statement fails and so does the session, which is rolled back as a whole and not
    /// repeated.
    pub fn savepoint<T, E: From<PgError>>(
        &mut self,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let depth = self.depth + 1;
        self.batch_execute(&format!("SAVEPOINT tierpool_{depth}"))?;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            work(&mut Session { underway: self.underway.reborrow(), depth })
        }));
        let outcome = outcome.unwrap_or_else(|panic| {
            // A ROLLBACK TO from here would have the panic wait for the server.
            self.underway.note_panic();
            resume_unwind(panic)
        });
        match outcome {
            Ok(value) => {
                self.batch_execute(&format!("RELEASE SAVEPOINT tierpool_{depth}"))?;
                Ok(value)
            }
            Err(error) => {
                let name = format!("tierpool_{depth}");
                let undo = format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}");
                // On a connection that is lost this fails at once, and the first error is the one that matters: so it
                // is not noted.
                if let Ok((conn, _)) = self.underway.ready()
                    && conn.batch_execute(&undo).is_ok()
                    && !stands_at(conn, TransactionStatus::InTransaction)
                {
                    conn.abandon();
                }
                Err(error)
            }
        }
    }

    /// The client itself, for functions that take a `postgres::GenericClient`. Its `transaction` must not be called:
    /// there is one already; use [`Session::savepoint`]. It is in the transaction: where nothing was sent before, this
    /// takes the connection and sends BEGIN.
    ///
    /// # Errors
    ///
    /// When no connection could be had ([`PgError::as_checkout`]), or BEGIN failed.
    pub fn client(&mut self) -> Result<&mut Client, PgError> {
        let (conn, _) = self.underway.ready_apart()?;
        Ok(conn)
    }
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("conn", &self.underway.lent()).field("depth", &self.depth).finish()
    }
}
