//! The endpoints: what each tells, to whom, and that they end with their pool.
#![cfg(feature = "http")]

mod support;

use std::time::Duration;

use support::scripted::{Call, ScriptedManager};
use support::wait::{BOUND, eventually, thread_names};
use support::web::{get, request};
use tierpool::http::{self, ServerOptions};
use tierpool::{MemoryManager, Tier, TieredPool};

/// Two tiers of 4 and 1, whose server has been seen.
fn pool() -> TieredPool<MemoryManager> {
    let builder = TieredPool::builder().total_connections(5).reserved(1);
    let pool = builder.automation(|tier| tier.base_size(4).max_overflow(0)).build(|_| MemoryManager).unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    drop(pool.get(Tier::Adhoc).unwrap());
    pool
}

#[test]
fn the_health_of_a_pool_is_its_verdict_and_load() {
    let pool = pool();
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let answer = get(server.addr(), "/health/pool");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        (answer.header("cache-control"), answer.header("connection")),
        (Some("no-store"), Some("close"))
    );
    let stats = &answer.json()["pool_stats"];
    assert_eq!(answer.json()["message"], "Pool healthy");
    assert_eq!(
        (&stats["pool_size"], &stats["checked_out"], &stats["available"]),
        (&4.into(), &0.into(), &4.into())
    );

    let out: Vec<_> = (0..4).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    let answer = get(server.addr(), "/health/pool");
    assert_eq!((answer.status, answer.json()["healthy"].as_bool()), (503, Some(true)));
    assert_eq!(answer.json()["message"], "High load: 4 of 4 connections in use (100.0 %)");
    drop(out);
    assert!(pool.automation().suspend());
    let answer = get(server.addr(), "/health/pool");
    assert_eq!((answer.status, answer.json()["healthy"].as_bool()), (503, Some(false)));
}

#[test]
fn everything_is_told_as_json_with_holders_and_queues() {
    let pool = pool();
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let mut out: Vec<_> = (0..4).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    out[0].tag("nightly \"import\"\u{1b}[31m");
    std::thread::scope(|scope| {
        let waiter = std::thread::Builder::new().name("a waiter".into());
        let waiting = waiter.spawn_scoped(scope, || drop(pool.get(Tier::Automation).unwrap())).unwrap();
        eventually(BOUND, "it waits", || pool.automation().gauges().waiting == 1);
        let told = get(server.addr(), "/admin/metrics/database").json();
        assert_eq!((&told["in_use"], &told["total_possible"]), (&4.into(), &4.into()));
        assert_eq!(told["automation"]["gauges"]["waiting"], 1);
        assert_eq!(told["queues"]["automation"][0]["thread"], "a waiter");
        assert!(told["queues"]["automation"][0]["location"].as_str().unwrap().contains("http.rs:"));
        let holders = told["holders"]["automation"].as_array().unwrap();
        assert_eq!((holders.len(), told["holders"]["adhoc"].as_array().unwrap().len()), (4, 0));
        let as_shown = pool.automation().holders().into_iter().find_map(|holder| holder.tag).unwrap();
        assert!(
            !as_shown.contains('\u{1b}') && holders.iter().any(|holder| holder["tag"] == as_shown),
            "{told}"
        );
        out.clear();
        waiting.join().unwrap();
    });
    let told = get(server.addr(), "/admin/metrics/database").json();
    assert_eq!(told["holders"]["automation"].as_array().unwrap().len(), 0);
}

#[test]
fn a_scrape_is_the_text_of_the_metrics() {
    let pool = pool();
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let _out = pool.get(Tier::Automation).unwrap();
    let scrape = get(server.addr(), "/metrics");
    assert_eq!((scrape.status, scrape.header("content-type")), (200, Some(tierpool::metrics::CONTENT_TYPE)));
    let line = scrape.body.lines().find(|line| line.starts_with("db_pool_checked_out{")).unwrap();
    assert!(line.contains("tier=\"automation\"") && line.ends_with("} 1"), "{line}");
    let names = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&scrape.body), names(&tierpool::metrics::text(&pool)));
}

#[test]
fn no_request_calls_the_manager() {
    let manager = ScriptedManager::new();
    let pool = TieredPool::builder().build(|_| manager.clone()).unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let before = (manager.calls(Call::Connect), manager.events().len());
    for path in
        ["/health/pool", "/healthz", "/metrics", "/admin/metrics/database", "/admin/metrics/history", "/"]
    {
        assert_eq!(get(server.addr(), path).status, 200, "{path}");
    }
    assert_eq!((manager.calls(Call::Connect), manager.events().len()), before);
}

#[test]
fn a_manager_that_cannot_be_asked_answers_by_its_last_sign_of_life() {
    let pool = TieredPool::builder().build(|_| MemoryManager).unwrap();
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let answer = get(server.addr(), "/healthz");
    assert_eq!((answer.status, &answer.json()["message"]), (503, &"not seen yet".into()));
    drop(server);
    drop(pool.get(Tier::Adhoc).unwrap());
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let answer = get(server.addr(), "/healthz");
    assert_eq!((answer.status, &answer.json()["healthy"]), (200, &true.into()));
    assert!(answer.json()["checked_seconds_ago"].as_f64().unwrap() < 60.0);
}

const TOKEN: &str = "0123456789abcdef";

#[test]
fn beyond_loopback_admin_wants_the_token_and_nothing_else_does() {
    let pool = pool();
    let refused = http::serve(&pool, "0.0.0.0:0").unwrap_err();
    assert!(refused.is_invalid_config());
    assert!(refused.to_string().contains("beyond loopback needs a bearer token"), "{refused}");
    let server = ServerOptions::new().token(TOKEN).serve(&pool, "0.0.0.0:0").unwrap();
    let addr = ([127, 0, 0, 1], server.addr().port()).into();
    assert_eq!(get(addr, "/health/pool").status, 200);
    let admin = |header: &str| request(addr, "GET", "/admin/metrics/database", header);
    let refused = admin("");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(admin("Authorization: Bearer 0123456789abcdeg\r\n").status, 401);
    assert_eq!(admin(&format!("Authorization: Basic {TOKEN}\r\n")).status, 401);
    assert_eq!(admin(&format!("Authorization: Bearer {TOKEN}\r\n")).status, 200);
}

#[test]
fn a_token_that_is_short_or_missing_is_refused_at_start_and_never_shown() {
    let pool = pool();
    let short = &TOKEN[1..];
    for options in [ServerOptions::new().token(short), ServerOptions::new().token_file("/nowhere/token")] {
        let refused = options.serve(&pool, "127.0.0.1:0").unwrap_err();
        let text = format!("{refused} {options:?}");
        assert!(refused.is_invalid_config() && !text.contains(short), "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    let server = ServerOptions::new().token_file(&path).serve(&pool, "127.0.0.1:0").unwrap();
    assert_eq!(
        get(server.addr(), "/admin/metrics/database").status,
        401,
        "also on loopback, once there is one"
    );
    let header = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(request(server.addr(), "GET", "/admin/metrics/database", &header).status, 200);
}

#[test]
fn every_fault_of_a_start_is_told_at_once() {
    let pool = pool();
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let taken = http::serve(&pool, server.addr()).unwrap_err().to_string();
    let addr = server.addr().to_string();
    assert!(taken.contains(&addr) && taken.contains("cannot be listened on"), "{taken}");
    let options = ServerOptions::new().max_connections(0).header_timeout(Duration::ZERO).token("short");
    let faults = options.serve(&pool, "no address").unwrap_err();
    assert_eq!(faults.faults().iter().count(), 4, "{faults}");
    let open = ServerOptions::new().max_connections(0).serve(&pool, "0.0.0.0:0").unwrap_err();
    assert_eq!(open.faults().iter().count(), 2, "a limit's fault hides no other: {open}");
}

#[test]
fn the_longest_limits_of_time_serve() {
    let pool = pool();
    let options = ServerOptions::new().header_timeout(Duration::MAX).total_timeout(Duration::MAX);
    let server = options.serve(&pool, "127.0.0.1:0").unwrap();
    assert_eq!(get(server.addr(), "/health/pool").status, 200);
}

#[test]
fn another_sites_name_for_this_machine_reads_nothing() {
    let pool = pool();
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let under = |host: &str, path: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        support::web::send(server.addr(), text.as_bytes()).unwrap().status
    };
    assert_eq!(under("evil.example", "/admin/metrics/database"), 403);
    assert_eq!(under("evil.example", "/health/pool"), 200, "as a probe by any name");
    assert_eq!(under("localhost:9464", "/admin/metrics/database"), 200);
    let whole = "http://evil.example/admin/metrics/database";
    assert_eq!(under("localhost", whole), 403, "the target says whom it is for");
}

fn server_threads() -> usize {
    thread_names().iter().filter(|name| name.starts_with("tierpool-http")).count()
}

/// In one test, since others in this process have servers too: run as a child, alone.
#[test]
fn a_server_ends_when_it_is_closed_and_when_its_pool_goes() {
    const CHILD: &str = "TIERPOOL_TEST_HTTP_ENDS";
    if std::env::var_os(CHILD).is_none() {
        let name = "a_server_ends_when_it_is_closed_and_when_its_pool_goes";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        assert!(child.args([name, "--exact"]).env(CHILD, "1").status().unwrap().success());
        return;
    }
    let manager = ScriptedManager::new();
    let pool = TieredPool::builder().build(|_| manager.clone()).unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let addr = server.addr();
    // A thread has its name a moment after it was started, and is listed a moment after it was joined.
    eventually(BOUND, "there is one thread", || server_threads() == 1);
    // Of a client that says nothing.
    let silent = support::web::connect(addr);
    eventually(BOUND, "it is let in", || get(addr, "/health/pool").status == 200);
    server.close();
    eventually(BOUND, "its thread has ended", || server_threads() == 0);
    assert!(std::net::TcpStream::connect(addr).is_err(), "nobody listens");
    drop(silent);

    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    let clone = pool.clone();
    drop(pool);
    assert_eq!(get(server.addr(), "/health/pool").status, 200, "a clone is still there");
    drop(clone);
    eventually(BOUND, "the thread ends with the pool", || server_threads() == 0);
    assert_eq!(manager.live(), 0, "the server kept no connection open");
    assert!(std::net::TcpStream::connect(server.addr()).is_err());
    drop(server);
}
