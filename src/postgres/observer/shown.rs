//! What the driver's socket tells of itself, which it does by showing it alone.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::str::FromStr;

/// A socket as it is shown.
pub(super) struct Shown(String);

impl Shown {
    pub fn of(socket: &impl Debug) -> Self {
        Shown(format!("{socket:?}"))
    }

    fn value<T: FromStr>(&self, name: &str) -> Option<T> {
        let (_, rest) = self.0.split_once(name)?;
        rest[..rest.find([',', ' ', '}'])?].parse().ok()
    }

    /// Its own address and that of the other side.
    pub fn addresses(&self) -> Option<[SocketAddr; 2]> {
        Some([self.value(" addr: ")?, self.value(" peer: ")?])
    }

    /// Its number among the descriptors of the process.
    pub fn descriptor(&self) -> Option<i32> {
        self.value(" fd: ")
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::io;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use postgres::config::{SslMode, SslNegotiation};
    use postgres::tls::{MakeTlsConnect, NoTlsStream, TlsConnect};
    use postgres::{Config, Socket};

    use super::*;

    /// Takes note of a socket as it is shown, and does nothing with it.
    #[derive(Clone, Default)]
    struct Note(Arc<Mutex<Option<Shown>>>);

    impl MakeTlsConnect<Socket> for Note {
        type Stream = NoTlsStream;
        type TlsConnect = Note;
        type Error = Infallible;

        fn make_tls_connect(&mut self, _: &str) -> Result<Note, Infallible> {
            Ok(self.clone())
        }
    }

    impl TlsConnect<Socket> for Note {
        type Stream = NoTlsStream;
        type Error = io::Error;
        type Future = Ready<io::Result<NoTlsStream>>;

        fn connect(self, socket: Socket) -> Self::Future {
            *self.0.lock() = Some(Shown::of(&socket));
            ready(Err(io::Error::other("no more is wanted")))
        }
    }

    #[test]
    fn the_drivers_socket_shows_as_much() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let there = listener.local_addr().unwrap();
        let note = Note::default();
        let mut config = Config::new();
        config.host("127.0.0.1").port(there.port()).user("app");
        config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        assert!(config.connect(note.clone()).is_err());
        let shown = note.0.lock().take().expect("it was given the socket");
        assert_eq!(shown.addresses().map(|[_, peer]| peer), Some(there));
        assert!(shown.descriptor().is_some_and(|descriptor| descriptor > 2));
    }

    #[test]
    fn a_socket_shows_its_addresses_and_its_descriptor() {
        let of_both = [(Ipv4Addr::LOCALHOST, 0).into(), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        for listener in of_both.iter().filter_map(|address| TcpListener::bind(address).ok()) {
            let there = listener.local_addr().unwrap();
            let socket = TcpStream::connect(there).unwrap();
            let shown = Shown::of(&socket);
            assert_eq!(shown.addresses(), Some([socket.local_addr().unwrap(), there]));
            assert_eq!(shown.descriptor(), Some(socket.as_raw_fd()));
        }
    }
}
