//! A client of HTTP that sends what it is told, byte for byte.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The longest that an answer is waited for, many times what one takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// The body, which has to be JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Reads one answer up to the end of its connection.
    pub fn read(stream: &mut impl Read) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) =
            text.split_once("\r\n\r\n").ok_or_else(|| io::Error::other(format!("no answer: {text:?}")))?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {head:?}")))?;
        Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
    }
}

/// A connection whose reads and writes do not wait for ever.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The answer to bytes sent as they are.
pub fn send(addr: SocketAddr, bytes: &[u8]) -> io::Result<Answer> {
    let mut stream = connect(addr);
    // Who is refused before all is sent may find the other side closed.
    let _ = stream.write_all(bytes);
    Answer::read(&mut stream)
}

/// A request with headers of one's own, each with its line's end.
pub fn request(addr: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let text = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n");
    send(addr, text.as_bytes()).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// A plain GET.
pub fn get(addr: SocketAddr, path: &str) -> Answer {
    request(addr, "GET", path, "")
}
