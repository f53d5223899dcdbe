//! What the tests of repeated sessions share.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use tierpool::postgres::{Retry, Session, SessionOptions};
use tierpool::{PgBuilder, PgError, PgPool, Tier};

use super::cluster::Cluster;
use super::pools::pool_of;
use super::proxy::{Direction, Proxy};

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

/// Has a session's COMMIT cut off: its answer, or COMMIT itself, which the client cannot tell from each other. `run` runs
/// one that leaves the row `1:1` however often it is done, calls back with the number of each attempt, and returns how
/// many there were. Asserts that another attempt is made only where that does no harm.
pub fn cut_commits<T>(
    cluster: &Cluster,
    proxy: &Proxy,
    run: impl Fn(&SessionOptions, &dyn Fn(usize)) -> (Result<T, PgError>, usize),
) {
    for (direction, after_cut) in [(Direction::ToClient, "1:1"), (Direction::ToServer, "")] {
        for idempotent in [false, true] {
            cluster.client().batch_execute("TRUNCATE t").unwrap();
            let (outcome, calls) = run(&options().idempotent(idempotent), &|call| match call {
                1 => proxy.cut_at(direction, b"COMMIT"),
                _ => assert_eq!(rows(cluster), after_cut, "{direction:?}: seen by the second attempt"),
            });
            if idempotent {
                outcome.unwrap_or_else(|error| panic!("{direction:?}: {error}"));
                assert_eq!((calls, rows(cluster).as_str()), (2, "1:1"), "{direction:?}");
            } else {
                let error = outcome.err().unwrap_or_else(|| panic!("{direction:?}: it was told as done"));
                assert!(error.is_outcome_unknown() && error.is_connection_lost(), "{direction:?}: {error}");
                assert!(error.to_string().starts_with("outcome unknown"), "{error}");
                assert_eq!((calls, rows(cluster).as_str()), (1, after_cut), "{direction:?}");
            }
        }
    }
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
