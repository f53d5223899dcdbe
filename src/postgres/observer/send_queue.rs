//! What the kernel has yet to send: bytes in the send buffer are not the server's silence.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use super::shown::Shown;

/// Where the kernel tells the length of a socket's send buffer. The driver's socket lends nobody its descriptor, so it
/// is looked up by its addresses in the kernel's table, which takes some microseconds, and a millisecond or two with
/// thousands of sockets: for a limit that is about to expire, not for each request. On systems without that table
/// nothing is known.
pub(super) struct SendQueue {
    table: &'static str,
    /// Local and remote address in the table's form.
    addresses: [String; 2],
}

impl SendQueue {
    pub fn of(socket: &Shown) -> Option<SendQueue> {
        let addresses = socket.addresses()?;
        let table = if addresses[0].is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
        Some(SendQueue { table, addresses: addresses.map(in_table) })
    }

    /// The bytes that the other side has not acknowledged.
    pub fn waiting(&self) -> Option<u64> {
        let [local, remote] = &self.addresses;
        fs::read_to_string(self.table).ok()?.lines().find_map(|line| {
            // Number, local address, remote address, state, send and receive queue.
            let mut fields = line.split_ascii_whitespace().skip(1);
            let is_it = fields.next()? == local && fields.next()? == remote;
            let queues = is_it.then(|| fields.nth(1)).flatten()?;
            u64::from_str_radix(queues.split(':').next()?, 16).ok()
        })
    }
}

/// As hexadecimal words in the byte order of the machine.
fn in_table(address: SocketAddr) -> String {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    let ip: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{ip}:{:04X}", address.port())
}
