//! The endpoints of a pool whose server comes, freezes and goes.
#![cfg(all(feature = "http", feature = "postgres"))]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use support::cluster::{APP_PASSWORD, cluster};
use support::pools::pool_of;
use support::wait::{LONG_BOUND, SECOND, eventually};
use support::web::{get, request};
use tierpool::http::{self, ServerOptions};
use tierpool::{PgPool, Tier};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn whether_the_database_answers_is_asked_by_the_pool_and_a_frozen_one_holds_up_no_handler() {
    let cluster = cluster();
    // No question that is asked of a frozen server ends by itself while this test is there.
    let limit = |builder: tierpool::PgBuilder| builder.inquiry_timeout(HOUR).connect_timeout(HOUR);
    let pool = pool_of(2, "seen", cluster.url(), limit);
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let answer = get(server.addr(), "/healthz");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json()["message"].as_str().unwrap().starts_with("the server answered in "), "{answer:?}");
    let before = pool.adhoc().stats().checkouts;
    for _ in 0..5 {
        assert_eq!(get(server.addr(), "/health/pool").status, 200);
    }
    assert_eq!(pool.adhoc().stats().checkouts, before, "no handler took a connection");

    cluster.freeze_all();
    eventually(LONG_BOUND, "the frozen server is seen", || get(server.addr(), "/healthz").status == 503);
    // The question is under way and stays so; whoever waited for it would have no answer within the client's limit.
    for path in ["/healthz", "/health/pool", "/metrics", "/admin/metrics/database"] {
        let answer = get(server.addr(), path);
        assert!([200, 503].contains(&answer.status), "{answer:?}");
    }
    cluster.thaw_all();
    eventually(LONG_BOUND, "it answers again", || get(server.addr(), "/healthz").status == 200);
}

#[test]
fn a_request_tells_the_same_as_the_pool() {
    let cluster = cluster();
    let pool = pool_of(4, "seen", cluster.url(), |builder| builder);
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let mut held = pool.get(Tier::Automation).unwrap();
    held.tag("held still");
    let (told, stats) = (get(server.addr(), "/admin/metrics/database").json(), pool.get_database_stats());
    assert_eq!((&told["in_use"], &told["available"]), (&stats.in_use.into(), &stats.available.into()));
    assert_eq!(told["automation"]["opened"], stats.automation.opened);
    assert_eq!(told["holders"]["automation"][0]["tag"], "held still");
    assert_eq!(told["verdict"], "Healthy");
    assert_no_secret(server.addr(), &cluster.url());
}

/// Of all there is, that it tells neither the password nor the URL.
fn assert_no_secret(addr: SocketAddr, url: &str) {
    assert!(url.contains("postgresql://") && url.contains(APP_PASSWORD));
    for path in [
        "/",
        "/page.js",
        "/health/pool",
        "/healthz",
        "/metrics",
        "/admin/metrics/database",
        "/admin/metrics/history",
    ] {
        let told = get(addr, path).body;
        assert!(!told.contains("postgresql://") && !told.contains(APP_PASSWORD), "{path}: {told}");
    }
}

#[test]
fn a_refused_log_in_is_told_without_the_password() {
    let cluster = cluster();
    let pool = pool_of(2, "seen", cluster.url(), |builder| builder);
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    cluster.admin().batch_execute("ALTER ROLE app PASSWORD 'another'").unwrap();
    cluster.terminate_backends();
    eventually(LONG_BOUND, "the refusal is told", || {
        let _ = pool.get(Tier::Automation);
        get(server.addr(), "/admin/metrics/database").body.contains("password authentication failed")
    });
    assert_no_secret(server.addr(), &cluster.url());
}

#[test]
fn a_good_database_stays_healthy_while_people_have_all_of_the_reserve_or_it_lends_nothing() {
    let cluster = cluster();
    let limit = |builder: tierpool::PgBuilder| builder.inquiry_timeout(SECOND).connect_timeout(SECOND);
    let pool = pool_of(2, "seen", cluster.url(), limit);
    // A server for each check, since one that was asked a moment ago shows what it knows.
    let asked = || get(http::serve(&pool, "127.0.0.1:0").unwrap().addr(), "/healthz");
    let out: Vec<_> = (0..pool.reserved()).map(|_| pool.get(Tier::Adhoc).unwrap()).collect();
    let over_automation = asked();
    assert_eq!(over_automation.status, 200, "{over_automation:?}");
    let all: Vec<_> = (0..2).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    let by_contact = asked();
    assert_eq!(by_contact.status, 200, "{by_contact:?}");
    drop((out, all));
    assert!(pool.adhoc().suspend());
    let suspended = asked();
    assert_eq!(suspended.status, 200, "{suspended:?}");
    cluster.freeze_all();
    eventually(LONG_BOUND, "a frozen server is seen over automation", || asked().status == 503);
    cluster.thaw_all();
}

#[test]
fn whoever_may_not_read_all_learns_neither_who_has_connections_nor_where_the_server_is() {
    let builder = PgPool::builder().url("postgresql://somebody@127.0.0.1:1/secret").app_name("seen");
    let pool = builder.inquiry_timeout(SECOND).connect_timeout(SECOND).build_unchecked().unwrap();
    let server = ServerOptions::new().token("0123456789abcdef").serve(&pool, "127.0.0.1:0").unwrap();
    for path in ["/healthz", "/health/pool"] {
        let told = get(server.addr(), path);
        assert_eq!(told.status, 503, "{told:?}");
        for secret in ["127.0.0.1", "refused (os", "somebody", "http_postgres.rs"] {
            assert!(!told.body.contains(secret), "{path}: {told:?}");
        }
        let header = "Authorization: Bearer 0123456789abcdef\r\n";
        let told = request(server.addr(), "GET", path, header);
        assert!(told.body.contains("127.0.0.1"), "{path}: {told:?}");
    }
}
