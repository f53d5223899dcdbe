//! What an error comes of, and how that is had back.

use std::io;

use super::pg_error::{Kind, PgError};

impl PgError {
    /// The pool's error, where no connection could be had from it.
    pub fn as_checkout(&self) -> Option<&crate::Error> {
        match self.kind() {
            Kind::Checkout(error) => Some(error),
            _ => None,
        }
    }

    /// The driver's error, where there is one; of several servers tried that of the one that decides on the next
    /// attempt. Its texts are as the server and the system have them, with nothing escaped.
    ///
    /// It is not in the chain of [`source`](std::error::Error::source), whose texts go to logs and terminals.
    pub fn as_postgres(&self) -> Option<&postgres::Error> {
        self.postgres()
    }

    /// What the work read or wrote besides, where that failed.
    pub fn as_io(&self) -> Option<&io::Error> {
        match self.kind() {
            Kind::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<crate::Error> for PgError {
    fn from(error: crate::Error) -> Self {
        PgError::of(Kind::Checkout(error))
    }
}

impl From<postgres::Error> for PgError {
    fn from(error: postgres::Error) -> Self {
        PgError::of(Kind::Query(error))
    }
}

impl From<io::Error> for PgError {
    /// Of the writer of a `COPY` it is the server's error in it; else what the work read or wrote besides.
    fn from(error: io::Error) -> Self {
        match error.downcast::<postgres::Error>() {
            Ok(error) => error.into(),
            Err(error) => PgError::of(Kind::Io(error)),
        }
    }
}
