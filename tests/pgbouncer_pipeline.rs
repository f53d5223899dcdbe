//! Behind a PgBouncer in transaction mode: what the pool sends ahead of an answer reaches no other client's server.
#![cfg(feature = "postgres")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use postgres::types::Type;
use support::bouncer::Bouncer;
use support::cluster::cluster;
use support::proxy::Proxy;
use support::wait::{LONG_BOUND, MS, Over};
use tierpool::config::PgBouncer;
use tierpool::postgres::{Session, SessionOptions};
use tierpool::{PgPool, Tier};

/// Larger than what PgBouncer passes on at a time, so that an answer reaches it amid the request.
const PAGE: usize = 8 << 20;
const PAGES: i64 = 5;

#[test]
fn a_commit_that_nobody_waits_for_has_its_answer_before_the_next_request() {
    let cluster = cluster();
    cluster.client().batch_execute("CREATE TABLE page (text text NOT NULL)").unwrap();
    // The answers that end transactions come late.
    let proxy = Proxy::start(cluster.port()).unwrap();
    let bouncer = Bouncer::over(&cluster, "transaction")
        .through(proxy.port())
        .setting("default_pool_size", "2")
        .start();
    let pool = PgPool::builder()
        .url(bouncer.url())
        .pgbouncer(PgBouncer::Transaction)
        .connection_timeout(LONG_BOUND)
        .base_size(1)
        .max_overflow(0)
        .build()
        .unwrap();
    let mut other = bouncer.client();
    proxy.delay(20 * MS);
    let is_over = AtomicBool::new(false);
    let page = "x".repeat(PAGE);
    let reads = SessionOptions::new().read_only(true);
    thread::scope(|scope| {
        let over = Over(&is_over);
        let other = scope.spawn(|| {
            let mut asked = 0_i64;
            while !is_over.load(Relaxed) {
                asked += 1;
                let rows = other.query_typed(&format!("SELECT {asked}::bigint"), &[]).unwrap();
                assert_eq!((rows.len(), rows[0].get::<_, i64>(0)), (1, asked), "another client's answer");
            }
        });
        for _ in 0..PAGES {
            pool.session_with(Tier::Automation, &reads, |tx| tx.query_typed("SELECT 1", &[])).unwrap();
            let insert = |tx: &mut Session<'_>| {
                tx.execute_typed("INSERT INTO page VALUES ($1)", &[(&page, Type::TEXT)])
            };
            if let Err(error) = pool.session(insert) {
                panic!("{error:#}\n{}", bouncer.log());
            }
        }
        drop(over);
        other.join().unwrap();
    });
    let count: i64 = cluster.client().query_one("SELECT count(*) FROM page", &[]).unwrap().get(0);
    assert_eq!(count, PAGES);
}
