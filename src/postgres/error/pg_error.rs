//! What can go wrong with a PostgreSQL connection.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use super::evidence::{find_io, is_lost, is_statement_timeout, is_tls_mismatch, is_worth_repeating};
use super::opening::{OpeningError, ServersTried};
use crate::config::Faults;
use crate::postgres::sqlstate::{Meaning, means};
use crate::postgres::tls::Advised;

/// An error of a PostgreSQL connection, with predicates for the decisions that a program takes on it.
///
/// [`std::error::Error::source`] gives the `postgres::Error` where there is one; where several servers were tried, a
/// line that names each with its cause; where the server refused for want of encryption or of a client certificate,
/// its message with what to change. The kind is private, so that kinds can be added; ask the predicates.
///
/// ```
/// use tierpool::postgres::PgError;
///
/// fn what_next(error: &PgError) -> &'static str {
///     if error.is_outcome_unknown() {
///         "find out whether it was committed"
///     } else if error.is_retryable() {
///         "try again"
///     } else {
///         "give up"
///     }
/// }
/// ```
#[derive(Debug)]
pub struct PgError(Box<Kind>);

#[derive(Debug)]
#[non_exhaustive]
enum Kind {
    Settings(Faults),
    Open(postgres::Error),
    /// No connection could be opened, and there is more to say than the driver does.
    Opening(OpeningError<PgError>),
    OpenAdvised(Advised),
    Query(postgres::Error),
    /// The fate of a COMMIT is not known.
    CommitLost(postgres::Error),
    /// The connection went before COMMIT was sent.
    LostBeforeCommit(Option<postgres::Error>),
    CommitAborted,
    InTransaction,
    LeftInTransaction,
    Lost,
    /// No connection could be had from the pool.
    Checkout(crate::Error),
    /// The server did not answer a question of the pool's own within this time.
    Unanswered(Duration),
    /// Not done, for the reason given.
    Refused(String),
    /// The server does not let this role do it.
    NotAllowed(String, postgres::Error),
}

impl PgError {
    pub(in crate::postgres) fn settings(faults: Faults) -> Self {
        PgError(Box::new(Kind::Settings(faults)))
    }

    pub(in crate::postgres) fn open(error: postgres::Error) -> Self {
        PgError(Box::new(Advised::new(error).map_or_else(Kind::Open, Kind::OpenAdvised)))
    }

    pub(in crate::postgres) fn opening(error: OpeningError<PgError>) -> Self {
        PgError(Box::new(Kind::Opening(error)))
    }

    /// The error of a round over servers, tried in this order and at least one: that of the only one, or of all.
    ///
    /// Of several that one decides on the next attempt which tells of a refused password, since accounts get locked;
    /// else of a server without a free connection, since one may be given back; else the last.
    pub(in crate::postgres) fn of_servers(mut tried: Vec<(String, PgError)>) -> Self {
        if tried.len() == 1 {
            return tried.swap_remove(0).1;
        }
        let first = |is: fn(&PgError) -> bool| tried.iter().position(|(_, error)| is(error));
        let telling = first(PgError::is_refusal).or_else(|| first(PgError::is_exhausted));
        let last =
            || tried.len().checked_sub(1).unwrap_or_else(|| unreachable!("BUG: a manager without a host"));
        let telling = telling.unwrap_or_else(last);
        PgError::opening(OpeningError::NoServer(ServersTried::new(tried, telling)))
    }

    pub(in crate::postgres) fn commit_lost(error: postgres::Error) -> Self {
        PgError(Box::new(Kind::CommitLost(error)))
    }

    pub(in crate::postgres) fn lost_before_commit(error: PgError) -> Self {
        let cause = match *error.0 {
            Kind::Query(cause) => Some(cause),
            _ => None,
        };
        PgError(Box::new(Kind::LostBeforeCommit(cause)))
    }

    pub(in crate::postgres) fn commit_aborted() -> Self {
        PgError(Box::new(Kind::CommitAborted))
    }

    pub(in crate::postgres) fn in_transaction() -> Self {
        PgError(Box::new(Kind::InTransaction))
    }

    pub(in crate::postgres) fn left_in_transaction() -> Self {
        PgError(Box::new(Kind::LeftInTransaction))
    }

    pub(in crate::postgres) fn lost() -> Self {
        PgError(Box::new(Kind::Lost))
    }

    pub(in crate::postgres) fn unanswered(limit: Duration) -> Self {
        PgError(Box::new(Kind::Unanswered(limit)))
    }

    pub(in crate::postgres) fn refused(why: impl Into<String>) -> Self {
        PgError(Box::new(Kind::Refused(why.into())))
    }

    /// Says what was not allowed, where that is why the statement failed.
    pub(in crate::postgres) fn or_not_allowed(self, what: impl FnOnce() -> String) -> Self {
        match *self.0 {
            Kind::Query(error)
                if error.code().is_some_and(|code| means(code.code(), Meaning::NotAllowed)) =>
            {
                PgError(Box::new(Kind::NotAllowed(what(), error)))
            }
            kind => PgError(Box::new(kind)),
        }
    }

    pub(super) fn postgres(&self) -> Option<&postgres::Error> {
        match &*self.0 {
            Kind::Opening(error) => error.telling()?.postgres(),
            Kind::Open(error) | Kind::Query(error) | Kind::CommitLost(error) | Kind::NotAllowed(_, error) => {
                Some(error)
            }
            Kind::OpenAdvised(advised) => Some(advised.cause()),
            Kind::LostBeforeCommit(error) => error.as_ref(),
            _ => None,
        }
    }

    /// The SQLSTATE that the server gave, if it gave one.
    pub fn sqlstate(&self) -> Option<&str> {
        match &*self.0 {
            Kind::Opening(error) => error.code().or_else(|| error.telling()?.sqlstate()),
            _ => self.postgres()?.code().map(|code| code.code()),
        }
    }

    fn means(&self, meaning: Meaning) -> bool {
        self.sqlstate().is_some_and(|code| means(code, meaning))
    }

    /// Whether `statement_timeout` ended the statement (57014). The connection is good.
    ///
    /// A statement cancelled by a user has the same SQLSTATE and is told apart by the English message; on a server
    /// that speaks another language both count as timeouts.
    pub fn is_statement_timeout(&self) -> bool {
        self.postgres().is_some_and(is_statement_timeout)
    }

    /// Whether a lock was not to be had within `lock_timeout`, or at all with `NOWAIT` (55P03). The connection is
    /// good.
    pub fn is_lock_timeout(&self) -> bool {
        self.means(Meaning::LockUnavailable)
    }

    /// Whether the connection is gone: closed, reset, abandoned, silent beyond a limit, or ended by the server.
    ///
    /// The server ends it by an error of severity FATAL or PANIC. An ERROR leaves it good whatever its SQLSTATE: class
    /// 08 is then another server's trouble, as `postgres_fdw` passes it on.
    pub fn is_connection_lost(&self) -> bool {
        match (&*self.0, self.postgres()) {
            (Kind::Open(_) | Kind::OpenAdvised(_) | Kind::Opening(_), _) => false,
            (Kind::Lost | Kind::CommitLost(_) | Kind::LostBeforeCommit(_), _) => true,
            (_, Some(error)) => is_lost(error),
            _ => false,
        }
    }

    /// Whether the same work may succeed when it is done again, and cannot have been done yet: a serialization
    /// failure (40001), a deadlock (40P01), a server that ends or refuses the session (57P01, 57P02, 57P03), a
    /// connection lost before COMMIT was sent, or a prepared statement that a change of the schema made unusable
    /// (0A000, "cached plan must not change result type").
    ///
    /// Never true for an error after which the outcome is unknown. A statement outside of a transaction commits by
    /// itself: there a lost connection does not tell whether it did, and so is not retryable either.
    pub fn is_retryable(&self) -> bool {
        match &*self.0 {
            Kind::CommitLost(_) => false,
            Kind::LostBeforeCommit(_) => true,
            _ => self.postgres().is_some_and(is_worth_repeating),
        }
    }

    /// Whether a write was refused because the server or the transaction is read-only (25006).
    pub fn is_read_only(&self) -> bool {
        self.means(Meaning::ReadOnly)
    }

    /// Whether COMMIT was sent and the connection lost before the answer: the work may have been done or not.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(*self.0, Kind::CommitLost(_))
    }

    pub(in crate::postgres) fn is_commit_aborted(&self) -> bool {
        matches!(*self.0, Kind::CommitAborted)
    }

    /// Whether a limit on the client's side expired: `connect_timeout`, `socket_timeout`, or the limit of a
    /// validation or of a question of the pool's own.
    pub fn is_client_timeout(&self) -> bool {
        matches!(*self.0, Kind::Unanswered(_))
            || self.io_error().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }

    /// Whether the server refused user or password.
    pub(in crate::postgres) fn is_refusal(&self) -> bool {
        self.means(Meaning::Refused)
    }

    /// Whether nothing but a change of the settings helps: they name no usable server, account or protocol.
    pub(in crate::postgres) fn is_permanent(&self) -> bool {
        match (&*self.0, self.sqlstate()) {
            (Kind::Settings(_), _) => true,
            (Kind::Opening(OpeningError::NoServer(tried)), _) => {
                tried.telling().is_refusal() || tried.errors().all(PgError::is_permanent)
            }
            // A callback may give something else next time, and another server may come up.
            (Kind::Opening(_), _) => false,
            (_, Some(_)) => self.means(Meaning::Permanent) || self.is_startup_option_refused(),
            (Kind::Open(error), None) => self.io_error().is_none_or(is_tls_mismatch) && !error.is_closed(),
            _ => false,
        }
    }

    /// Whether a pooler does not take a start-up option. PgBouncer has no SQLSTATE of its own for it, and its
    /// messages are not translated.
    pub(in crate::postgres) fn is_startup_option_refused(&self) -> bool {
        self.means(Meaning::ProtocolViolation) && self.says("unsupported startup parameter")
    }

    /// Whether the server, or a pooler in front of it, takes no further connection for now.
    pub(in crate::postgres) fn is_exhausted(&self) -> bool {
        // PgBouncer before 1.24 has no SQLSTATE of its own for its `max_client_conn`.
        self.means(Meaning::Exhausted)
            || self.means(Meaning::ProtocolViolation) && self.says("no more connections allowed")
    }

    fn says(&self, text: &str) -> bool {
        let error = self.postgres().and_then(postgres::Error::as_db_error);
        error.is_some_and(|error| error.message().contains(text))
    }

    /// Whether an open failed for something that may be different without encryption, or with it: TLS itself, or who
    /// is let in how (28000). Not the password, which would count twice.
    pub(in crate::postgres) fn is_of_encryption(&self) -> bool {
        let is_open = matches!(*self.0, Kind::Open(_) | Kind::OpenAdvised(_));
        is_open && (self.sqlstate().is_none() || self.means(Meaning::NotAdmitted)) && self.is_permanent()
    }

    /// The pool's error, where no connection could be had from it.
    pub fn as_checkout(&self) -> Option<&crate::Error> {
        match &*self.0 {
            Kind::Checkout(error) => Some(error),
            _ => None,
        }
    }

    /// The error and its causes in one line, for a report that has room for no more.
    pub(crate) fn in_one_line(&self) -> String {
        // The pool's line names its cause itself.
        if let Some(checkout) = self.as_checkout() {
            return format!("{self}: {checkout}");
        }
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    fn io_error(&self) -> Option<&io::Error> {
        find_io(self.postgres()?)
    }
}

impl From<crate::Error> for PgError {
    fn from(error: crate::Error) -> Self {
        PgError(Box::new(Kind::Checkout(error)))
    }
}

impl From<postgres::Error> for PgError {
    fn from(error: postgres::Error) -> Self {
        PgError(Box::new(Kind::Query(error)))
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Settings(faults) => return write!(f, "the PostgreSQL settings cannot be used: {faults}"),
            Kind::Opening(error) => write!(f, "{error}")?,
            Kind::Open(_) | Kind::OpenAdvised(_) => {
                f.write_str("could not open a connection to the server")?
            }
            Kind::Query(_) if self.is_connection_lost() => f.write_str("the connection was lost")?,
            Kind::Query(_) if self.is_statement_timeout() => f.write_str("the statement took too long")?,
            Kind::Query(_) => f.write_str("the statement failed")?,
            Kind::CommitLost(_) => {
                f.write_str("outcome unknown: the connection was lost after COMMIT was sent")?;
            }
            Kind::LostBeforeCommit(_) => f.write_str("the connection was lost before COMMIT was sent")?,
            Kind::CommitAborted => {
                return f.write_str(
                    "nothing was committed: a statement of the transaction had failed and its error was ignored",
                );
            }
            Kind::InTransaction => return f.write_str("the connection is in a transaction already"),
            Kind::LeftInTransaction => {
                return f.write_str(
                    "the connection was returned inside a transaction, and its reset is switched off",
                );
            }
            Kind::Lost => return f.write_str("the connection was closed by the server"),
            Kind::Checkout(_) => return f.write_str("no connection could be had from the pool"),
            Kind::Unanswered(limit) => {
                return write!(f, "no answer from the server within {limit:?} (inquiry_timeout)");
            }
            Kind::Refused(why) => return f.write_str(why),
            Kind::NotAllowed(what, _) => f.write_str(what)?,
        }
        match self.sqlstate() {
            Some(code) => write!(f, " (SQLSTATE {code})"),
            None => Ok(()),
        }
    }
}

impl StdError for PgError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.0 {
            Kind::Checkout(error) => Some(error),
            Kind::Opening(error) => error.source(),
            Kind::OpenAdvised(advised) => Some(advised),
            _ => self.postgres().map(|error| error as _),
        }
    }
}
