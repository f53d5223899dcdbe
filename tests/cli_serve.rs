//! `tierpool serve`: all processes over HTTP, those that come and go and those that mean ill.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::admin::foreign_socket;
use support::child::{Program, as_child};
use support::prometheus::{assert_valid, series};
use support::tool::{ran, tool};
use support::wait::{LONG_BOUND, eventually};
use support::web::{get, request};
use tierpool::http::AdminOptions;
use tierpool::{MemoryManager, Tier, TieredPool};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

/// Says that this process is to have pools, and the name of both.
const APP: &str = "TIERPOOL_TEST_SERVE_APP";

/// No test of its own: two pools of one name behind one socket, and a connection out of one of them.
#[test]
fn has_two_pools_as_a_child() {
    let Ok(app) = std::env::var(APP) else { return };
    let pools = [1, 2].map(|_| {
        let builder = TieredPool::builder().total_connections(5).reserved(1);
        let builder = builder.automation(|tier| tier.base_size(4).max_overflow(0));
        let pool = builder.build(|_| MemoryManager).unwrap();
        drop(pool.get(Tier::Automation).unwrap());
        AdminOptions::new(&app).open(&pool).unwrap();
        pool
    });
    let mut held = pools[0].get(Tier::Automation).unwrap();
    held.tag("page one");
    // To the end of whoever started it.
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0);
}

fn process(folder: &Path, app: &str) -> Program {
    let mut command = as_child("has_two_pools_as_a_child");
    command.env(APP, app).env("XDG_RUNTIME_DIR", folder).stdin(Stdio::piped()).stdout(Stdio::null());
    Program(command.spawn().unwrap())
}

fn serve(folder: &Path, arguments: &[&str]) -> Command {
    tool(PROGRAM, folder, &[&["serve", "--listen", "127.0.0.1:0"], arguments].concat())
}

/// Starts it, and returns where it listens.
fn served(folder: &Path, arguments: &[&str]) -> (Program, SocketAddr) {
    let mut child = Program(serve(folder, arguments).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim_end().strip_prefix("serving on http://").unwrap_or_else(|| panic!("{line:?}"));
    (child, addr.parse().unwrap())
}

#[test]
fn all_processes_are_told_by_one_address_and_one_that_is_killed_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, addr) = served(folder.path(), &[]);
    assert_eq!(get(addr, "/health/pool").status, 503, "nobody is there yet");
    assert!(get(addr, "/").body.contains("no process of this user"));
    let told = || {
        let metrics = get(addr, "/metrics").body;
        assert_valid(&metrics);
        series(&metrics).into_iter().find(|(name, _)| name == "tierpool_processes").map(|(_, value)| value)
    };
    assert_eq!(told(), Some(0.0), "a scraper can tell that nobody is there");
    let both = [process(folder.path(), "news"), process(folder.path(), "billing")];
    let pids = both.each_ref().map(|process| process.0.id());
    let held = |pid: u32, id: u32| {
        let pool = format!("process=\"{pid}\",id=\"{id}\"");
        let all = series(&get(addr, "/metrics").body).into_iter();
        let mut of_pool =
            all.filter(|(name, _)| name.starts_with("db_pool_checked_out{") && name.contains(&pool));
        of_pool.find(|(name, _)| name.contains("automation")).map(|(_, value)| value)
    };
    for pid in pids {
        eventually(LONG_BOUND, "both its pools are told", || {
            held(pid, 1) == Some(1.0) && held(pid, 2) == Some(0.0)
        });
    }
    assert_eq!(told(), Some(2.0));
    let metrics = get(addr, "/metrics");
    assert_valid(&metrics.body);
    assert_eq!(metrics.body.matches("# TYPE db_pool_checked_out gauge\n").count(), 1);
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"), "{metrics:?}");

    let health = get(addr, "/health/pool");
    assert_eq!((health.status, &health.json()["healthy"]), (200, &true.into()), "{health:?}");
    let pools = health.json()["pools"].as_array().unwrap().clone();
    assert_eq!(pools.len(), 4);
    assert!(pools.iter().all(|pool| pool["told"]["message"] == "Pool healthy"), "{health:?}");
    let everything = get(addr, "/admin/metrics/database");
    let tags = everything.body.matches("\"page one\"").count();
    assert_eq!((everything.status, tags), (200, 2), "{everything:?}");
    let list = get(addr, "/").body;
    assert!(list.contains(&format!("billing, process {}, pool billing: Pool healthy", pids[1])), "{list}");

    assert_eq!(request(addr, "POST", "/metrics", "").status, 405);
    assert_eq!(get(addr, "/suspend").status, 404, "nothing may be done here");
    let of_another =
        support::web::send(addr, b"GET /admin/metrics/database HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(of_another.unwrap().status, 403);
    let [news, _billing] = both;
    drop(news); // by SIGKILL
    eventually(LONG_BOUND, "one is left", || held(pids[0], 1).is_none() && held(pids[1], 1).is_some());
    assert_eq!(get(addr, "/health/pool").status, 200);
}

/// An answer of HTTP, whatever was asked.
fn answers(body: &'static str) -> impl Fn(UnixStream) + Send + 'static {
    move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n{body}");
    }
}

#[test]
fn processes_that_tell_rubbish_spoil_no_answer_and_one_that_tells_nothing_delays_it_for_a_bounded_time() {
    let folder = tempfile::tempdir().unwrap();
    let rubbish = r#"{"pools":[{"id":1,"name":"\u001b[2J","told":"db_pool_checked_out{process=\"1\n"}]}"#;
    foreign_socket(folder.path(), "rubbish.11.sock", answers(rubbish));
    foreign_socket(folder.path(), "json.12.sock", answers(r#"{"pools":{"id":[]}}"#));
    foreign_socket(folder.path(), "list.13.sock", answers("[7]"));
    foreign_socket(
        folder.path(),
        "endless.14.sock",
        |mut stream| while stream.write_all(&[b'a'; 1 << 16]).is_ok() {},
    );
    foreign_socket(folder.path(), "nothing.15.sock", |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let news = process(folder.path(), "news");
    let (_server, addr) = served(folder.path(), &[]);
    let pid = format!("process=\"{}\"", news.0.id());
    eventually(LONG_BOUND, "the good one is told", || get(addr, "/metrics").body.contains(&pid));
    let metrics = get(addr, "/metrics");
    assert_valid(&metrics.body);
    assert!(!metrics.body.contains("process=\"11\""), "{metrics:?}");
    let list = get(addr, "/").body;
    assert!(list.contains("news, process") && !list.contains('\x1b'), "{list:?}");
    let health = get(addr, "/health/pool");
    assert_eq!(health.status, 503, "one that says nothing of its health is not healthy: {health:?}");
    assert_eq!(get(addr, "/admin/metrics/database").status, 200);
}

#[test]
fn a_token_is_asked_for_and_ctrl_c_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "correct-horse-battery\n").unwrap();
    let (mut server, addr) = served(folder.path(), &["--token-file", file.to_str().unwrap()]);
    let _news = process(folder.path(), "news");
    let everything = "/admin/metrics/database";
    assert_eq!(get(addr, everything).status, 401);
    let bearer = "Authorization: Bearer correct-horse-battery\r\n";
    assert_eq!(request(addr, "GET", everything, bearer).status, 200);
    assert_eq!(get(addr, "/metrics").status, 200);
    kill_process(Pid::from_child(&server.0), Signal::INT).unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(130));

    std::fs::write(&file, "too short").unwrap();
    let told = ran(&mut serve(folder.path(), &["--token-file", file.to_str().unwrap()]));
    assert!(told.code == Some(2) && !told.tells("too short"), "{told:?}");
    let beyond = ran(&mut tool(PROGRAM, folder.path(), &["serve", "--listen", "0.0.0.0:0"]));
    assert!(
        beyond.code == Some(2) && beyond.err.contains("beyond loopback needs a bearer token"),
        "{beyond:?}"
    );
    for nowhere in ["", "nowhere", "127.0.0.1:99999"] {
        let told = ran(&mut tool(PROGRAM, folder.path(), &["serve", "--listen", nowhere]));
        assert_eq!(told.code, Some(2), "{told:?}");
    }
}
