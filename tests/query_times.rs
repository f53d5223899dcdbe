//! What is counted of the statements that pass: those that the server cancelled, and how long each took.
#![cfg(feature = "postgres")]

mod support;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use log::LevelFilter;
use support::cluster::cluster;
use support::logged;
use support::pools::pool_of;
use support::wait::{BOUND, MS, SECOND, eventually, took};
use tierpool::config::{Overrides, PgSettings};
use tierpool::stats::Histogram;
use tierpool::{PgBuilder, PgPool, Tier};

#[test]
fn statements_that_the_server_cancelled_are_counted() {
    let cluster = cluster();
    let pool = pool_of(1, "timeouts", cluster.url(), |builder| builder.statement_timeout(50 * MS));
    let counted = || pool.automation().stats().statement_timeouts;
    let mut conn = pool.get(Tier::Automation).unwrap();
    conn.batch_execute("SELECT 1").unwrap();
    assert!(conn.batch_execute("SELECT 1 / 0").is_err());
    assert_eq!(counted(), 0);
    for times in 1..=2 {
        assert!(conn.execute("SELECT pg_sleep(10)", &[]).is_err());
        assert_eq!(counted(), times);
    }
    assert_eq!(pool.adhoc().stats().statement_timeouts, 0);
}

#[test]
fn a_statement_that_was_cancelled_on_request_is_no_timeout_and_the_next_one_is() {
    let cluster = cluster();
    let pool = pool_of(1, "asked", cluster.url(), |builder| builder.statement_timeout(60 * SECOND));
    let counted = || pool.automation().stats().statement_timeouts;
    let mut conn = pool.get(Tier::Automation).unwrap();
    let (cancel, pid) = (conn.cancel_handle(), conn.backend_pid().unwrap());
    thread::scope(|scope| {
        let asked = scope.spawn(|| conn.execute("SELECT pg_sleep(60)", &[]).unwrap_err());
        eventually(BOUND, "it runs", || cluster.sleeps(pid));
        cancel.cancel(BOUND).unwrap();
        assert_eq!(asked.join().unwrap().code().unwrap().code(), "57014");
    });
    assert_eq!(counted(), 0);
    conn.batch_execute("SET statement_timeout = '50ms'").unwrap();
    assert!(conn.execute("SELECT pg_sleep(60)", &[]).is_err());
    assert_eq!(counted(), 1);
}

fn times(pool: &PgPool) -> Histogram {
    pool.automation().stats().query
}

#[test]
fn the_time_of_each_statement_is_recorded_where_that_is_asked_for() {
    let cluster = cluster();
    let pool = pool_of(1, "times", cluster.url(), |builder| builder.query_times(true));
    let mut conn = pool.get(Tier::Automation).unwrap();
    assert_eq!(times(&pool).count(), 0, "opening is none");
    let begun = Instant::now();
    // Prepared and executed: one.
    conn.execute("SELECT pg_sleep($1)", &[&0.2f64]).unwrap();
    let (first, took) = (times(&pool), begun.elapsed());
    assert_eq!(first.count(), 1);
    // The upper end of a bucket.
    assert!(first.quantile(0.95) >= Some(250 * MS), "{first:?}");
    // The time begins when the request is out, and a thread may be late to look at its clock.
    assert!(first.sum >= 100 * MS && first.sum <= took, "{first:?} of {took:?}");
    let statement = conn.prepare("SELECT 1").unwrap();
    assert_eq!(times(&pool).count(), 1, "nothing was executed");
    for _ in 0..3 {
        conn.query_one(&statement, &[]).unwrap();
    }
    drop(statement);
    conn.batch_execute("SELECT 1; SELECT 2").unwrap();
    assert!(conn.batch_execute("SELECT 1 / 0").is_err());
    assert_eq!(times(&pool).count(), 6);
    conn.batch_execute("CREATE TEMPORARY TABLE words (word text)").unwrap();
    let mut copy = conn.copy_in("COPY words FROM STDIN").unwrap();
    copy.write_all(b"a\nb\n").unwrap();
    copy.finish().unwrap();
    assert_eq!(times(&pool).count(), 8, "a COPY with its data is one");
    assert!(times(&pool).sum <= begun.elapsed(), "{:?}", times(&pool));
    assert_eq!(pool.adhoc().stats().query.count(), 0);
}

#[test]
fn a_reply_left_unread_does_not_count_for_the_next_statement() {
    let cluster = cluster();
    let pool = pool_of(1, "unread", cluster.url(), |builder| builder.query_times(true));
    let mut conn = pool.get(Tier::Automation).unwrap();
    let params: [&str; 0] = [];
    let (_, first) = took(|| {
        drop(conn.query_raw("SELECT repeat('x', 100000) FROM generate_series(1, 300)", params).unwrap());
    });
    // Time that is the borrower's own.
    pool.get(Tier::Adhoc).unwrap().batch_execute("SELECT pg_sleep(0.4)").unwrap();
    let (_, second) = took(|| conn.batch_execute("SELECT 1").unwrap());
    let times = times(&pool);
    assert!(times.count() >= 1 && times.sum <= first + second, "{times:?} of {first:?} and {second:?}");
}

#[test]
fn what_the_pool_sends_for_itself_is_no_statement() {
    let cluster = cluster();
    logged::capture(LevelFilter::Warn);
    let change = |builder: PgBuilder| builder.query_times(true).slow_query(Duration::from_nanos(1));
    let pool = pool_of(1, "own-requests", cluster.url(), change);
    let counted = || {
        [pool.automation(), pool.adhoc()].map(|tier| {
            let stats = tier.stats();
            (stats.query.count(), stats.slow_queries)
        })
    };
    pool.wait_ready(BOUND).unwrap();
    pool.long_running_queries(Duration::from_secs(60)).unwrap();
    assert_eq!(counted(), [(0, 0); 2]);
    for times in 1..=3 {
        let mut conn = pool.get(Tier::Automation).unwrap();
        conn.batch_execute("SET lock_timeout = 5").unwrap();
        conn.ping(BOUND).unwrap();
        drop(conn);
        drop(pool.get(Tier::Automation).unwrap());
        assert_eq!(counted(), [(times, times), (0, 0)], "it was reset");
    }
    assert!(!logged::anywhere("pg_stat_activity"));
}

#[test]
fn nothing_is_recorded_unless_it_is_asked_for() {
    let cluster = cluster();
    let pool = pool_of(1, "untimed", cluster.url(), |builder| builder);
    pool.get(Tier::Automation).unwrap().batch_execute("SELECT 1").unwrap();
    assert_eq!(times(&pool), Histogram::default());
}

#[test]
fn the_environment_asks_for_it() {
    let load = |value: &str| {
        let env = |name: &str| match name {
            "DATABASE_URL" => Some("postgresql://app@db.example/news".to_owned()),
            "DB_QUERY_TIMES" => Some(value.to_owned()),
            _ => None,
        };
        PgSettings::load(&Overrides::default(), env)
    };
    assert!(load("on").unwrap().query_times);
    assert!(!load("").unwrap().query_times);
    assert!(load("sometimes").unwrap_err().to_string().contains("DB_QUERY_TIMES is sometimes"));
}
