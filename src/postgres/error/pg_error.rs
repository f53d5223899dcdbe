//! What can go wrong with a PostgreSQL connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use postgres::Config;

use super::evidence::{
    besides, find_io, is_lost, is_of_another_protocol, is_of_settings, is_of_statement_mode,
    is_statement_timeout, is_tls_mismatch, is_worth_repeating,
};
use super::hidden::{Hidden, without};
use super::opening::{Credential, OpeningError, Refused};
use crate::config::Faults;
use crate::postgres::sqlstate::{Meaning, means};
use crate::postgres::tls::Advised;
use crate::text::Cause;

/// An error of a PostgreSQL connection, with predicates for the decisions that a program takes on it.
///
/// `{}` is one line: the server's message with its SQLSTATE and, where a constraint is violated, the names of table,
/// column and constraint; or the pool's own line, where no connection could be had. `{:#}` is the report on several
/// lines, with the server's detail and hint, the causes, and the holders of the pool's connections; and so is `Debug`,
/// which `unwrap`, `expect` and a `main` that fails print. Whatever others have written in it, the server among them,
/// has its control characters, line breaks and bidirectional marks escaped, and is cut after 1 KiB.
///
/// [`std::error::Error::source`] gives what the line has not said, as text that is harmless too: the server's detail,
/// hint and context; or the causes of what a callback or an I/O error tells; where several servers were tried, a line
/// that names each with its cause. The driver's error itself is [`PgError::as_postgres`]. The kind is
/// private, so that kinds can be added; ask the predicates.
///
/// It comes of a [`postgres::Error`], of the pool's [`Error`](crate::Error), and of an [`io::Error`], so that `?` works
/// for all that is called in a session:
///
/// ```no_run
/// use std::io::Write;
/// use tierpool::{PgError, PgPool};
///
/// # fn load(pool: &PgPool) -> Result<u64, PgError> {
/// pool.session(|tx| {
///     let mut rows = tx.copy_in("COPY pages FROM STDIN")?;
///     rows.write_all(b"https://site.example\n")?;
///     Ok(rows.finish()?)
/// })
/// # }
/// ```
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
pub struct PgError(pub(super) Box<Told>);

pub(super) struct Told {
    pub(super) kind: Kind,
    /// The SQLSTATE with which the server ended the session, where the error itself does not tell it.
    pub(super) ended: Option<String>,
    /// Whether what the transaction did is undone and worth doing again, where a session knows that and the error does
    /// not tell: its connection went before COMMIT was sent, or after an end of the work's own.
    pub(super) undone: Option<bool>,
    /// The server that was to be connected to, where it was the only one.
    pub(super) server: Option<String>,
    /// See [`PgError::causes`].
    pub(super) causes: Option<Cause>,
    /// What no text shows.
    pub(super) hidden: Option<Hidden>,
}

pub(super) enum Kind {
    Settings(Faults),
    Open(postgres::Error),
    /// No connection could be opened, and there is more to say than the driver does.
    Opening(OpeningError<PgError>),
    OpenAdvised(Advised),
    Query(postgres::Error),
    /// The fate of a COMMIT is not known.
    CommitLost(Option<postgres::Error>),
    /// The connection went before COMMIT was sent, and COMMIT found out.
    LostBeforeCommit(Option<postgres::Error>),
    CommitAborted,
    InTransaction,
    /// BEGIN failed, or what goes along with it: told by each statement of the session.
    NotBegun(Arc<PgError>),
    LeftInTransaction,
    /// The work of a savepoint panicked, and the session's caught it.
    SavepointPanicked,
    /// The server did not say that the session is idle when it has to be.
    NotIdle(&'static str),
    Lost,
    /// No connection could be had from the pool.
    Checkout(crate::Error),
    /// The server did not answer a question of the pool's own within this time.
    Unanswered(Duration),
    /// Not done, for the reason given.
    Refused(String),
    /// The server does not let this role do it.
    NotAllowed(String, postgres::Error),
    /// What the work read or wrote besides.
    Io(io::Error),
}

impl Kind {
    /// The driver's error, where there is one.
    fn postgres(&self) -> Option<&postgres::Error> {
        match self {
            Kind::Opening(error) => error.telling()?.postgres(),
            Kind::Open(error) | Kind::Query(error) | Kind::NotAllowed(_, error) => Some(error),
            Kind::OpenAdvised(advised) => Some(advised.cause()),
            Kind::NotBegun(error) => error.postgres(),
            Kind::CommitLost(error) | Kind::LostBeforeCommit(error) => error.as_ref(),
            _ => None,
        }
    }

    /// The causes that the line does not tell. As text: the driver's own chain has the server's as they came.
    fn causes(&self, hidden: Option<&Hidden>) -> Option<Cause> {
        match self {
            Kind::Io(error) => Cause::of(error).into_source(),
            Kind::Opening(error) => Cause::of(error).into_source(),
            _ => {
                let error = self.postgres()?.as_db_error()?;
                let more: Vec<_> =
                    besides(error).map(|(what, text)| format!("{what}: {}", without(hidden, text))).collect();
                (!more.is_empty()).then(|| Cause::from_text(&more.join("; ")))
            }
        }
    }
}

impl PgError {
    pub(super) fn of(kind: Kind) -> Self {
        PgError::of_hiding(kind, None)
    }

    fn of_hiding(kind: Kind, hidden: Option<Hidden>) -> Self {
        let causes = kind.causes(hidden.as_ref());
        PgError(Box::new(Told { kind, ended: None, undone: None, server: None, causes, hidden }))
    }

    pub(in crate::postgres) fn settings(faults: Faults) -> Self {
        PgError::of(Kind::Settings(faults))
    }

    pub(in crate::postgres) fn open(error: postgres::Error) -> Self {
        PgError::of(Advised::new(error).map_or_else(Kind::Open, Kind::OpenAdvised))
    }

    /// The error of a log-in as this configuration says. No text of it shows the password, whatever the server says.
    pub(in crate::postgres) fn log_in(error: postgres::Error, config: &Config) -> Self {
        let hidden = error.as_db_error().and_then(|error| Hidden::in_log_in(config, error));
        PgError::of_hiding(Advised::new(error).map_or_else(Kind::Open, Kind::OpenAdvised), hidden)
    }

    pub(in crate::postgres) fn opening(error: OpeningError<PgError>) -> Self {
        PgError::of(Kind::Opening(error))
    }

    pub(in crate::postgres) fn commit_lost(error: postgres::Error) -> Self {
        PgError::of(Kind::CommitLost(Some(error)))
    }

    pub(in crate::postgres) fn commit_aborted() -> Self {
        PgError::of(Kind::CommitAborted)
    }

    pub(in crate::postgres) fn in_transaction() -> Self {
        PgError::of(Kind::InTransaction)
    }

    /// What a statement fails with whose transaction could not be begun for this reason.
    pub(in crate::postgres) fn not_begun(why: &Arc<PgError>) -> Self {
        let Told { ended, undone, .. } = &*why.0;
        let (ended, undone) = (ended.clone(), *undone);
        let told = *PgError::of(Kind::NotBegun(Arc::clone(why))).0;
        PgError(Box::new(Told { ended, undone, ..told }))
    }

    pub(in crate::postgres) fn left_in_transaction() -> Self {
        PgError::of(Kind::LeftInTransaction)
    }

    pub(in crate::postgres) fn savepoint_panicked() -> Self {
        PgError::of(Kind::SavepointPanicked)
    }

    pub(in crate::postgres) fn not_idle(when: &'static str) -> Self {
        PgError::of(Kind::NotIdle(when))
    }

    pub(in crate::postgres) fn lost() -> Self {
        PgError::of(Kind::Lost)
    }

    pub(in crate::postgres) fn unanswered(limit: Duration) -> Self {
        PgError::of(Kind::Unanswered(limit))
    }

    pub(crate) fn refused(why: impl Into<String>) -> Self {
        PgError::of(Kind::Refused(why.into()))
    }

    /// Causes as text, with nothing in it that the line has said.
    pub(super) fn causes(&self) -> Option<&Cause> {
        self.0.causes.as_ref()
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The SQLSTATE with which the server ended the session, where the error itself does not tell it.
    pub(super) fn ended(&self) -> Option<&str> {
        self.0.ended.as_deref()
    }

    /// The server that has not been heard of, where it was the only one. Of one that answers its message tells enough.
    pub(super) fn silent_server(&self) -> Option<&str> {
        let is_silent = match &self.0.kind {
            Kind::Open(error) => {
                is_of_another_protocol(error) || find_io(error).is_some_and(|error| !is_tls_mismatch(error))
            }
            Kind::Opening(error) => matches!(error, OpeningError::Lookup(_)),
            _ => false,
        };
        self.0.server.as_deref().filter(|_| is_silent)
    }

    pub(super) fn postgres(&self) -> Option<&postgres::Error> {
        self.0.kind.postgres()
    }

    /// The SQLSTATE that the server gave, if it gave one; of a connection that the server ended, also where a later
    /// call found out, but for Unix sockets.
    pub fn sqlstate(&self) -> Option<&str> {
        match &self.0.kind {
            Kind::Opening(error) => error.code().or_else(|| error.telling()?.sqlstate()),
            _ => {
                let told = self.postgres().and_then(postgres::Error::code);
                told.map(|code| code.code()).or(self.0.ended.as_deref())
            }
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
        match (&self.0.kind, self.postgres()) {
            (Kind::Open(_) | Kind::OpenAdvised(_) | Kind::Opening(_), _) => false,
            (Kind::Lost | Kind::CommitLost(_) | Kind::LostBeforeCommit(_), _) => true,
            (Kind::NotBegun(error), _) => error.is_connection_lost(),
            (_, Some(error)) => is_lost(error),
            _ => false,
        }
    }

    /// Whether the same work may succeed when it is done again, and cannot have been done yet: a serialization
    /// failure (40001), a deadlock (40P01), a server that ends or refuses the session (57P01, 57P02, 57P03), a
    /// connection lost before COMMIT was sent, or a prepared statement that a change of the schema made unusable
    /// (0A000, "cached plan must not change result type"). Of a session's errors it says what
    /// [`Retry`](crate::postgres::Retry) goes by.
    ///
    /// Never true for an error after which the outcome is unknown, nor for work that took too long: a transaction that
    /// overran a limit of the server's (25P03, 25P04), or what the pool itself has ended. A statement outside of a
    /// transaction commits by itself: there a lost connection does not tell whether it did, and is not retryable but
    /// for the server's own word (57P01 to 57P03). The same goes for calls of the driver's that a session hands on,
    /// as of its bare client or of the writer of a `COPY`: what they return does not know of the transaction.
    pub fn is_retryable(&self) -> bool {
        if matches!(self.0.kind, Kind::CommitLost(_)) || self.means(Meaning::Overran) {
            return false;
        }
        self.0.undone.unwrap_or_else(|| self.postgres().is_some_and(is_worth_repeating))
    }

    /// Whether a write was refused because the server or the transaction is read-only (25006).
    pub fn is_read_only(&self) -> bool {
        self.means(Meaning::ReadOnly)
    }

    /// Whether COMMIT was sent and no answer tells of it: the work may have been done or not.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self.0.kind, Kind::CommitLost(_))
    }

    /// Whether a PgBouncer in statement mode refused a transaction, as it would refuse the next.
    pub(in crate::postgres) fn is_of_statement_mode(&self) -> bool {
        self.postgres().is_some_and(is_of_statement_mode)
    }

    pub(in crate::postgres) fn is_commit_aborted(&self) -> bool {
        matches!(self.0.kind, Kind::CommitAborted)
    }

    /// Whether a limit on the client's side expired: `connect_timeout`, `socket_timeout`, or the limit of a
    /// validation or of a question of the pool's own.
    pub fn is_client_timeout(&self) -> bool {
        matches!(self.0.kind, Kind::Unanswered(_) | Kind::Opening(OpeningError::NoTurn(_)))
            || self.io_error().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }

    /// Whether this side did not do it: the server was not asked.
    pub(in crate::postgres) fn is_not_done(&self) -> bool {
        matches!(self.0.kind, Kind::Refused(_))
    }

    /// Whether the server refused user or password.
    pub(in crate::postgres) fn is_refusal(&self) -> bool {
        self.means(Meaning::Refused)
    }

    /// What the server said, where it refused user or password.
    pub(in crate::postgres) fn refusal(&self) -> Option<Refused> {
        let code = self.sqlstate().filter(|_| self.is_refusal())?.to_owned();
        Some(Refused { code, message: self.to_string() })
    }

    /// Whether the server was asked, and not only what it said before was told again.
    pub(in crate::postgres) fn was_tried(&self) -> bool {
        !matches!(self.0.kind, Kind::Opening(OpeningError::StillRefused { .. }))
    }

    /// Whether nothing but a change of the settings helps: they name no usable server, account or protocol.
    pub(in crate::postgres) fn is_permanent(&self) -> bool {
        match (&self.0.kind, self.sqlstate()) {
            (Kind::Settings(_), _) => true,
            (Kind::Opening(OpeningError::NoServer(tried)), _) => {
                tried.telling().is_refusal() || tried.errors().all(PgError::is_permanent)
            }
            // Where a callback has given better ones before, a rotation is under way and ends soon.
            (Kind::Opening(OpeningError::StillRefused { given_by, worked, .. }), _) => {
                *given_by == Credential::Settings || !worked
            }
            // A callback may give something else next time, and another server may come up.
            (Kind::Opening(error), _) => matches!(error, OpeningError::CannotShare(_)),
            (_, Some(_)) => self.means(Meaning::Permanent) || self.is_startup_option_refused(),
            (Kind::Open(error), None) => is_of_settings(error),
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
        matches!(self.0.kind, Kind::Opening(OpeningError::NoRoom(_)))
            || self.means(Meaning::Exhausted)
            || self.means(Meaning::ProtocolViolation) && self.says("no more connections allowed")
    }

    fn says(&self, text: &str) -> bool {
        let error = self.postgres().and_then(postgres::Error::as_db_error);
        error.is_some_and(|error| error.message().contains(text))
    }

    /// Whether an open failed for something that may be different without encryption, or with it: TLS itself, or who
    /// is let in how (28000). Not the password, which would count twice.
    pub(in crate::postgres) fn is_of_encryption(&self) -> bool {
        let is_open = matches!(self.0.kind, Kind::Open(_) | Kind::OpenAdvised(_));
        is_open && (self.sqlstate().is_none() || self.means(Meaning::NotAdmitted)) && self.is_permanent()
    }

    fn io_error(&self) -> Option<&io::Error> {
        find_io(self.postgres()?)
    }
}
