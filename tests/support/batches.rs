//! What the tests of batches share: a table in which an item done twice shows, and what adds up.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use postgres::Client;
use tierpool::batch::{self, BoxError, FetchStage, Fetching, Options, Report};
use tierpool::postgres::{Retry, Session};
use tierpool::{BreakerState, PgBuilder, PgError, PgPool};

use super::cluster::Cluster;
use super::pools::pool_of;
use super::wait::{LONG_BOUND, MS, eventually};

/// Without a primary key, so that an item done twice shows.
pub const TABLE: &str = "CREATE TABLE done (key bigint NOT NULL)";

pub fn cluster() -> Cluster {
    // What was committed has to outlive a killed server.
    let builder = Cluster::builder().setting("synchronous_commit", "on");
    let cluster = builder.setting("deadlock_timeout", "50ms").start().unwrap();
    cluster.client().batch_execute(TABLE).unwrap();
    cluster
}

pub fn pool(cluster: &Cluster, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    pool_of(4, "batch", cluster.url(), change)
}

pub fn write(tx: &mut Session<'_>, key: i64) -> Result<(), PgError> {
    tx.execute("INSERT INTO done VALUES ($1)", &[&key]).map(drop)
}

/// The keys in the table, and how many rows there are.
pub fn written(cluster: &Cluster) -> (BTreeSet<i64>, usize) {
    written_by(&mut cluster.client())
}

/// As [`written`], by this connection.
pub fn written_by(client: &mut Client) -> (BTreeSet<i64>, usize) {
    let rows = client.query("SELECT key FROM done", &[]).expect("the table was made");
    (rows.iter().map(|row| row.get(0)).collect(), rows.len())
}

/// Runs a batch of twenty items that begins while the server is away, and has it come back once the breaker is open.
#[track_caller]
pub fn run_through_an_outage(options: Options) -> Report<i64> {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    // Whoever had the one that `build` opened would lose it in its only attempt.
    pool.automation().evict_idle();
    cluster.kill9();
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            eventually(LONG_BOUND, "the breaker opens", || {
                pool.automation().breaker() != BreakerState::Closed
            });
            cluster.start();
        });
        // Tried once: waiting for a connection is no attempt.
        batch::run(&pool, 0..20_i64, options.retry(Retry::NEVER), |tx, &key| write(tx, key))
    });
    assert!(report.is_complete() && report.retried == 0, "{report}");
    assert_eq!(written(&cluster), ((0..20).collect(), 20));
    report
}

#[track_caller]
pub fn assert_sum<I: fmt::Debug>(report: &Report<I>, items: u64) {
    assert_eq!(report.items, items, "{report}");
    assert_eq!(report.committed + report.failed.len() as u64 + report.not_started, items, "{report}");
    assert_eq!(report.failed_by_class().values().sum::<u64>(), report.failed.len() as u64);
    assert_eq!(report.is_complete(), report.committed == items);
}

#[track_caller]
pub fn assert_at_rest(pool: &PgPool) {
    eventually(LONG_BOUND, "every connection is back", || {
        let gauges = pool.automation().gauges();
        gauges.in_use == 0 && gauges.waiting == 0
    });
}

pub fn fetching() -> Fetching<i64, BoxError> {
    Fetching::new()
}

/// The page of an item is the item.
pub fn copied(key: &i64) -> Result<i64, BoxError> {
    Ok(*key)
}

/// Waits, as a fetch that does not return, until the test lets go.
pub fn hang(gate: &AtomicBool) {
    while !gate.load(Ordering::Relaxed) {
        thread::sleep(MS);
    }
}

pub fn stage<I: fmt::Debug>(report: &Report<I>) -> &FetchStage {
    report.fetch.as_ref().expect("it had two stages")
}

/// A fetch whose threads show: each holds what it holds.
pub fn holding<P, FE>(
    held: &Arc<()>,
    fetch: impl Fn(&i64) -> Result<P, FE> + Clone + Send + Sync + 'static,
) -> impl Fn(&i64) -> Result<P, FE> + Clone + Send + Sync + 'static {
    let held = Arc::clone(held);
    move |key| {
        let _ = &held;
        fetch(key)
    }
}

/// Whether fetch and threads are gone, as they are once the call has returned.
#[track_caller]
pub fn assert_let_go(held: &Arc<()>) {
    assert_eq!(Arc::strong_count(held), 1, "a fetch thread is still there");
}

/// Ends one of the pool's sessions, if it has one, and says whether it did.
pub fn end_one_session(cluster: &Cluster, dice: &mut fastrand::Rng) -> bool {
    let mut admin = cluster.admin();
    let all = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'batch%' ORDER BY pid";
    let pids: Vec<i32> = admin.query(all, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    let Some(pid) = dice.choice(pids) else { return false };
    admin.query_one("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
    true
}
