//! What a session's work returns to say how the session ends.
//!
//! COMMIT can share a round trip with the statement ahead of it only where nothing comes after. So a statement for that
//! is not sent by the work: the work returns it, and by then the [`Session`] it was lent is gone.

use std::borrow::Cow;
use std::fmt;

use postgres::Row;
use postgres::types::ToSql;

use super::kinds::{ends_transaction, is_client_copy};
use super::transaction::Session;
use crate::postgres::connection::Ready;
use crate::postgres::error::PgError;
use crate::postgres::sqlstate::{Meaning, means};

/// How a session ends, as the work given to
/// [`session_ending`](crate::TieredPool::session_ending) returns it in its `Ok`.
///
/// # Examples
///
/// ```no_run
/// # let pool = tierpool::PgPool::from_env()?;
/// use tierpool::PgError;
/// use tierpool::postgres::{Ending, Last};
///
/// let added = pool.session_ending(|tx| {
///     if tx.query_opt_cached("SELECT FROM pages WHERE url = $1", &[&"a"])?.is_some() {
///         return Ok::<_, PgError>(Ending::Commit(0));
///     }
///     Ok(Ending::Last(Last::execute("INSERT INTO pages VALUES ($1)").with("a")))
/// })?;
/// # let _ = added;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Ending<'a, T> {
    /// By COMMIT; the session returns this value.
    Commit(T),
    /// By this statement, and COMMIT with it; the session returns what [`Last`] makes of the statement's answer.
    Last(Last<'a, T>),
}

/// The last statement of a session.
///
/// It is one of the connection's cache, as those of [`Session::execute_cached`] are. Its parameters are kept here until
/// it is sent, when the work has returned: each is owned, or borrowed from what outlives the work. A value of the
/// work's own goes in by value.
///
/// What is made of its answer cannot send anything either: the session does not live that long.
///
/// ```compile_fail,E0521
/// # let pool = tierpool::PgPool::from_env()?;
/// # use tierpool::PgError;
/// use tierpool::postgres::{Ending, Last};
///
/// pool.session_ending(|tx| {
///     let last = Last::execute("INSERT INTO pages VALUES ('a')");
///     Ok::<_, PgError>(Ending::Last(last.map(move |_| tx.execute("INSERT INTO pages VALUES ('b')", &[]))))
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Whatever is to decide whether the transaction is kept has to fail in the statement itself, since it is committed
/// before its answer can be looked at. So there is no call here that expects one row, and what [`map`](Self::map) is
/// given cannot fail.
///
/// A `COPY` from or to the client is none: where one is given it is not sent, and the session fails and is rolled
/// back. Use [`Session::copy_in`] or [`Session::copy_out`], and [`Ending::Commit`]. One whose text leaves a doubt, by a
/// dollar sign or by a backslash within quotes, is sent, and its outcome is told as unknown. Nor is one that ends the
/// transaction itself, such as `ROLLBACK`: return an error for that, or [`Ending::Commit`].
pub struct Last<'a, T> {
    sql: Cow<'a, str>,
    params: Vec<Box<dyn ToSql + Sync + 'a>>,
    answer: Answer<'a, T>,
}

type Made<'a, A, T> = Box<dyn FnOnce(A) -> T + 'a>;

enum Answer<'a, T> {
    Count(Made<'a, u64, T>),
    Rows(Made<'a, Vec<Row>, T>),
}

impl<'a> Last<'a, u64> {
    /// A statement of which the number of rows affected is wanted.
    pub fn execute(sql: impl Into<Cow<'a, str>>) -> Self {
        Last { sql: sql.into(), params: Vec::new(), answer: Answer::Count(Box::new(|count| count)) }
    }
}

impl<'a> Last<'a, Vec<Row>> {
    /// A statement of which the rows are wanted.
    pub fn query(sql: impl Into<Cow<'a, str>>) -> Self {
        Last { sql: sql.into(), params: Vec::new(), answer: Answer::Rows(Box::new(|rows| rows)) }
    }
}

impl<'a, T> Last<'a, T> {
    /// Adds the next parameter: the first is `$1`.
    pub fn with(mut self, param: impl ToSql + Sync + 'a) -> Self {
        self.params.push(Box::new(param));
        self
    }

    /// Has the session return what `made` makes of the answer, so also what the work has learnt before.
    ///
    /// It is called once the transaction is committed, and not where the session fails. When it panics, that changes
    /// nothing of the transaction.
    ///
    /// ```
    /// use tierpool::postgres::{Ending, Last};
    ///
    /// let id = 7_i64; // from a statement before
    /// let last = Last::execute("INSERT INTO visits VALUES ($1)").with(id).map(move |count| (id, count));
    /// # let _: Ending<'_, (i64, u64)> = Ending::Last(last);
    /// ```
    pub fn map<U>(self, made: impl FnOnce(T) -> U + 'a) -> Last<'a, U>
    where
        T: 'a,
    {
        let answer = match self.answer {
            Answer::Count(before) => Answer::Count(Box::new(|count| made(before(count)))),
            Answer::Rows(before) => Answer::Rows(Box::new(|rows| made(before(rows)))),
        };
        Last { sql: self.sql, params: self.params, answer }
    }

    /// Sends it now, in a session that goes on: for a statement that elsewhere is a last one.
    ///
    /// # Errors
    ///
    /// Those of the statement. One that cannot be the last of a session is not sent here either.
    ///
    /// # Panics
    ///
    /// When what [`map`](Self::map) was given does.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// use tierpool::PgError;
    /// use tierpool::postgres::Last;
    ///
    /// pool.session(|tx| {
    ///     let added = Last::execute("INSERT INTO pages VALUES ($1)").with("a").send(tx)?;
    ///     tx.execute("UPDATE totals SET pages = pages + $1::bigint", &[&(added as i64)]).map(drop)
    /// })?;
    /// # Ok::<(), PgError>(())
    /// ```
    pub fn send(self, session: &mut Session<'_>) -> Result<T, PgError>
    where
        T: 'a,
    {
        self.run(session).map(Committed::value)
    }

    /// Whether it can be the last: its answer is a count or rows, with COMMIT's behind it.
    fn check(&self) -> Result<(), PgError> {
        let why = if is_client_copy(&self.sql) {
            "a COPY from or to the client cannot be the last statement of a session and was not sent: use copy_in or \
             copy_out, and Ending::Commit"
        } else if ends_transaction(&self.sql) {
            "what ends the transaction cannot be the last statement of a session and was not sent: return an error to \
             have it rolled back, or Ending::Commit"
        } else {
            return Ok(());
        };
        Err(PgError::refused(why))
    }

    /// Runs it in a session that goes on.
    fn run(self, session: &mut Session<'_>) -> Result<Committed<'a, T>, PgError>
    where
        T: 'a,
    {
        self.check()?;
        let params: Vec<_> = self.params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
        match self.answer {
            Answer::Count(made) => {
                let count = session.execute_cached(&self.sql, &params)?;
                Ok(Committed::made(move || made(count)))
            }
            Answer::Rows(made) => {
                let rows = session.query_cached(&self.sql, &params)?;
                Ok(Committed::made(move || made(rows)))
            }
        }
    }

    /// Runs it as the end of a session, and COMMIT along with it where that is possible.
    fn end(self, session: &mut Session<'_>) -> Result<Committed<'a, T>, PgError>
    where
        T: 'a,
    {
        self.check()?;
        let params: Vec<_> = self.params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
        let outcome = match self.answer {
            Answer::Count(made) => session
                .end_cached(&self.sql, &params, Ready::execute)
                .map(|count| Committed::made(move || made(count))),
            Answer::Rows(made) => session
                .end_cached(&self.sql, &params, Ready::query)
                .map(|rows| Committed::made(move || made(rows))),
        };
        outcome.map_err(|error| match error.sqlstate() {
            // It says less than that the work has kept an error to itself.
            Some(code) if means(code, Meaning::FailedBefore) => session.underway().ignored(),
            _ => error,
        })
    }
}

impl<'a, T: 'a> Ending<'a, T> {
    /// Sends what is to be sent ahead of COMMIT, in a session that goes on: others will come after.
    pub(crate) fn run(self, session: &mut Session<'_>) -> Result<Committed<'a, T>, PgError> {
        match self {
            Ending::Commit(value) => Ok(Committed::Value(value)),
            Ending::Last(last) => last.run(session),
        }
    }

    /// Sends what is to be sent ahead of COMMIT, as the end of a session.
    pub(super) fn end(self, session: &mut Session<'_>) -> Result<Committed<'a, T>, PgError> {
        match self {
            Ending::Commit(value) => Ok(Committed::Value(value)),
            Ending::Last(last) => last.end(session),
        }
    }

    /// As [`Last::map`]; without a statement `made` is called now.
    pub(crate) fn map<U>(self, made: impl FnOnce(T) -> U + 'a) -> Ending<'a, U> {
        match self {
            Ending::Commit(value) => Ending::Commit(made(value)),
            Ending::Last(last) => Ending::Last(last.map(made)),
        }
    }
}

impl<'a, T> From<Last<'a, T>> for Ending<'a, T> {
    fn from(last: Last<'a, T>) -> Self {
        Ending::Last(last)
    }
}

/// The text, and how many parameters: their values are the caller's.
impl<T> fmt::Debug for Last<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Last")
            .field("sql", &self.sql)
            .field("params", &self.params.len())
            .finish_non_exhaustive()
    }
}

/// What a session returns, to be taken once it is over: what makes it of an answer is the caller's own code, whose
/// panic may not be taken for the work's.
pub(crate) enum Committed<'a, T> {
    Value(T),
    Made(Box<dyn FnOnce() -> T + 'a>),
}

impl<'a, T> Committed<'a, T> {
    fn made(made: impl FnOnce() -> T + 'a) -> Self {
        Committed::Made(Box::new(made))
    }

    pub(crate) fn value(self) -> T {
        match self {
            Committed::Value(value) => value,
            Committed::Made(made) => made(),
        }
    }
}
