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
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

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
