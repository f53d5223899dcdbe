//! The pool under test, as the lab sees it.

use std::sync::Arc;
use std::time::Duration;

use super::ours::Tierpool;
use super::theirs::R2d2;

/// Workers, and connections for them.
pub const WORKERS: usize = 8;
/// The deadline of a checkout.
pub const DEADLINE: Duration = Duration::from_secs(3);
/// The limit of opening a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The limit of a validation, where the pool has one.
pub const VALIDATION_TIMEOUT: Duration = Duration::from_millis(500);
/// The limit of the server's silence in a query, where the pool has one.
pub const SOCKET_TIMEOUT: Duration = Duration::from_secs(2);
/// What a thread may be blocked beyond its limit, and in a call that has no reason to wait.
pub const GRACE: Duration = Duration::from_millis(100);

/// Which pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tierpool,
    R2d2,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Tierpool, Kind::R2d2];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Tierpool => "tierpool",
            Kind::R2d2 => "r2d2",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Builds the pool with `size` connections to `url`, shown on the server as `name`.
    pub fn build(self, url: &str, name: &str, size: u32) -> Arc<dyn Subject> {
        match self {
            Kind::Tierpool => Arc::new(Tierpool::build(url, name, size)),
            Kind::R2d2 => Arc::new(R2d2::build(url, name, size)),
        }
    }
}

/// A pool under test.
pub trait Subject: Send + Sync {
    /// Does one piece of work: a checkout, a statement or a transaction that writes the number, and the return.
    /// Tells `step` which of them comes next.
    fn work(&self, number: i64, step: &dyn Fn(Step)) -> Outcome;

    /// What the pool says of itself.
    fn sample(&self) -> Sample;

    /// Closes the pool; false where it cannot be closed.
    fn close(&self, limit: Duration) -> bool;
}

/// What a worker is blocked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Get,
    Query,
    Drop,
}

/// What a worker knows of a piece of work.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is in the table.
    Done,
    /// No connection could be had, so it is not in the table.
    NotGot(Failure),
    /// It is not in the table.
    Failed(Failure),
    /// The connection went at a time when the server may have committed.
    Unknown(Failure),
}

impl Outcome {
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Outcome::Done => None,
            Outcome::NotGot(failure) | Outcome::Failed(failure) | Outcome::Unknown(failure) => Some(failure),
        }
    }
}

/// An error, as far as a report needs it.
#[derive(Clone, Debug)]
pub struct Failure {
    pub text: String,
    /// The SQLSTATE that its causes name.
    pub code: Option<String>,
    /// Whether it names why no connection could be opened.
    pub names_cause: bool,
}

/// One look at a pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Connections that the pool counts as its own, shown on the server as `<name>/automation`.
    pub size: u32,
    /// Connections given up on whose close has not ended.
    pub zombies: u32,
    /// Attempts to open a connection since it was built, and how many of them failed.
    pub attempts: u64,
    pub failed_attempts: u64,
    /// Connections replaced because they led to the wrong server.
    pub evicted: u64,
}
