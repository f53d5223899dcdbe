//! A server that is frozen: nobody is blocked past the deadline, in a checkout, a drop or a close.
#![cfg(feature = "postgres")]

mod support;

use std::thread;
use std::time::Duration;

use support::cluster::{FREEZES, cluster};
use support::pools::pool_of;
use support::wait::{AT_ONCE, LONG_BOUND, SECOND, SLACK, comes_true, eventually, measured_within, took};
use tierpool::postgres::SocketTimeout;
use tierpool::{PgBuilder, PgPool, Tier};

const DEADLINE: Duration = Duration::from_millis(500);
/// Less than a goodbye takes whose server does not answer.
const NO_GOODBYE: Duration = Duration::from_millis(250);

fn pool(url: String, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    pool_of(4, "frozen", url, |builder| {
        let builder = builder
            .connect_timeout(2 * SECOND)
            .socket_timeout(SocketTimeout::After(2 * SECOND))
            // Every checkout asks the server for a sign of life.
            .automation(|tier| tier.test_on_check_out(true));
        change(builder)
    })
}

/// Has `count` connections open and idle.
fn fill(pool: &PgPool, count: usize) {
    let conns: Vec<_> = (0..count).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    drop(conns);
    eventually(LONG_BOUND, "all are idle", || pool.automation().gauges().idle == count as u32);
}

#[track_caller]
fn assert_in_time(pool: &PgPool, what: &str) {
    let ask = || took(|| pool.automation().get_timeout(DEADLINE).map(drop)).1;
    measured_within(DEADLINE + SLACK, what, || {
        thread::scope(|scope| {
            let callers: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            let longest = callers.into_iter().map(|caller| caller.join().unwrap()).max().unwrap();
            // Less than any limit of the server's. A second turn finds another pool, and excuses no more than a delay.
            assert!(longest <= DEADLINE + AT_ONCE, "{what}: {longest:?}");
            longest
        })
    });
}

#[track_caller]
fn assert_recovers(pool: &PgPool, what: &str) {
    let works = || pool.get(Tier::Automation).is_ok_and(|mut conn| conn.batch_execute("SELECT 1").is_ok());
    assert!(comes_true(LONG_BOUND, || (0..8).all(|_| works())), "{what}: {:?}", pool.automation().stats());
    let gauges = || pool.automation().gauges();
    assert!(comes_true(LONG_BOUND, || gauges().zombies == 0), "{what}: {:?}", gauges());
}

#[test]
fn checkouts_keep_their_deadline_whatever_is_frozen() {
    let cluster = cluster();
    for (way, url) in [("TCP", cluster.url()), ("the Unix socket", cluster.url_unix())] {
        for (frozen, freeze, thaw) in FREEZES {
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
            assert!(time <= NO_GOODBYE, "{kind}, over {way}: {time:?}");
        }
        let limit = Duration::from_millis(100);
        let (reports, time) = took(|| pool.close(limit));
        assert!(time <= limit + NO_GOODBYE, "over {way}: {time:?}, {reports:?}");
        let time = took(|| drop(pool)).1;
        assert!(time <= NO_GOODBYE, "over {way}: {time:?}");
        cluster.thaw_all();
        eventually(LONG_BOUND, "the server has no connection left", || cluster.connections("frozen/%") == 0);
    }
}
