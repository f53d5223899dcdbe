//! Faults of the program that uses the pool: F11 to F14, and F4 for what it drops meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;
use tierpool::postgres::{PgConnection, ResetPolicy, SessionOptions, SocketTimeout, run_session};
use tierpool::{PgBuilder, PgError, PgPool, Tier};

use crate::lab::subject::{CONNECT_TIMEOUT, DEADLINE, GRACE, SOCKET_TIMEOUT, VALIDATION_TIMEOUT, WORKERS};
use crate::support::cluster::Cluster;
use crate::support::wait::{eventually, took};

const BOUND: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

pub fn cluster() -> Cluster {
    let cluster = Cluster::start_new().unwrap_or_else(|error| panic!("{error}"));
    crate::lab::ledger::create(&cluster);
    cluster
}

/// A pool of eight connections with the limits of the lab.
pub fn pool(url: String, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    let builder = PgPool::builder()
        .url(url)
        .app_name("programs")
        .base_size(WORKERS as u32)
        .min_size(WORKERS as u32)
        .max_overflow(0)
        .connection_timeout(DEADLINE)
        .connect_timeout(CONNECT_TIMEOUT)
        .socket_timeout(SocketTimeout::After(SOCKET_TIMEOUT))
        .automation(|tier| tier.validation_timeout(VALIDATION_TIMEOUT));
    change(builder).build().unwrap_or_else(|error| panic!("{error:#}"))
}

/// Runs `work` on eight threads at a time, each told its number.
pub fn on_eight_threads(work: impl Fn(i64) + Sync) {
    let work = &work;
    thread::scope(|scope| {
        for worker in 0..WORKERS as i64 {
            scope.spawn(move || work(worker));
        }
    });
}

pub fn count(conn: &mut PgConnection, query: &str) -> i64 {
    conn.query_one(query, &[]).unwrap().get(0)
}

/// All connections are back, none is beyond the ceiling, and the server has as many.
#[track_caller]
pub fn assert_whole(cluster: &Cluster, pool: &PgPool) {
    eventually(BOUND, "eight connections, all idle, as many on the server", || {
        let gauges = pool.automation().gauges();
        gauges.idle == WORKERS as u32
            && gauges.size() == WORKERS as u32
            && gauges.zombies == 0
            && cluster.connections("programs/automation") == WORKERS
    });
}

#[test]
fn f11_a_panic_in_a_transaction_rolls_back_and_costs_no_slot() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = pool(url, |builder| builder);
        on_eight_threads(|worker| {
            for round in 0..5 {
                let mut conn = pool.get(Tier::Automation).unwrap();
                let open = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'RowExclusiveLock'";
                assert_eq!(count(&mut conn, open), 0, "a borrower is inside another's transaction");
                let insert = format!("INSERT INTO work VALUES ({worker})");
                let panicked = catch_unwind(AssertUnwindSafe(move || {
                    if round % 2 == 0 {
                        conn.batch_execute(&format!("BEGIN; {insert}")).unwrap();
                        panic!("in a transaction begun by hand");
                    }
                    let work = |tx: &mut tierpool::postgres::Session<'_>| -> Result<(), PgError> {
                        tx.batch_execute(&insert)?;
                        panic!("in a session")
                    };
                    run_session(&mut conn, &SessionOptions::new(), work)
                }));
                assert!(panicked.is_err());
            }
        });
        assert_whole(&cluster, &pool);
        assert_eq!(count(&mut pool.get(Tier::Automation).unwrap(), "SELECT count(*) FROM work"), 0);
        pool.close(BOUND);
    }
}

#[test]
fn f12_a_dirty_return_reaches_nobody() {
    let dirt = [
        "BEGIN; INSERT INTO work VALUES (1)",
        "BEGIN; SELECT 1/0",
        "SET statement_timeout = 77; SET search_path = pg_catalog",
        "CREATE TEMP TABLE scratch (i int)",
        "SELECT pg_advisory_lock(4711)",
        "LISTEN news",
    ];
    let state = "SELECT (current_setting('statement_timeout') = '77ms')::int::bigint
        + (current_setting('search_path') = 'pg_catalog')::int::bigint
        + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')
        + (SELECT count(*) FROM pg_class WHERE relname = 'scratch')
        + (SELECT count(*) FROM pg_listening_channels())
        + (SELECT count(*) FROM pg_catalog.pg_locks WHERE pid = pg_backend_pid() AND mode = 'RowExclusiveLock')";
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        for policy in [ResetPolicy::Full, ResetPolicy::Rollback] {
            let covers = if policy == ResetPolicy::Full { dirt.len() } else { 2 };
            let pool = pool(url.clone(), |builder| builder.reset_policy(policy));
            for dirt in &dirt[..covers] {
                // Whatever it answers: some of it is an error.
                let _ = pool.get(Tier::Automation).unwrap().batch_execute(dirt);
                let conns: Vec<_> = (0..WORKERS).map(|_| pool.get(Tier::Automation).unwrap()).collect();
                for mut conn in conns {
                    assert_eq!(count(&mut conn, state), 0, "after {dirt:?}");
                }
            }
            assert_whole(&cluster, &pool);
            pool.close(BOUND);
        }
    }
}

#[test]
fn f13_exhaustion_names_the_holders_and_leaves_the_other_tier_alone() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    let mut held: Vec<_> = (0..WORKERS).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    held[0].tag("nightly import");
    thread::scope(|scope| {
        let patient = scope.spawn(|| {
            pool.automation().get_timeout(BOUND).map(|mut conn| count(&mut conn, "SELECT 1::bigint"))
        });
        on_eight_threads(|_| {
            let (error, time) = took(|| pool.automation().get_timeout(SECOND).unwrap_err());
            assert!(error.is_timeout() && time >= SECOND, "{error} after {time:?}");
            let text = format!("{error:#}");
            assert!(text.contains("nightly import") && text.contains("8 in use"), "{text}");
            assert_eq!(error.holders().len(), WORKERS);
            let mut person = pool.get(Tier::Adhoc).expect("the ad-hoc tier has connections of its own");
            assert_eq!(count(&mut person, "SELECT 1::bigint"), 1);
        });
        drop(held.pop());
        assert_eq!(patient.join().unwrap().unwrap(), 1, "who waits longer gets the next one that comes back");
    });
    drop(held);
    assert_whole(&cluster, &pool);
}

#[test]
fn f14_a_statement_timeout_leaves_the_connection_good() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder.statement_timeout(Duration::from_millis(300)));
    on_eight_threads(|_| {
        let mut conn = pool.get(Tier::Automation).unwrap();
        let backend = conn.backend_pid().unwrap();
        for _ in 0..2 {
            let error = PgError::from(conn.batch_execute("SELECT pg_sleep(20)").unwrap_err());
            assert!(error.is_statement_timeout() && !error.is_connection_lost(), "{error}");
            assert_eq!(error.sqlstate(), Some("57014"));
            assert_eq!(count(&mut conn, "SELECT pg_backend_pid()::bigint"), i64::from(backend));
        }
    });
    assert_whole(&cluster, &pool);
    assert_eq!(pool.automation().stats().closed.total(), 0);
}

#[test]
fn f4_nothing_that_is_dropped_waits_for_a_frozen_server() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    let conns: Vec<_> = (0..3).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    let [mut streaming, mut panicking, mut pending] = conns.try_into().unwrap_or_else(|_| unreachable!());
    let none: [i32; 0] = [];
    let mut rows = streaming.query_raw("SELECT generate_series(1, 1000000)", none).unwrap();
    assert!(rows.next().unwrap().is_some());
    panicking.batch_execute("BEGIN; INSERT INTO work VALUES (1)").unwrap();
    cluster.freeze_all();
    let lost = pending.batch_execute("SELECT 1").map_err(PgError::from).unwrap_err();
    assert!(lost.is_client_timeout(), "{lost}");

    let streaming = took(|| drop(rows)).1 + took(|| drop(streaming)).1;
    let pending = took(|| drop(pending)).1;
    let unwinding = took(|| {
        let _ = catch_unwind(AssertUnwindSafe(move || {
            let _conn = panicking;
            panic!("while the server is frozen");
        }));
    });
    for (what, time) in [("a row stream", streaming), ("a reply due", pending), ("a panic", unwinding.1)] {
        assert!(time <= GRACE, "{what}: {time:?}");
    }
    cluster.thaw_all();
    assert_whole(&cluster, &pool);
}
