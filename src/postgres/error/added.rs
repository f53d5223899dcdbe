//! What those who pass an error on know of it besides, and add.

use super::opening::{OpeningError, ServersTried};
use super::pg_error::{Kind, PgError, Told};
use crate::postgres::sqlstate::{Meaning, means};

impl PgError {
    /// There is no room for a connection now: as the server says it by 53300.
    pub(crate) fn no_room(why: String) -> Self {
        PgError::opening(OpeningError::NoRoom(why))
    }

    /// The error of a round over servers, tried in this order and at least one: that of the only one, or of all.
    ///
    /// Of several that one decides on the next attempt which tells of a refused password, since accounts get locked;
    /// else of a server without a free connection, since one may be given back; else the last.
    pub(in crate::postgres) fn of_servers(mut tried: Vec<(String, PgError)>) -> Self {
        if tried.len() == 1 {
            let (server, mut error) = tried.swap_remove(0);
            error.0.server = Some(server);
            return error;
        }
        let first = |is: fn(&PgError) -> bool| tried.iter().position(|(_, error)| is(error));
        let telling = first(PgError::is_refusal).or_else(|| first(PgError::is_exhausted));
        let last =
            || tried.len().checked_sub(1).unwrap_or_else(|| unreachable!("BUG: a manager without a host"));
        let telling = telling.unwrap_or_else(last);
        PgError::opening(OpeningError::NoServer(ServersTried::new(tried, telling)))
    }

    /// The statement that COMMIT went with was answered, and COMMIT was not.
    pub(in crate::postgres) fn commit_unanswered() -> Self {
        PgError::of(Kind::CommitLost(None))
    }

    pub(in crate::postgres) fn lost_before_commit(error: PgError) -> Self {
        let Told { kind, ended, causes, hidden, .. } = *error.0;
        let cause = match kind {
            Kind::Query(cause) => Some(cause),
            _ => None,
        };
        PgError(Box::new(Told {
            kind: Kind::LostBeforeCommit(cause),
            ended,
            undone: None,
            server: None,
            causes,
            hidden,
        }))
    }

    /// Says, where the connection is lost, that no COMMIT was sent on it.
    pub(in crate::postgres) fn before_commit(mut self) -> Self {
        if self.is_connection_lost() && !self.is_outcome_unknown() && !self.is_of_statement_mode() {
            self.0.undone = Some(true);
        }
        self
    }

    /// Says that the work is not to be done again: some of it may have been done, or the pool has ended it.
    pub(in crate::postgres) fn for_good(mut self) -> Self {
        self.0.undone = Some(false);
        self
    }

    /// Names the error with which the server ended the session, where the connection is lost and this does not say why:
    /// the driver passes that error on once, to the call that finds it, and tells no more than "closed" from then on.
    pub(in crate::postgres) fn ended_by(mut self, code: Option<[u8; 5]>) -> Self {
        if self.is_connection_lost() && self.sqlstate().is_none() {
            self.0.ended = code.map(|code| String::from_utf8_lossy(&code).into_owned());
        }
        self
    }

    /// Says what was not allowed, where that is why the statement failed.
    pub(in crate::postgres) fn or_not_allowed(self, what: impl FnOnce() -> String) -> Self {
        match self.0.kind {
            Kind::Query(error)
                if error.code().is_some_and(|code| means(code.code(), Meaning::NotAllowed)) =>
            {
                PgError::of(Kind::NotAllowed(what(), error))
            }
            kind => PgError(Box::new(Told { kind, ..*self.0 })),
        }
    }
}
