//! Whether anything has arrived for a socket that its stream has not read.
//!
//! The stream's own runtime learns of arrivals only as its reactor is turned, with all that belongs to a call on the
//! client. Here the kernel alone is asked, by one system call: the socket is watched a second time, by an `epoll` of
//! the connection's own.
//!
//! **Why it tells the truth.** The kernel lists a socket whenever something comes for it, the end of the stream and a
//! failure included, and looks at each socket of the list once more as the list is read: one whose bytes the stream has
//! read since is dropped, the others are told. What was told is not told again. So `none` is true at that moment. After
//! anything else the stream has to be read until it has had something: the kernel tells one watch after the other, and
//! the stream's own may not know yet.
//!
//! On other systems than Linux nothing is known.

/// The watch on one socket. It costs a descriptor, and ends with it or with the socket.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "elsewhere there is none"))]
pub(crate) struct Arrivals {
    #[cfg(target_os = "linux")]
    poll: mio::Poll,
    #[cfg(target_os = "linux")]
    events: mio::Events,
}

#[cfg(target_os = "linux")]
impl Arrivals {
    /// Watches the socket with this descriptor, which is open. `None` where that cannot be done.
    pub fn of(descriptor: i32) -> Option<Arrivals> {
        let poll = mio::Poll::new().ok()?;
        let mut socket = mio::unix::SourceFd(&descriptor);
        poll.registry().register(&mut socket, mio::Token(0), mio::Interest::READABLE).ok()?;
        Some(Arrivals { poll, events: mio::Events::with_capacity(1) })
    }

    /// Whether there is nothing to read. Where it says no the stream is to be read until there is nothing.
    pub fn are_none(&mut self) -> bool {
        self.poll.poll(&mut self.events, Some(std::time::Duration::ZERO)).is_ok() && self.events.is_empty()
    }
}

#[cfg(not(target_os = "linux"))]
impl Arrivals {
    pub fn of(_: i32) -> Option<Arrivals> {
        None
    }

    pub fn are_none(&mut self) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Loopback delivers at once as a rule.
    fn something_comes(arrivals: &mut Arrivals) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while arrivals.are_none() {
            if Instant::now() > end {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    #[test]
    fn what_was_read_is_no_arrival_and_what_was_not_is_one() {
        let (mut client, mut server) = pair();
        let mut arrivals = Arrivals::of(client.as_raw_fd()).unwrap();
        assert!(arrivals.are_none());
        let mut bytes = [0; 3];
        for _ in 0..3 {
            server.write_all(b"abc").unwrap();
            client.read_exact(&mut bytes).unwrap();
            assert!(arrivals.are_none(), "its stream has read it");
        }
        server.write_all(b"abc").unwrap();
        assert!(something_comes(&mut arrivals));
        client.read_exact(&mut bytes).unwrap();
        assert!(arrivals.are_none());
    }

    #[test]
    fn what_came_before_it_was_watched_is_an_arrival() {
        let (client, mut server) = pair();
        server.write_all(b"a").unwrap();
        client.peek(&mut [0]).unwrap();
        assert!(!Arrivals::of(client.as_raw_fd()).unwrap().are_none());
    }

    #[test]
    fn the_end_of_the_stream_and_its_reset_are_arrivals() {
        let (client, server) = pair();
        let mut arrivals = Arrivals::of(client.as_raw_fd()).unwrap();
        drop(server);
        assert!(something_comes(&mut arrivals));

        let (client, server) = pair();
        let mut arrivals = Arrivals::of(client.as_raw_fd()).unwrap();
        (&client).write_all(b"never read").unwrap();
        server.peek(&mut [0]).unwrap();
        // With bytes unread it is reset.
        drop(server);
        assert!(something_comes(&mut arrivals));
    }
}
