//! What to change when the server refuses for want of encryption or of a certificate.

use std::error::Error as StdError;
use std::fmt;

use crate::postgres::sqlstate::{Meaning, means};
use crate::text::{harmless, line};

/// What the server says, in English, and what helps. A server that speaks another language gets no advice.
const ADVICE: [(&str, &str); 3] = [
    ("valid client certificate", "sslcert and sslkey name the client's certificate and its key"),
    ("no encryption", "if the server wants TLS, set sslmode=require or stronger (feature `tls`)"),
    // Before PostgreSQL 14.
    ("SSL off", "if the server wants TLS, set sslmode=require or stronger (feature `tls`)"),
];

/// A refusal by the server, with what to change.
///
/// It stands at the end of its chain of causes: what is shown in one line is the last cause.
#[derive(Debug)]
pub(in crate::postgres) struct Advised {
    cause: postgres::Error,
    advice: &'static str,
}

impl Advised {
    /// Adds advice to an error of an open, where there is some; gives the error back where there is none.
    pub fn new(cause: postgres::Error) -> Result<Advised, postgres::Error> {
        let refused = cause.as_db_error().filter(|error| means(error.code().code(), Meaning::NotAdmitted));
        let message = refused.map(postgres::error::DbError::message).unwrap_or_default();
        match ADVICE.into_iter().find(|(said, _)| message.contains(said)) {
            Some((_, advice)) => Ok(Advised { cause, advice }),
            None => Err(cause),
        }
    }

    pub fn cause(&self) -> &postgres::Error {
        &self.cause
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause.as_db_error() {
            Some(error) => write!(f, "{}: {}", harmless(error.message()), self.advice),
            None => write!(f, "{}: {}", line(&self.cause), self.advice),
        }
    }
}

impl StdError for Advised {}
