//! What to change when the server refuses for want of encryption or of a certificate.

use crate::postgres::sqlstate::{Meaning, means};

/// What the server says, in English, and what helps. A server that speaks another language gets no advice.
const ADVICE: [(&str, &str); 3] = [
    ("valid client certificate", "sslcert and sslkey name the client's certificate and its key"),
    ("no encryption", "if the server wants TLS, set sslmode=require or stronger (feature `tls`)"),
    // Before PostgreSQL 14.
    ("SSL off", "if the server wants TLS, set sslmode=require or stronger (feature `tls`)"),
];

/// A refusal by the server, with what to change.
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

    /// What to change.
    pub fn advice(&self) -> &'static str {
        self.advice
    }
}
