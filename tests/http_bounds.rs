//! What a client may not do to the endpoints, and that none of it costs another client anything.
#![cfg(feature = "http")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use support::wait::{BOUND, LONG_BOUND, MS, SECOND, comes_true, eventually};
use support::web::{Answer, connect, get, request, send};
use tierpool::http::{Server, ServerOptions};
use tierpool::{MemoryManager, Tier, TieredPool};

fn served(options: ServerOptions) -> (TieredPool<MemoryManager>, Server) {
    let pool = TieredPool::builder().build(|_| MemoryManager).unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    let server = options.serve(&pool, "127.0.0.1:0").unwrap();
    (pool, server)
}

/// Whether the other side has closed a connection on which nothing more is to come.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0; 1024]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn unknown_paths_are_404_and_other_methods_405() {
    let (_pool, server) = served(ServerOptions::new());
    for path in
        ["/nowhere", "/health", "/healthz/", "/health/pool/x", "/admin", "/../etc/passwd", "/%2e%2e/x", "*"]
    {
        assert_eq!(get(server.addr(), path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "NONSENSE"] {
        let answer = request(server.addr(), method, "/health/pool", "Content-Length: 0\r\n");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let head = request(server.addr(), "HEAD", "/health/pool", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(get(server.addr(), "/health/pool?verbose=1").status, 200, "a query is no other path");
}

#[test]
fn a_header_of_64_kib_is_431() {
    let (_pool, server) = served(ServerOptions::new());
    let long = format!("X-Long: {}\r\n", "x".repeat(64 * 1024));
    assert_eq!(request(server.addr(), "GET", "/health/pool", &long).status, 431);
    let many = "X-Many: x\r\n".repeat(1000);
    assert_eq!(request(server.addr(), "GET", "/health/pool", &many).status, 431);
    assert_eq!(get(server.addr(), "/health/pool").status, 200);
}

#[test]
fn what_is_no_http_is_refused_and_a_body_is_not_waited_for() {
    let (_pool, server) = served(ServerOptions::new());
    let garbage = send(server.addr(), b"\x16\x03\x01\x00\xa5 hello\r\n\r\n");
    assert!(garbage.is_err() || garbage.is_ok_and(|answer| answer.status == 400));
    let announced = request(server.addr(), "POST", "/health/pool", "Content-Length: 1000000000\r\n");
    assert_eq!(announced.status, 405);
    let text = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(3);
    let first = send(server.addr(), text.as_bytes()).unwrap();
    assert_eq!((first.status, first.body.matches("HTTP/1.1").count()), (404, 0), "one request a connection");
}

#[test]
fn a_head_that_says_two_things_at_once_is_refused() {
    let (_pool, server) = served(ServerOptions::new().token("a token of some length".replace(' ', "-")));
    let right = "Authorization: Bearer a-token-of-some-length\r\n";
    let answered = |headers: &str| {
        let text = format!("GET /admin/metrics/database HTTP/1.1\r\n{headers}\r\n");
        send(server.addr(), text.as_bytes()).unwrap().status
    };
    assert_eq!(answered(&format!("Host: localhost\r\n{right}")), 200);
    for headers in [
        format!("Host: localhost\r\n{right}Authorization: Bearer another\r\n"),
        format!("Host: localhost\r\nHost: another\r\n{right}"),
        right.to_owned(),
    ] {
        assert_eq!(answered(&headers), 400, "{headers}");
    }
    let old = send(server.addr(), b"GET /health/pool HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(old.status, 200, "HTTP/1.0 has no Host");
}

#[test]
fn a_request_dribbled_byte_by_byte_is_ended_by_its_time_and_delays_nobody() {
    let (_pool, server) = served(ServerOptions::new().header_timeout(SECOND).max_connections(1));
    let mut slow = connect(server.addr());
    slow.set_nonblocking(true).unwrap();
    let mut bytes = b"GET /health/pool HTTP/1.1\r\nX: ".iter().copied().chain(std::iter::repeat(b'x'));
    let ended = comes_true(LONG_BOUND, || {
        thread::sleep(20 * MS);
        assert_eq!(get(server.addr(), "/health/pool").status, 200);
        slow.write_all(&[bytes.next().unwrap()]).is_err() || is_closed(&mut slow)
    });
    assert!(ended, "it was served for as long as it liked");
    eventually(BOUND, "its place is free again", || {
        get(server.addr(), "/admin/metrics/database").status == 200
    });
}

#[test]
fn an_answer_that_nobody_reads_is_ended_by_the_total_time() {
    let options = ServerOptions::new().total_timeout(SECOND).max_connections(1);
    let (_pool, server) = served(options);
    let mut silent = connect(server.addr());
    silent.write_all(b"GET /health/pool HTTP/1.1\r\n").unwrap();
    // The head's own limit is 5 s.
    eventually(LONG_BOUND, "the silent one is let go", || is_closed(&mut silent));
    eventually(BOUND, "its place is free again", || {
        get(server.addr(), "/admin/metrics/database").status == 200
    });
}

/// Connections that say nothing, as many as this, all at once.
fn silent(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| connect(addr)).collect()
}

#[test]
fn of_a_thousand_connections_most_are_refused_and_health_still_answers() {
    let (_pool, server) = served(
        ServerOptions::new().header_timeout(Duration::from_secs(600)).total_timeout(Duration::from_secs(600)),
    );
    let mut crowd = silent(server.addr(), 1000);
    for _ in 0..20 {
        assert_eq!(get(server.addr(), "/health/pool").status, 200);
        assert_eq!(get(server.addr(), "/healthz").status, 200);
    }
    let refused = get(server.addr(), "/admin/metrics/database");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    let mut closed = 0;
    eventually(LONG_BOUND, "all but 80 are closed", || {
        closed = crowd.iter_mut().map(is_closed).filter(|closed| *closed).count();
        closed >= 1000 - 64 - 16
    });
    assert!(closed <= 1000 - 64, "{closed} closed: those within the bound were not let be");
    drop(crowd);
    eventually(LONG_BOUND, "all is served again", || {
        get(server.addr(), "/admin/metrics/database").status == 200
    });
}

#[test]
fn an_ordinary_place_is_never_taken_from_who_has_it() {
    let (_pool, server) = served(ServerOptions::new().max_connections(1));
    let mut first = connect(server.addr());
    first.write_all(b"GET /admin/metrics/database HTTP/1.1\r\nHost: localhost\r\n").unwrap();
    let crowd = silent(server.addr(), 100);
    assert_eq!(get(server.addr(), "/health/pool").status, 200);
    first.write_all(b"\r\n").unwrap();
    assert_eq!(Answer::read(&mut first).unwrap().status, 200);
    drop(crowd);
}
