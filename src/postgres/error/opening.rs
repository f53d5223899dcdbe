//! Why no connection could be opened, where it is more than one error of the driver.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use super::pg_error::PgError;
use crate::config::TargetSessionAttrs;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What went wrong before there was a connection.
#[derive(Debug)]
pub(in crate::postgres) enum OpeningError {
    /// The host's name could not be looked up.
    Lookup(io::Error),
    /// The server answered, and is not of the kind that is wanted.
    Unsuitable { found: &'static str, wanted: TargetSessionAttrs },
    /// The user's callback failed.
    Callback(BoxError),
    /// The user's callback took all of the time there was.
    CallbackLate(Duration),
    /// The server refused what the callback gave.
    Refused(PgError),
    /// The callback gives what the server refused; it is asked again after this time.
    StillRefused(Duration),
    /// It was ended before it could be used, by an error whose text the driver has lost.
    Ended(Farewell),
    /// None of several servers would do.
    NoHost(Attempts),
}

impl OpeningError {
    /// The driver's error, if there is one; of several the one that decides on the next attempt.
    pub fn postgres(&self) -> Option<&postgres::Error> {
        match self {
            OpeningError::Refused(error) => error.postgres(),
            OpeningError::NoHost(attempts) => attempts.telling().postgres(),
            _ => None,
        }
    }

    /// The SQLSTATE, where there was one.
    pub fn code(&self) -> Option<&str> {
        match self {
            OpeningError::Refused(error) => error.sqlstate(),
            OpeningError::NoHost(attempts) => attempts.telling().sqlstate(),
            OpeningError::Ended(Farewell(code)) => Some(code),
            _ => None,
        }
    }

    /// Whether nothing but a change of the settings helps. A callback may give something else next time, and another
    /// server may come up.
    pub fn is_permanent(&self) -> bool {
        match self {
            OpeningError::NoHost(attempts) => {
                attempts.telling().is_refusal() || attempts.0.iter().all(|(_, error)| error.is_permanent())
            }
            _ => false,
        }
    }
}

impl fmt::Display for OpeningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpeningError::Lookup(_) => f.write_str("could not look up the name of the server"),
            OpeningError::Unsuitable { found, wanted } => {
                write!(f, "{found}, and target_session_attrs is {wanted}")
            }
            OpeningError::Callback(_) => f.write_str("the callback gave no credentials"),
            OpeningError::CallbackLate(took) => write!(
                f,
                "the callback for credentials took {took:.1?}, so that no time was left to connect (connect_timeout)"
            ),
            OpeningError::Refused(_) => {
                f.write_str("the server refused the credentials that the callback gave")
            }
            OpeningError::StillRefused(pause) => write!(
                f,
                "the callback still gives the credentials that the server refused; the server is asked again when \
                 they change, or in {pause:.0?}"
            ),
            OpeningError::Ended(_) => f.write_str("could not open a connection to the server"),
            OpeningError::NoHost(attempts) => {
                write!(f, "could not open a connection to any of {} servers", attempts.0.len())
            }
        }
    }
}

impl StdError for OpeningError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            OpeningError::Lookup(error) => Some(error),
            OpeningError::Callback(error) => Some(error.as_ref()),
            OpeningError::Refused(error) => Some(error),
            OpeningError::NoHost(attempts) => Some(attempts),
            OpeningError::Ended(farewell) => Some(farewell),
            _ => None,
        }
    }
}

/// The SQLSTATE with which a server or a pooler ended a connection.
#[derive(Debug)]
pub(in crate::postgres) struct Farewell(pub String);

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server, or a pooler in front of it, ended the connection at once; its log says why")
    }
}

impl StdError for Farewell {}

/// The servers tried, in order, each with its error. Never empty.
#[derive(Debug)]
pub(in crate::postgres) struct Attempts(Vec<(String, PgError)>);

impl Attempts {
    /// The error of a round: that of the only server, or of all.
    pub fn into_error(mut tried: Vec<(String, PgError)>) -> PgError {
        match (tried.pop(), tried.is_empty()) {
            (Some((_, error)), true) => error,
            (Some(last), false) => {
                tried.push(last);
                PgError::opening(OpeningError::NoHost(Attempts(tried)))
            }
            (None, _) => unreachable!("BUG: a manager without a host"),
        }
    }

    /// The error that decides on the next attempt: a refused password, since accounts get locked; else a server
    /// without a free connection, since one may be given back; else the last.
    fn telling(&self) -> &PgError {
        let errors = || self.0.iter().map(|(_, error)| error);
        let found =
            errors().find(|error| error.is_refusal()).or_else(|| errors().find(|error| error.is_exhausted()));
        found.unwrap_or_else(|| &self.0[self.0.len() - 1].1)
    }
}

impl fmt::Display for Attempts {
    /// One line: each server with the end of its chain of causes, where the reason stands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (server, error)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "; " } else { "" };
            let mut cause: &dyn StdError = error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            write!(f, "{comma}{server}: {cause}")?;
        }
        Ok(())
    }
}

impl StdError for Attempts {}
