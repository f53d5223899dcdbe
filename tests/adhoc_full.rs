//! A server that has no connection left as a person asks for one.
#![cfg(feature = "postgres")]

mod support;

use support::cluster::cluster;
use support::hostile::{HostileServer, Step, frames};
use support::proxy::Proxy;
use support::wait::{LONG_BOUND, SECOND, eventually};
use tierpool::config::PgBouncer;
use tierpool::stats::OpenFailures;
use tierpool::{PgPool, Tier};

/// A server that refuses so many for want of room, and then takes all.
fn full_for(first: usize) -> HostileServer {
    let text = "sorry, too many clients already";
    let refuses = vec![Step::Startup, Step::Send(frames::error("FATAL", "53300", text)), Step::Close];
    let takes = vec![Step::Startup, Step::Send(frames::greeting(b'I')), Step::Serve(Vec::new())];
    let scripts = [vec![refuses; first], vec![takes]].concat();
    HostileServer::start(scripts, Vec::new()).expect("a server on loopback")
}

/// How often opening failed, by a checkout of a tier that succeeds.
fn failures(server: &HostileServer, tier: Tier) -> u64 {
    // Nothing is asked of a new connection.
    let builder = PgPool::builder().url(server.url()).pgbouncer(PgBouncer::Off);
    let pool = builder.connection_timeout(LONG_BOUND).build_unchecked().unwrap();
    drop(pool.get(tier).unwrap());
    let OpenFailures { exhausted, transient, permanent, .. } = pool.tier(tier).stats().open_failures;
    assert_eq!((transient, permanent), (0, 0));
    exhausted
}

#[test]
fn a_person_is_let_in_at_the_third_try_and_no_failure_is_counted() {
    let server = full_for(2);
    assert_eq!(failures(&server, Tier::Adhoc), 0);
    assert_eq!(server.connections(), 3);
}

#[test]
fn the_third_refusal_is_told_as_one_failure() {
    let server = full_for(3);
    assert_eq!(failures(&server, Tier::Adhoc), 1);
    assert_eq!(server.connections(), 4);
}

#[test]
fn automation_leaves_a_full_server_alone_until_its_back_off_is_over() {
    let server = full_for(1);
    assert_eq!(failures(&server, Tier::Automation), 1);
    assert_eq!(server.connections(), 2);
}

#[test]
fn the_limit_of_a_role_is_tried_three_times_an_opening_and_opens_no_breaker() {
    let cluster = cluster();
    cluster.admin().batch_execute("CREATE ROLE person LOGIN PASSWORD 'p' CONNECTION LIMIT 0").unwrap();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = PgPool::builder()
        .url(cluster.url())
        .adhoc_url(format!("postgresql://person:p@127.0.0.1:{}/app?sslmode=disable", proxy.port()))
        .connection_timeout(LONG_BOUND)
        .build_unchecked()
        .unwrap();
    let error = pool.adhoc().get_timeout(2 * SECOND).unwrap_err();
    let told = format!("{error:#}");
    assert!(error.is_timeout() && told.contains("too many connections for role \"person\""), "{told}");
    let failed = || pool.adhoc().stats().open_failures.exhausted as usize;
    eventually(LONG_BOUND, "nothing under way", || pool.adhoc().gauges().opening == 0);
    assert!(failed() > 0);
    assert_eq!(proxy.accepted(), 3 * failed());
    assert_eq!(pool.adhoc().stats().breaker_openings, 0);
    cluster.admin().batch_execute("ALTER ROLE person CONNECTION LIMIT 1").unwrap();
    pool.get(Tier::Adhoc).unwrap().batch_execute("SELECT 1").unwrap();
}
