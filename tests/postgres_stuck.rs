//! Stuck checkouts and a close by its deadline, against a real server.
#![cfg(feature = "postgres")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use support::cluster::{APP_PASSWORD, Cluster, cluster};
use support::wait::{AT_ONCE, LONG_BOUND, MS, SECOND, SLACK, eventually, measured_within, took};
use support::wire::{Frozen, chain, manager};
use tierpool::postgres::{Credentials, PgDriver, PgManager};
use tierpool::stats::CloseCause;
use tierpool::{Builder, Pool, PooledConnection};

type PgPool = Pool<PgManager>;
type Guard = PooledConnection<PgManager>;

/// A pool of one, which nothing but what is tested takes a connection from.
fn pool(url: &str, change: impl FnOnce(Builder<PgManager>) -> Builder<PgManager>) -> PgPool {
    let builder = Pool::builder()
        .max_size(1)
        .reaper_rate(20 * MS)
        .connection_timeout(LONG_BOUND)
        .driver(Box::new(PgDriver));
    // One thread stands for the borrower that is stuck and for the next.
    let builder = builder.deadlock_detection(false);
    let manager = manager(url, |options| options.application_name = Some("stuck".to_owned()));
    change(builder).build(manager).unwrap_or_else(|error| panic!("{error:#}"))
}

fn sleep(conn: &mut Guard) -> postgres::Error {
    conn.batch_execute("SELECT pg_sleep(60)").expect_err("nobody ended it")
}

#[track_caller]
fn assert_clean(cluster: &Cluster, pool: &PgPool) {
    let mut conn = pool.get().unwrap_or_else(|error| panic!("{error:#}"));
    conn.batch_execute("SELECT 1").unwrap();
    drop(conn);
    eventually(LONG_BOUND, "one session", || cluster.connections("stuck") == 1);
    assert_eq!(pool.gauges().size(), 1);
}

#[test]
fn a_statement_held_for_too_long_is_warned_of_and_cancelled() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let pool =
            pool(&url, |builder| builder.leak_threshold(Some(100 * MS)).cancel_stuck_after(Some(300 * MS)));
        let mut conn = pool.get().unwrap();
        let error = sleep(&mut conn);
        assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{}", chain(&error));
        let stats = pool.stats();
        assert_eq!([stats.long_holds, stats.stuck_cancelled, stats.stuck_terminated], [1, 1, 0]);
        let id = PooledConnection::id(&conn);
        conn.batch_execute("SELECT 1").expect("its borrower can go on");
        drop(conn);
        assert_ne!(PooledConnection::id(&pool.get().unwrap()), id, "lent on after a cancel");
        assert_clean(&cluster, &pool);
        let stats = pool.stats();
        assert_eq!((stats.closed.count(CloseCause::Evicted), stats.suspicions), (1, 0));
    }
}

#[test]
fn a_session_idle_in_a_transaction_is_ended_and_its_seat_is_back_at_once() {
    let cluster = cluster();
    for (url, told) in [(cluster.url(), "held for too long"), (cluster.url_unix(), "connection")] {
        let pool = pool(&url, |builder| {
            builder.cancel_stuck_after(Some(100 * MS)).terminate_stuck_after(Some(300 * MS))
        });
        let mut stuck = pool.get().unwrap();
        stuck.batch_execute("CREATE TABLE IF NOT EXISTS held (); BEGIN; LOCK TABLE held").unwrap();
        // The guard is kept and nothing called: only the server's side can tell that it is over.
        let mut next = pool.get().expect("the seat is back");
        assert_eq!(next.query_one("SELECT 1", &[]).unwrap().get::<_, i32>(0), 1);
        drop(next);
        let stats = pool.stats();
        assert_eq!((stats.stuck_cancelled, stats.stuck_terminated), (1, 1));
        assert_clean(&cluster, &pool);
        let error = stuck.batch_execute("COMMIT").unwrap_err();
        assert!(chain(&error).contains(told), "{}", chain(&error));
        drop(stuck);
        eventually(LONG_BOUND, "it is closed", || pool.stats().closed.total() >= 1);
        assert_clean(&cluster, &pool);
        pool.close(LONG_BOUND);
        eventually(LONG_BOUND, "no session", || cluster.connections("stuck") == 0);
    }
}

#[test]
fn a_session_that_cannot_be_told_from_others_is_left_alone_and_keeps_its_seat() {
    let cluster = cluster();
    let other = format!("CREATE ROLE other LOGIN PASSWORD '{APP_PASSWORD}'");
    cluster.admin().batch_execute(&other).unwrap();
    // To end a session takes another one, and that one comes as another role, which does not see whose this is.
    let asked = AtomicUsize::new(0);
    let give = move || {
        let user = if asked.fetch_add(1, Ordering::Relaxed) == 0 { "app" } else { "other" };
        Ok(Credentials::password(APP_PASSWORD).user(user))
    };
    let pool = tierpool::PgPool::builder()
        .url(format!("postgresql://app@127.0.0.1:{}/app", cluster.port()))
        .app_name("stuck")
        .base_size(1)
        .max_overflow(0)
        .credentials(give)
        .adhoc(|tier| tier.min_idle(Some(0)))
        .automation(|tier| tier.terminate_stuck_after(Some(100 * MS)).reaper_rate(20 * MS))
        .build()
        .unwrap_or_else(|error| panic!("{error:#}"));
    let automation = pool.automation();
    let stuck = automation.get().unwrap();
    eventually(LONG_BOUND, "it is tried", || automation.stats().stuck_terminated == 1);
    // The attempt takes a few round trips.
    let next = thread::scope(|scope| {
        scope.spawn(|| automation.get_timeout(Duration::from_secs(1)).map(drop)).join().unwrap()
    });
    assert!(next.is_err(), "replaced, and the server still has it");
    assert_eq!((automation.gauges().in_use, cluster.connections("stuck/automation")), (1, 1));
    drop(stuck);
    drop(automation.get_timeout(LONG_BOUND).expect("its seat is free when it is back"));
}

#[test]
fn a_call_on_a_frozen_backend_is_ended_by_the_pool_alone() {
    let cluster = cluster();
    let pool = pool(&cluster.url(), |builder| {
        builder.terminate_stuck_after(Some(300 * MS)).validation_timeout(2 * SECOND)
    });
    let mut conn = pool.get().unwrap();
    let frozen = Frozen::of(conn.backend_pid().unwrap());
    let error = sleep(&mut conn);
    assert!(chain(&error).contains("terminate_stuck_after"), "{}", chain(&error));
    let (_, time) = took(|| drop(conn));
    assert!(time <= AT_ONCE, "{time:?}");
    assert_eq!(pool.get().expect("its seat is back").batch_execute("SELECT 1").ok(), Some(()));
    drop(frozen);
    assert_clean(&cluster, &pool);
}

/// Closes a pool whose one connection is blocked in a statement, and returns the error with which that ended, and how
/// long after the close.
fn close_under_a_statement(cluster: &Cluster, url: &str, freeze: bool) -> (postgres::Error, Duration) {
    let pool = pool(url, |builder| builder);
    let limit = Duration::from_secs(1);
    let (running, runs) = mpsc::channel();
    let worker = {
        let pool = pool.clone();
        thread::Builder::new().name("sleeper".to_owned()).spawn(move || {
            let mut conn = pool.get().unwrap();
            conn.tag("long report");
            running.send(conn.backend_pid().unwrap()).unwrap();
            let error = sleep(&mut conn);
            drop(conn);
            (error, Instant::now())
        })
    };
    let pid = runs.recv_timeout(LONG_BOUND).unwrap();
    eventually(LONG_BOUND, "it sleeps", || cluster.sleeps(pid));
    let frozen = freeze.then(|| Frozen::of(pid));
    let (report, time) = took(|| pool.close(limit));
    let closed = Instant::now();
    assert!(time >= limit && time <= limit + AT_ONCE, "{time:?}");
    assert_eq!(report.holders.len(), 1);
    assert_eq!(
        (&*report.holders[0].thread, report.holders[0].tag.as_deref()),
        ("sleeper", Some("long report"))
    );
    let (error, ended) = worker.unwrap().join().unwrap();
    drop(frozen);
    eventually(LONG_BOUND, "no session is left", || cluster.connections("stuck") == 0);
    (error, ended.saturating_duration_since(closed))
}

#[test]
fn close_ends_a_statement_under_way_and_the_error_says_so() {
    let cluster = cluster();
    for freeze in [false, true] {
        measured_within(SLACK, "the worker goes on", || {
            let (error, late) = close_under_a_statement(&cluster, &cluster.url(), freeze);
            assert!(chain(&error).contains("its pool was closed"), "{}", chain(&error));
            late
        });
    }
}

#[test]
fn close_has_the_server_end_a_statement_over_a_unix_socket() {
    let cluster = cluster();
    let (error, late) = close_under_a_statement(&cluster, &cluster.url_unix(), false);
    assert!(late <= AT_ONCE, "the worker went on for {late:?}");
    // The server says why it ends the session, if the client comes to read it before the end.
    let code = error.code().map(|code| code.code().to_owned());
    assert!(error.is_closed() || matches!(code.as_deref(), Some("57014" | "57P01")), "{}", chain(&error));
}
