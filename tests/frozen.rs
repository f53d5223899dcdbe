//! A server that is frozen: nobody is blocked past the deadline, in a checkout, a drop or a close.
#![cfg(feature = "postgres")]

mod support;

use std::thread;
use std::time::Duration;

use support::cluster::Cluster;
use support::wait::{comes_true, eventually, took};
use tierpool::postgres::SocketTimeout;
use tierpool::{PgBuilder, PgPool, Tier};

const BOUND: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_millis(500);
/// How late a checkout or a close may be, and how long giving up a connection may take.
const SLACK: Duration = Duration::from_millis(100);

/// What is done to the server.
type Act = fn(&Cluster);

fn cluster() -> Cluster {
    Cluster::start_new().unwrap_or_else(|error| panic!("{error}"))
}

fn pool(url: String, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    let builder = PgPool::builder()
        .url(url)
        .app_name("frozen")
        .base_size(4)
        .max_overflow(0)
        .connect_timeout(Duration::from_secs(2))
        .socket_timeout(SocketTimeout::After(Duration::from_secs(2)))
        // Every checkout asks the server for a sign of life.
        .automation(|tier| tier.test_on_check_out(true));
    change(builder).build().unwrap_or_else(|error| panic!("{error:#}"))
}

/// Has `count` connections open and idle.
fn fill(pool: &PgPool, count: usize) {
    let conns: Vec<_> = (0..count).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    drop(conns);
    eventually(BOUND, "all are idle", || pool.automation().gauges().idle == count as u32);
}

#[track_caller]
fn assert_in_time(pool: &PgPool, what: &str) {
    thread::scope(|scope| {
        let callers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| took(|| pool.automation().get_timeout(DEADLINE)))).collect();
        for caller in callers {
            let (outcome, time) = caller.join().unwrap();
            assert!(time <= DEADLINE + SLACK, "{what}: {time:?}, {:?}", outcome.map(drop));
        }
    });
}

#[track_caller]
fn assert_recovers(pool: &PgPool, what: &str) {
    let works = || pool.get(Tier::Automation).is_ok_and(|mut conn| conn.batch_execute("SELECT 1").is_ok());
    assert!(comes_true(BOUND, || (0..8).all(|_| works())), "{what}: {:?}", pool.automation().stats());
    let gauges = || pool.automation().gauges();
    assert!(comes_true(BOUND, || gauges().zombies == 0), "{what}: {:?}", gauges());
}

#[test]
fn checkouts_keep_their_deadline_whatever_is_frozen() {
    let cluster = cluster();
    let freezes: [(&str, Act, Act); 3] = [
        ("backends", Cluster::freeze_backends, Cluster::thaw_backends),
        ("postmaster", Cluster::freeze_postmaster, Cluster::thaw_postmaster),
        ("everything", Cluster::freeze_all, Cluster::thaw_all),
    ];
    for (way, url) in [("TCP", cluster.url()), ("the Unix socket", cluster.url_unix())] {
        for (frozen, freeze, thaw) in &freezes {
            // With all connections idle, and with none: one has to be validated, or opened.
            for idle in [4, 0] {
                let what = format!("{frozen} frozen, over {way}, {idle} idle");
                let pool = pool(url.clone(), |builder| builder);
                fill(&pool, 4);
                if idle == 0 {
                    pool.automation().evict_idle();
                }
                freeze(&cluster);
                assert_in_time(&pool, &what);
                assert_in_time(&pool, &what);
                thaw(&cluster);
                assert_recovers(&pool, &what);
            }
        }
    }
}

#[test]
fn giving_back_and_closing_wait_for_no_frozen_server() {
    let cluster = cluster();
    for (way, url) in [("TCP", cluster.url()), ("the Unix socket", cluster.url_unix())] {
        let pool = pool(url, |builder| builder);
        let mut conns: Vec<_> = (0..4).map(|_| pool.get(Tier::Automation).unwrap()).collect();
        for conn in &mut conns[..3] {
            conn.batch_execute("BEGIN; SELECT 1").unwrap();
        }
        cluster.freeze_all();
        let [in_transaction, to_close, broken, clean] = conns.try_into().unwrap_or_else(|_| unreachable!());
        let mut broken = broken;
        broken.mark_broken();
        for (kind, time) in [
            ("in a transaction", took(|| drop(in_transaction)).1),
            ("closed", took(|| to_close.close()).1),
            ("broken", took(|| drop(broken)).1),
            ("clean", took(|| drop(clean)).1),
        ] {
            assert!(time <= SLACK, "{kind}, over {way}: {time:?}");
        }
        let limit = Duration::from_millis(300);
        let (reports, time) = took(|| pool.close(limit));
        assert!(time <= limit + SLACK, "over {way}: {time:?}, {reports:?}");
        let time = took(|| drop(pool)).1;
        assert!(time <= SLACK, "over {way}: {time:?}");
        cluster.thaw_all();
        eventually(BOUND, "the server has no connection left", || cluster.connections("frozen/%") == 0);
    }
}
