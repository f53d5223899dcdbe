//! Ports on loopback that nothing else takes while their owner is away.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which the kernel takes the source ports of outgoing connections (32768 and up). A port from
/// within it could be taken while a test's server is down, and a client that tries a closed one can even be
/// connected to itself.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// Returns a port on 127.0.0.1 on which nobody listens at the moment.
///
/// # Errors
///
/// When 200 ports drawn at random are all taken.
pub fn free_port() -> io::Result<u16> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for draw in 0..200_u32 {
        let spread = u64::from(PORTS.end - PORTS.start);
        let offset = RandomState::new().hash_one(draw) % spread;
        let port = PORTS.start + u16::try_from(offset).expect("BUG: an offset above the range of ports");
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}
