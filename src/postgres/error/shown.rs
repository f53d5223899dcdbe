//! The two texts of an error: one line for logs, and the report.

use std::error::Error as StdError;
use std::fmt;

use postgres::error::DbError;

use super::evidence::{besides, find_io, is_lost, is_of_another_protocol};
use super::hidden::{Hidden, without};
use super::pg_error::{Kind, PgError};
use crate::postgres::sqlstate::{Meaning, means, name};
use crate::text::{Limit, harmless, line, links};

const SETTINGS: &str = "the PostgreSQL settings cannot be used";

const STATEMENT_MODE: &str = "a PgBouncer in statement mode is in between, which refuses transactions: set pool_mode = \
                              transaction there for this database and user, or connect past it";

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            // It tells all there is to tell, in both forms.
            Kind::Checkout(error) => return fmt::Display::fmt(error, f),
            Kind::Settings(faults) => return faults.write_below(f, SETTINGS),
            _ => self.write_line(f)?,
        }
        if f.alternate() { self.write_more(f) } else { Ok(()) }
    }
}

impl fmt::Debug for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl StdError for PgError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.kind() {
            // Its own text is this one's.
            Kind::Checkout(error) => error.source(),
            _ => self.causes().map(|cause| cause as _),
        }
    }
}

/// The server's message; else what failed on the way to it, which the driver tells no more of than at which step; else
/// what the driver says.
fn cause(error: &postgres::Error, hidden: Option<&Hidden>) -> String {
    match (error.as_db_error(), find_io(error)) {
        (Some(error), _) if error.message().trim().is_empty() => "the server gave no message".to_owned(),
        (Some(error), _) => harmless(without(hidden, error.message())),
        (None, Some(error)) => line(error),
        (None, None) => line(error),
    }
}

impl PgError {
    fn db(&self) -> Option<&DbError> {
        self.postgres().and_then(postgres::Error::as_db_error)
    }

    /// What none of its texts shows; an error within has it where that is the one that the server answered with.
    fn hidden(&self) -> Option<&Hidden> {
        let within = || match self.kind() {
            Kind::Opening(error) => error.telling()?.hidden(),
            Kind::NotBegun(error) => error.hidden(),
            _ => None,
        };
        self.0.hidden.as_ref().or_else(within)
    }

    fn write_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.told();
        if let Some(server) = self.silent_server() {
            write!(f, "{}: ", harmless(server))?;
        }
        f.write_str(&told)?;
        // Where an error within it has not named it.
        let code = self.sqlstate().map(|code| format!("SQLSTATE {}", harmless(code)));
        let Some(code) = code.filter(|code| !told.contains(code)) else { return Ok(()) };
        match self.ended() {
            Some(ended) => {
                let name = name(ended).map(|name| format!(", {name}")).unwrap_or_default();
                write!(f, " (the server ended the session: {code}{name})")
            }
            None => write!(f, " ({code}{})", self.violated()),
        }
    }

    /// What went wrong, without the codes.
    fn told(&self) -> String {
        let cause = |error: &postgres::Error| cause(error, self.hidden());
        let with = |what: &str, error: &postgres::Error| format!("{what}: {}", cause(error));
        match self.kind() {
            Kind::Settings(faults) => format!("{SETTINGS}: {faults}"),
            Kind::Opening(error) => line(error),
            Kind::Open(error) if is_of_another_protocol(error) => {
                with("what answers there does not speak PostgreSQL's protocol", error)
            }
            Kind::Open(error) => cause(error),
            Kind::OpenAdvised(advised) => format!("{}: {}", cause(advised.cause()), advised.advice()),
            Kind::Query(error) | Kind::LostBeforeCommit(Some(error)) if self.is_of_statement_mode() => {
                with(STATEMENT_MODE, error)
            }
            Kind::Query(error) if self.is_connection_lost() => with("the connection was lost", error),
            Kind::Query(error) if self.is_statement_timeout() => with("the statement took too long", error),
            Kind::Query(error) => cause(error),
            Kind::CommitLost(None) => "outcome unknown: the server has not answered COMMIT".to_owned(),
            Kind::CommitLost(Some(error)) if is_lost(error) => {
                with("outcome unknown: the connection was lost after COMMIT was sent", error)
            }
            Kind::CommitLost(Some(error)) => {
                with("outcome unknown: COMMIT was sent, and its answer could not be told", error)
            }
            Kind::LostBeforeCommit(Some(error)) => {
                with("the connection was lost before COMMIT was sent", error)
            }
            Kind::LostBeforeCommit(None) => "the connection was lost before COMMIT was sent".to_owned(),
            Kind::CommitAborted => {
                "nothing was committed: a statement of the transaction had failed and its error was ignored"
                    .to_owned()
            }
            Kind::SavepointPanicked => {
                "nothing of the session is kept: the work of a savepoint panicked in it".to_owned()
            }
            Kind::InTransaction => "the connection is in a transaction already".to_owned(),
            Kind::NotBegun(error) => format!("the transaction could not be begun: {}", error.told()),
            Kind::NotIdle(when) => {
                format!("the server did not say {when} that the session is outside of a transaction")
            }
            Kind::LeftInTransaction => {
                "the connection was returned inside a transaction, and its reset is switched off".to_owned()
            }
            Kind::Lost => "the connection was closed by the server".to_owned(),
            Kind::Checkout(error) => error.to_string(),
            Kind::Unanswered(limit) => {
                format!("no answer from the server within {} (inquiry_timeout)", Limit(*limit))
            }
            Kind::Refused(why) => harmless(why),
            Kind::NotAllowed(what, error) => with(&harmless(what), error),
            Kind::Io(error) => line(error),
        }
    }

    /// Of a violated constraint the names that the server gives.
    fn violated(&self) -> String {
        let Some(error) = self.db().filter(|error| means(error.code().code(), Meaning::Violated)) else {
            return String::new();
        };
        let names =
            [("table", error.table()), ("column", error.column()), ("constraint", error.constraint())];
        let given = names.into_iter().filter_map(|(what, name)| Some((what, name?)));
        given.map(|(what, name)| format!(", {what} {}", harmless(name))).collect()
    }

    /// What the server says besides, or the causes: the driver's would say the server's message again.
    fn write_more(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(error) = self.db() else {
            return links(self).iter().skip(1).try_for_each(|cause| write!(f, "\n  caused by: {cause}"));
        };
        let hidden = self.hidden();
        besides(error)
            .try_for_each(|(what, text)| write!(f, "\n  {what}: {}", harmless(without(hidden, text))))
    }
}
