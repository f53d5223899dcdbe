//! Whether the server answers: asked once, remembered, and never waited for beyond the limit.
#![cfg(feature = "postgres")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use support::cluster::{FREEZES, cluster};
use support::pools::pool_of;
use support::wait::{LONG_BOUND, SECOND, SLACK, comes_true, eventually, within};
use tierpool::postgres::ServerHealth;
use tierpool::{Clock, PgBuilder, PgPool, PrePing, Tier};

const LIMIT: Duration = Duration::from_millis(500);

/// One ad-hoc connection, so that its round trips count all questions.
fn pool(url: &str, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    pool_of(2, "health", url, |builder| change(builder.reserved(1).connect_timeout(2 * SECOND)))
}

fn round_trips(pool: &PgPool) -> u64 {
    pool.get(Tier::Adhoc).unwrap().round_trips().unwrap()
}

/// A forced check within its limit.
#[track_caller]
fn forced(pool: &PgPool) -> ServerHealth {
    within(LIMIT + SLACK, "a check", || pool.check_health(true))
}

#[test]
fn an_answer_is_remembered_and_force_asks_anew() {
    let cluster = cluster();
    let pool = pool(&cluster.url(), |builder| builder);
    let before = SystemTime::now();
    let first = pool.check_health(false);
    assert!(first.healthy && first.message.starts_with("the server answered in "), "{first}");
    assert!(first.checked_at >= before && first.latency < LONG_BOUND);
    let known = || (0..100).all(|_| pool.clone().check_health(false) == first);
    // A ping may come in between, where the connection was silent for a second.
    eventually(LONG_BOUND, "a hundred checks cost no round trip", || {
        let before = round_trips(&pool);
        assert!(known(), "clones share the answer");
        round_trips(&pool) == before
    });
    let anew = pool.check_health(true);
    assert!(anew.healthy && anew.checked_at > first.checked_at);
    assert_eq!(pool.check_health(false), anew);
    let query = cluster
        .admin()
        .query_one("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT 1'", &[])
        .unwrap();
    assert_eq!(query.get::<_, i64>(0), 1, "it was SELECT 1");
}

#[test]
fn success_is_remembered_for_a_minute_and_failure_for_five_seconds() {
    let cluster = cluster();
    let (clock, hand) = Clock::manual();
    let pool = pool(&cluster.url(), |builder| builder.clock(clock).inquiry_timeout(LIMIT));
    let first = pool.check_health(false);
    hand.advance(Duration::from_millis(59_999));
    assert_eq!(pool.check_health(false), first);
    hand.advance(Duration::from_millis(1));
    let second = pool.check_health(false);
    assert!(second.healthy && second.checked_at > first.checked_at);

    let held = pool.get(Tier::Adhoc).unwrap();
    let failed = pool.check_health(true);
    assert!(!failed.healthy);
    drop(held);
    hand.advance(Duration::from_millis(4_999));
    assert_eq!(pool.check_health(false), failed);
    hand.advance(Duration::from_millis(1));
    assert!(pool.check_health(false).healthy);
}

#[test]
fn an_adhoc_tier_that_is_all_out_is_named_as_the_cause() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = pool(&url, |builder| builder.inquiry_timeout(LIMIT));
        let mut held = pool.get(Tier::Adhoc).unwrap();
        held.tag("a debugger");
        // On a thread of its own: of this one, which holds the connection, the error says more.
        let health = thread::scope(|scope| scope.spawn(|| forced(&pool)).join().unwrap());
        assert!(!health.healthy && health.latency >= LIMIT, "{health:?}");
        for part in ["no connection of pool `adhoc` within ", "[a debugger]"] {
            assert!(health.message.contains(part), "{health}");
        }
        let health = forced(&pool);
        assert!(!health.healthy && health.message.contains("this thread already holds"), "{health}");
        drop(held);
        assert!(forced(&pool).healthy);
    }
}

#[test]
fn of_many_threads_one_asks() {
    const THREADS: usize = 16;
    let cluster = cluster();
    let pool = pool(&cluster.url(), |builder| builder);
    let held = pool.get(Tier::Adhoc).unwrap();
    let before = held.round_trips().unwrap();
    let started = AtomicUsize::new(0);
    let answers: Vec<ServerHealth> = thread::scope(|scope| {
        let check = || {
            // Relaxed: a count on its own.
            started.fetch_add(1, Ordering::Relaxed);
            pool.check_health(false)
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(check)).collect();
        eventually(LONG_BOUND, "all have started and one queues", || {
            started.load(Ordering::Relaxed) == THREADS && pool.adhoc().gauges().waiting == 1
        });
        let more = comes_true(Duration::from_millis(200), || pool.adhoc().gauges().waiting > 1);
        assert!(!more, "a second thread asks");
        drop(held);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers[0].healthy, "{}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(pool.adhoc().stats().peak_waiting, 1);
    assert_eq!(round_trips(&pool), before + 1);
}

#[test]
fn a_stopped_server_is_unhealthy_at_once_and_healthy_when_it_is_back() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = pool(&url, |builder| builder.inquiry_timeout(LIMIT));
        assert!(forced(&pool).healthy);
        cluster.stop_fast();
        // The first may find its connection ended; from then on there is none to be had.
        eventually(LONG_BOUND, "the cause is named", || {
            let health = forced(&pool);
            assert!(!health.healthy, "{health}");
            health.message.contains("No such file") || health.message.contains("refused")
        });
        cluster.start();
        eventually(LONG_BOUND, "it is healthy again", || forced(&pool).healthy);
    }
}

#[test]
fn a_connection_that_was_closed_meanwhile_says_nothing_of_the_server() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = pool(&url, |builder| builder.pre_ping(PrePing::Never));
        assert!(pool.check_health(true).healthy);
        cluster.restart_fast();
        let health = pool.check_health(true);
        assert!(health.healthy, "{health}");
        cluster.terminate_backends();
        pool.server_activity().unwrap_or_else(|error| panic!("{error}"));
    }
}

fn sixteen_at_once(pool: &PgPool) -> Vec<ServerHealth> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| pool.check_health(true))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn a_frozen_server_is_not_waited_for() {
    let cluster = cluster();
    for (way, url) in [("TCP", cluster.url()), ("the Unix socket", cluster.url_unix())] {
        for (frozen, freeze, thaw) in FREEZES {
            let what = format!("{frozen} frozen, over {way}");
            let pool = pool(&url, |builder| builder.inquiry_timeout(LIMIT));
            assert!(forced(&pool).healthy, "{what}");
            freeze(&cluster);
            if frozen == "postmaster" {
                // Else the connection there is answers.
                pool.adhoc().drain();
            }
            // Once with what the pool still has, and again with nothing to go by.
            for _ in 0..2 {
                for health in within(LIMIT + SLACK, &what, || sixteen_at_once(&pool)) {
                    // With the backends alone frozen the pool opens another connection, and that one answers.
                    assert!(!health.healthy || frozen == "backends", "{what}: {health}");
                }
            }
            thaw(&cluster);
            eventually(LONG_BOUND, &what, || forced(&pool).healthy);
        }
    }
}
