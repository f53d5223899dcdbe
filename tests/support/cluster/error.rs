//! Why a cluster did not come up.

use std::error::Error;
use std::{fmt, io};

/// Says what was wanted, what happened instead, and what to do about it.
pub struct ClusterError {
    text: String,
    source: Option<io::Error>,
}

impl ClusterError {
    pub(in crate::support) fn new(text: impl Into<String>) -> Self {
        ClusterError { text: text.into(), source: None }
    }

    pub(in crate::support) fn io(text: impl Into<String>, source: io::Error) -> Self {
        ClusterError { text: text.into(), source: Some(source) }
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As a person reads it: tests meet the error through `unwrap`, and a server log in it has many lines.
impl fmt::Debug for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl Error for ClusterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
