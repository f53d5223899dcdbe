//! The endpoints of a pool whose server comes, freezes and goes.
#![cfg(all(feature = "http", feature = "postgres"))]

mod support;

use std::time::{Duration, Instant};

use support::cluster::cluster;
use support::pools::pool_of;
use support::wait::{LONG_BOUND, SECOND, eventually};
use support::web::get;
use tierpool::{Tier, http};

#[test]
fn whether_the_database_answers_is_asked_by_the_pool_and_a_frozen_one_holds_up_no_handler() {
    let cluster = cluster();
    let limit = |builder: tierpool::PgBuilder| builder.inquiry_timeout(SECOND).connect_timeout(SECOND);
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
    let begun = Instant::now();
    eventually(LONG_BOUND, "the frozen server is seen", || get(server.addr(), "/healthz").status == 503);
    for path in ["/health/pool", "/admin/metrics/database"] {
        let answer = get(server.addr(), path);
        assert!([200, 503].contains(&answer.status), "{answer:?}");
    }
    // A check at the most, and what is still fresh of the last: nothing waited for the server itself.
    assert!(begun.elapsed() < LONG_BOUND + Duration::from_secs(10));
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
    assert!(!told.to_string().contains("postgres://"), "no address of the server, and so no password in it");
}
