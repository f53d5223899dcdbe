//! No statement runs outside of its transaction: many sessions of two rows each, and some that only read, while BEGIN
//! is refused, errors are ignored, statements cancelled, backends ended and connections cut at any byte. Then each row
//! has its partner, of the same transaction, and the table agrees with what each session was told.
//!
//! In full, as CI runs it: `TIERPOOL_SESSIONS=100000 cargo test --all-features --test along -- --nocapture`.
#![cfg(feature = "postgres")]

#[path = "along/chaos.rs"]
mod chaos;
#[path = "along/ledger.rs"]
mod ledger;
#[path = "along/plan.rs"]
mod plan;
mod support;
#[path = "along/work.rs"]
mod work;

use std::env;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use chaos::Chaos;
use ledger::Ledger;
use plan::{Plan, Wire};
#[cfg(feature = "tls")]
use support::authority::Authority;
use support::bouncer::Bouncer;
use support::cluster::{APP_PASSWORD, Cluster};
use support::pools::pool_of;
use support::proxy::Proxy;
use support::stress;
use tierpool::PgPool;

/// As many as a debug build does within some seconds, over all places.
const USUAL_SESSIONS: i64 = 5_000;
const PLACES: i64 = 4;
const THREADS: u32 = 4;

const APP: &str = "along";

fn sessions() -> i64 {
    let given = env::var("TIERPOOL_SESSIONS").ok();
    let all =
        given.map_or(USUAL_SESSIONS, |text| text.parse().expect("TIERPOOL_SESSIONS must be a whole number"));
    all / PLACES
}

fn cluster(builder: support::cluster::Builder) -> Cluster {
    let cluster = builder.start().unwrap();
    cluster.client().batch_execute(ledger::TABLES).unwrap();
    cluster
}

/// Runs the sessions on a pool behind a proxy, and holds what they were told against the tables.
fn run(place: &str, cluster: &Cluster, url: String, proxy: &Proxy, wire: Wire) {
    let (seed, count) = (stress::seed(), sessions());
    let pool = pool_of(THREADS, APP, url, |builder| {
        // Every failure to open is of this test's making, and none may keep sessions from being made.
        builder.failure_threshold(0).connection_timeout(Duration::from_secs(20))
    });
    let ledger = Ledger::new(count);
    let (next, is_over) = (AtomicI64::new(0), AtomicBool::new(false));
    let disturbed = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| work(&pool, proxy, &ledger, &next, seed, wire))).collect();
        let chaos = Chaos { cluster, proxy, is_over: &is_over };
        let chaos = scope.spawn(move || chaos.run(seed));
        let ended: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Relaxed);
        let disturbed = chaos.join().unwrap();
        ended.into_iter().for_each(|ended| ended.unwrap());
        disturbed
    });
    pool.close(Duration::from_secs(20));
    proxy.pass();
    let sums = ledger.check(cluster, |key| Plan::of(seed, key, wire));
    println!("{place}: {sums:?}; {disturbed:?}");
    assert!(sums.committed >= count / 4, "{place}: {sums:?}");
    // A few sessions by way of trying need not meet with each of these.
    if count >= USUAL_SESSIONS / PLACES {
        assert!(sums.failed > count / 10 && sums.unknown > 0, "{place}: {sums:?}");
        assert!(wire == Wire::Secret || sums.refused > 0, "{place}: {sums:?}");
        assert!(
            disturbed.cancels > 0 && disturbed.ends > 0 && disturbed.resets > 0,
            "{place}: {disturbed:?}"
        );
    }
}

fn work(pool: &PgPool, proxy: &Proxy, ledger: &Ledger, next: &AtomicI64, seed: u64, wire: Wire) {
    while let Some(key) = Some(next.fetch_add(1, Relaxed)).filter(|key| *key < ledger.count()) {
        let plan = Plan::of(seed, key, wire);
        plan.trap.lay(proxy);
        ledger.note(key, work::session(pool, key, &plan));
    }
}

#[test]
fn on_postgresql_itself() {
    let cluster = cluster(Cluster::builder());
    let proxy = Proxy::start(cluster.port()).unwrap();
    run("direct", &cluster, cluster.plain_url_through(proxy.port()), &proxy, Wire::Plain);
}

#[cfg(feature = "tls")]
#[test]
fn over_tls() {
    let identity = Authority::new("ours").server(&["localhost"]);
    let builder = Cluster::builder()
        .setting("ssl", "on")
        .setting("ssl_cert_file", "own.crt")
        .setting("ssl_key_file", "own.key")
        .file("own.crt", &identity.cert)
        .file("own.key", &identity.key);
    let cluster = cluster(builder);
    let proxy = Proxy::start(cluster.port()).unwrap();
    let url = format!("{}?sslmode=require", cluster.url_through(proxy.port()));
    run("TLS", &cluster, url, &proxy, Wire::Secret);
}

fn behind_a_pgbouncer(mode: &str) {
    let cluster = cluster(Cluster::builder());
    let bouncer = Bouncer::over(&cluster, mode).setting("default_pool_size", "10").start();
    let proxy = Proxy::to(bouncer.address()).unwrap();
    let url = format!(
        "postgresql://app:{APP_PASSWORD}@127.0.0.1:{}/app?sslmode=disable&pgbouncer={mode}",
        proxy.port()
    );
    run(mode, &cluster, url, &proxy, Wire::Plain);
}

#[test]
fn behind_a_pgbouncer_in_session_mode() {
    behind_a_pgbouncer("session");
}

#[test]
fn behind_a_pgbouncer_in_transaction_mode() {
    behind_a_pgbouncer("transaction");
}
