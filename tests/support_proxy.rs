//! The proxy that fault tests put between pool and server does what it is told.

mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use support::proxy::{Admission, Direction, Proxy};
use support::wait::{BOUND, eventually, thread_names, took};

const SILENCE: Duration = Duration::from_millis(200);

/// A server that sends back what it gets. Its threads end with their connections.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    port
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn send(mut stream: &TcpStream) {
    stream.write_all(b"ping").unwrap();
}

/// Waits for an answer for a time.
fn receive(mut stream: &TcpStream, limit: Duration) -> io::Result<()> {
    let mut answer = [0; 4];
    stream.set_read_timeout(Some(limit)).unwrap();
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"ping");
    Ok(())
}

fn answers(stream: &TcpStream) -> bool {
    send(stream);
    receive(stream, BOUND).is_ok()
}

fn is_silent(stream: &TcpStream) -> bool {
    receive(stream, SILENCE).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn passes_large_amounts_and_the_end() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    let sent: Vec<u8> = (0..4_000_000_u32).map(|n| n as u8).collect();
    let mut sender = stream.try_clone().unwrap();
    let copy = sent.clone();
    let sender = thread::spawn(move || {
        sender.write_all(&copy).unwrap();
        sender.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.read_to_end(&mut got).unwrap();
    sender.join().unwrap();
    assert!(got == sent, "{} of {} bytes came back, or others", got.len(), sent.len());
    assert_eq!(proxy.accepted(), 1);
    eventually(BOUND, "the ended connection is forgotten", || proxy.open() == 0);
}

#[test]
fn deaf_holds_present_connections_until_resumed() {
    let proxy = Proxy::start(echo()).unwrap();
    let old = connect(&proxy);
    assert!(answers(&old));
    proxy.deafen();
    send(&old);
    assert!(is_silent(&old));
    assert!(answers(&connect(&proxy)), "new connections pass");
    proxy.pass();
    receive(&old, BOUND).unwrap();
    assert!(answers(&old));
}

#[test]
fn lost_connections_stay_silent_for_good() {
    let proxy = Proxy::start(echo()).unwrap();
    let old = connect(&proxy);
    assert!(answers(&old));
    proxy.lose();
    proxy.pass();
    send(&old);
    assert!(is_silent(&old));
    assert!(answers(&connect(&proxy)), "new connections pass");
}

#[test]
fn reset_ends_present_connections() {
    let proxy = Proxy::start(echo()).unwrap();
    let old = connect(&proxy);
    assert!(answers(&old));
    proxy.reset();
    assert_eq!(receive(&old, BOUND).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(proxy.open(), 0);
    assert!(answers(&connect(&proxy)), "new connections pass");
}

#[test]
fn swallows_and_refuses_new_connections_only() {
    let proxy = Proxy::start(echo()).unwrap();
    let old = connect(&proxy);
    proxy.admit(Admission::Swallow);
    let swallowed = connect(&proxy);
    send(&swallowed);
    assert!(is_silent(&swallowed));
    assert!(answers(&old));

    proxy.admit(Admission::Refuse);
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(answers(&old));

    proxy.pass();
    assert!(answers(&connect(&proxy)));
    assert!(is_silent(&swallowed));
}

#[test]
fn held_ones_are_deaf_from_the_start_and_resumed() {
    let proxy = Proxy::start(echo()).unwrap();
    proxy.admit(Admission::Hold);
    let held = connect(&proxy);
    send(&held);
    assert!(is_silent(&held));
    proxy.pass();
    assert!(receive(&held, BOUND).is_ok() && answers(&connect(&proxy)));
}

#[test]
fn loses_packets_of_present_and_new_connections_until_resumed() {
    let proxy = Proxy::start(echo()).unwrap();
    let present = connect(&proxy);
    assert!(answers(&present));
    proxy.lose_packets();
    send(&present);
    assert!(is_silent(&present));
    let address = (Ipv4Addr::LOCALHOST, proxy.port()).into();
    let refused = TcpStream::connect_timeout(&address, SILENCE).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TimedOut, "not even its first packet is acknowledged");
    proxy.pass();
    // Sent again by the kernel, as nothing acknowledged it.
    assert!(receive(&present, BOUND).is_ok() && answers(&connect(&proxy)));
}

#[test]
fn forgets_the_servers_end_of_lost_connections() {
    let proxy = Proxy::start(echo()).unwrap();
    let (lost, swallowed) = (connect(&proxy), {
        proxy.admit(Admission::Swallow);
        connect(&proxy)
    });
    proxy.admit(Admission::Pass);
    proxy.lose();
    let present = connect(&proxy);
    assert!(answers(&present));
    assert_eq!((proxy.open(), proxy.sockets()), (3, 5));
    proxy.forget();
    assert_eq!((proxy.open(), proxy.sockets()), (3, 4));
    assert!(is_silent(&lost) && is_silent(&swallowed) && answers(&present));
}

#[test]
fn delays_each_way() {
    let proxy = Proxy::start(echo()).unwrap();
    let stream = connect(&proxy);
    proxy.delay(Duration::from_millis(100));
    let (answered, time) = took(|| answers(&stream));
    assert!(answered && time >= Duration::from_millis(200), "{time:?}");
    proxy.pass();
    let (answered, time) = took(|| answers(&stream));
    assert!(answered && time < Duration::from_millis(100), "{time:?}");
}

#[test]
fn a_trap_cuts_one_connection_at_the_bytes_it_waits_for() {
    let proxy = Proxy::start(echo()).unwrap();
    for direction in [Direction::ToServer, Direction::ToClient] {
        let [cut, other] = [connect(&proxy), connect(&proxy)];
        proxy.cut_at(direction, b"in");
        (&cut).write_all(b"pong").unwrap();
        let mut answer = [0; 4];
        cut.set_read_timeout(Some(BOUND)).unwrap();
        (&cut).read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"pong", "other bytes pass");
        send(&cut);
        assert_eq!(receive(&cut, BOUND).unwrap_err().kind(), ErrorKind::ConnectionReset, "{direction:?}");
        assert!(answers(&other), "it went off twice");
    }
}

#[test]
fn a_trap_lets_through_what_stands_ahead_of_its_cut_and_can_change_words_instead() {
    let proxy = Proxy::start(echo()).unwrap();
    for (bytes, behind, passed) in [(&b"in"[..], 1, "pi"), (b"", 3, "pin"), (b"in", 9, "ping")] {
        let cut = connect(&proxy);
        proxy.cut_within(Direction::ToClient, bytes, behind);
        send(&cut);
        let mut answer = Vec::new();
        cut.set_read_timeout(Some(BOUND)).unwrap();
        let error = (&cut).read_to_end(&mut answer).unwrap_err();
        assert_eq!((error.kind(), answer.as_slice()), (ErrorKind::ConnectionReset, passed.as_bytes()));
    }
    let changed = connect(&proxy);
    proxy.garble(b"in", b"on");
    for expected in [b"pong", b"ping"] {
        send(&changed);
        let mut answer = [0; 4];
        changed.set_read_timeout(Some(BOUND)).unwrap();
        (&changed).read_exact(&mut answer).unwrap();
        assert_eq!(&answer, expected, "it goes off once");
    }
}

#[test]
fn a_target_that_does_not_listen_ends_the_connection() {
    let proxy = Proxy::start(support::port::free_port().unwrap()).unwrap();
    let stream = connect(&proxy);
    let error = receive(&stream, BOUND).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error}");
}

#[test]
fn ends_its_thread_and_its_connections() {
    let proxy = Proxy::start(echo()).unwrap();
    let (old, name) = (connect(&proxy), format!("proxy-{}", proxy.port()));
    assert!(answers(&old));
    proxy.deafen();
    assert!(thread_names().contains(&name));
    let ((), time) = took(|| drop(proxy));
    assert!(time < BOUND, "dropping took {time:?}");
    assert!(!thread_names().contains(&name));
    assert_ne!(receive(&old, BOUND).unwrap_err().kind(), ErrorKind::WouldBlock);
}
