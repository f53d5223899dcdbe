//! What the tests of repeated sessions share.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use tierpool::postgres::{Retry, Session, SessionOptions};
use tierpool::{PgBuilder, PgError, PgPool, Tier};

use super::cluster::Cluster;
use super::pools::pool_of;

/// An error of the work's own that keeps nothing of the pool's, as `anyhow::Error` does behind its box.
#[derive(Debug)]
pub struct Opaque;

impl From<PgError> for Opaque {
    fn from(_: PgError) -> Self {
        Opaque
    }
}

impl fmt::Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("opaque")
    }
}

impl StdError for Opaque {}

pub fn cluster() -> Cluster {
    let cluster = Cluster::builder().setting("deadlock_timeout", "50ms").start().unwrap();
    let table = "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)";
    cluster.client().batch_execute(table).unwrap();
    cluster
}

pub fn pool(url: String, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    pool_of(2, "retry", url, change)
}

/// The rows as the server has them, asked past pool and proxy: `id:n` of each.
pub fn rows(cluster: &Cluster) -> String {
    let text = "SELECT coalesce(string_agg(id || ':' || n, ' ' ORDER BY id), '') FROM t";
    cluster.client().query_one(text, &[]).unwrap().get(0)
}

/// Repeats after so short a time that a test does not wait.
pub fn quick() -> Retry {
    Retry { first: Duration::from_millis(10), longest: Duration::from_millis(100), ..Retry::default() }
}

pub fn options() -> SessionOptions {
    SessionOptions::new().retry(quick())
}

/// Runs a session and returns with its outcome how often the closure was called.
pub fn counted<T, E: From<PgError>>(
    pool: &PgPool,
    options: &SessionOptions,
    mut work: impl FnMut(&mut Session<'_>, usize) -> Result<T, E>,
) -> (Result<T, E>, usize) {
    let mut calls = 0;
    let outcome = pool.session_with(Tier::Automation, options, |tx| {
        calls += 1;
        work(tx, calls)
    });
    (outcome, calls)
}
