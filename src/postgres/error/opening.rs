//! Why no connection could be opened, where it is more than one error of the driver.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::config::TargetSessionAttrs;
use crate::text::{Limit, Time, line};

type BoxError = Box<dyn StdError + Send + Sync>;

/// What went wrong before there was a connection; `E` is the error of one attempt.
#[derive(Debug)]
pub(in crate::postgres) enum OpeningError<E> {
    /// The host's name could not be looked up.
    Lookup(io::Error),
    /// The server answered, and is not of the kind that is wanted.
    Unsuitable { found: &'static str, wanted: TargetSessionAttrs },
    /// The user's callback failed.
    Callback(BoxError),
    /// The user's callback took all of the time there was.
    CallbackLate(Duration),
    /// The server refused what the callback gave.
    Refused(E),
    /// The server has refused these credentials, and is asked again after this time. Others `worked` before them, or
    /// none have so far.
    StillRefused { refused: Refused, pause: Duration, given_by: Credential, worked: bool },
    /// Another attempt of the same role was under way, until this time was over.
    NoTurn(Duration),
    /// The budget that the pool shares with other processes has no room for one more.
    NoRoom(String),
    /// No budget can be shared by way of this server.
    CannotShare(String),
    /// Its pool was closed meanwhile.
    PoolClosed,
    /// It was ended before it could be used, by an error whose text the driver has lost.
    Ended(Farewell),
    /// None of several servers would do.
    NoServer(ServersTried<E>),
}

impl<E> OpeningError<E> {
    /// The error of an attempt, where there was one; of several that which decides on the next.
    pub fn telling(&self) -> Option<&E> {
        match self {
            OpeningError::Refused(error) => Some(error),
            OpeningError::NoServer(tried) => Some(tried.telling()),
            _ => None,
        }
    }

    /// The SQLSTATE that came without an error.
    pub fn code(&self) -> Option<&str> {
        match self {
            OpeningError::Ended(Farewell(code)) => Some(code),
            OpeningError::StillRefused { refused, .. } => Some(&refused.code),
            _ => None,
        }
    }
}

impl<E> fmt::Display for OpeningError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpeningError::Lookup(_) => f.write_str("could not look up the name of the server"),
            OpeningError::Unsuitable { found, wanted } => {
                write!(f, "{found}, and target_session_attrs is {wanted}")
            }
            OpeningError::Callback(_) => f.write_str("the callback gave no credentials"),
            OpeningError::CallbackLate(took) => write!(
                f,
                "the callback for credentials took {}, so that no time was left to connect (connect_timeout)",
                Time(*took)
            ),
            OpeningError::Refused(_) => {
                f.write_str("the server refused the credentials that the callback gave")
            }
            OpeningError::StillRefused { pause, given_by: Credential::Callback, .. } => write!(
                f,
                "the callback still gives the credentials that the server refused; the server is asked again when \
                 they change, or in {}",
                Time(*pause)
            ),
            OpeningError::StillRefused { refused, pause, given_by: Credential::Settings, .. } => write!(
                f,
                "{} (the server is asked again in {}, so that no account is locked)",
                refused.message,
                Time(*pause)
            ),
            OpeningError::NoTurn(limit) => write!(
                f,
                "another log-in of this role had no answer within {} (connect_timeout), and until the server lets it \
                 in one is made at a time",
                Limit(*limit)
            ),
            OpeningError::NoRoom(why) | OpeningError::CannotShare(why) => f.write_str(why),
            OpeningError::PoolClosed => {
                f.write_str("the pool was closed while a connection was being opened")
            }
            OpeningError::Ended(_) => f.write_str("could not open a connection to the server"),
            OpeningError::NoServer(tried) => {
                write!(f, "could not open a connection to any of {} servers", tried.servers.len())
            }
        }
    }
}

impl<E: StdError + 'static> StdError for OpeningError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            OpeningError::Lookup(error) => Some(error),
            OpeningError::Callback(error) => Some(error.as_ref()),
            OpeningError::Refused(error) => Some(error),
            OpeningError::NoServer(tried) => Some(tried),
            OpeningError::Ended(farewell) => Some(farewell),
            _ => None,
        }
    }
}

/// What the server said when it refused user or password, by its SQLSTATE and in the words of its first refusal.
#[derive(Clone, Debug)]
pub(in crate::postgres) struct Refused {
    pub code: String,
    pub message: String,
}

/// Where credentials come from: what a callback gives may be others next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Credential {
    Callback,
    Settings,
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

/// The servers tried, in order, each with its error.
#[derive(Debug)]
pub(in crate::postgres) struct ServersTried<E> {
    servers: Vec<(String, E)>,
    /// The place of the error that decides on the next attempt.
    telling: usize,
}

impl<E> ServersTried<E> {
    pub fn new(servers: Vec<(String, E)>, telling: usize) -> Self {
        ServersTried { servers, telling }
    }

    pub fn telling(&self) -> &E {
        &self.servers[self.telling].1
    }

    pub fn errors(&self) -> impl Iterator<Item = &E> {
        self.servers.iter().map(|(_, error)| error)
    }
}

impl<E: StdError + 'static> fmt::Display for ServersTried<E> {
    /// One line: each server with its error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (server, error)) in self.servers.iter().enumerate() {
            let comma = if at > 0 { "; " } else { "" };
            write!(f, "{comma}{server}: {}", line(error))?;
        }
        Ok(())
    }
}

impl<E: StdError + 'static> StdError for ServersTried<E> {}
