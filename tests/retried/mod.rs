//! What the tests of repeated sessions share.

use std::time::Duration;

use tierpool::postgres::{Retry, Session, SessionOptions};
use tierpool::{PgBuilder, PgError, PgPool, Tier};

use crate::support::cluster::Cluster;

pub fn cluster() -> Cluster {
    let cluster = Cluster::builder().setting("deadlock_timeout", "50ms").start();
    let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
    let table = "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)";
    cluster.config().connect(postgres::NoTls).unwrap().batch_execute(table).unwrap();
    cluster
}

pub fn pool(url: String, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    let builder = PgPool::builder().url(url).app_name("retry").base_size(2).max_overflow(0);
    change(builder).build().unwrap_or_else(|error| panic!("{error:#}"))
}

/// The rows as the server has them, asked past pool and proxy: `id:n` of each.
pub fn rows(cluster: &Cluster) -> String {
    let text = "SELECT coalesce(string_agg(id || ':' || n, ' ' ORDER BY id), '') FROM t";
    cluster.config().connect(postgres::NoTls).unwrap().query_one(text, &[]).unwrap().get(0)
}

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
