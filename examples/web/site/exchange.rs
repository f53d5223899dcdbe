//! Requests as they are read, and answers as they are written.

use std::io::{self, BufRead, Read, Write};

/// Longer heads are no requests of a scraper's.
const MAX_HEAD: u64 = 16 * 1024;

/// A request for a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub host: String,
    pub path: String,
    /// `If-None-Match`, else `If-Modified-Since`.
    pub known: Option<String>,
}

/// Reads the next request; `None` where the other side has ended.
///
/// # Errors
/// A connection that is lost, and what is no GET request.
pub fn read_request(from: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = from.take(MAX_HEAD);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut request = Request::default();
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("GET"), Some(path)) => request.path = path.to_owned(),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "not a GET request")),
    }
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.split_once(':') else {
            return Ok(Some(request));
        };
        let value = value.trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "host" => request.host = value.split(':').next().unwrap_or_default().to_owned(),
            "if-none-match" => request.known = Some(value),
            "if-modified-since" => _ = request.known.get_or_insert(value),
            _ => {}
        }
    }
}

/// Writes the head of an answer: `headers` are whole lines.
///
/// # Errors
/// A connection that is lost.
pub fn write_head(to: &mut impl Write, status: &str, headers: &[String]) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    to.write_all(head.as_bytes())
}

/// Writes an answer with its length.
///
/// # Errors
/// A connection that is lost.
pub fn write_whole(to: &mut impl Write, status: &str, headers: &[String], body: &str) -> io::Result<()> {
    let length = [format!("Content-Length: {}", body.len())];
    write_head(to, status, &[headers, &length].concat())?;
    to.write_all(body.as_bytes())?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::{Request, read_request};

    #[test]
    fn reads_requests_one_after_the_other() {
        let mut bytes =
            &b"GET /a HTTP/1.1\r\nHost: alpha.test:80\r\nIf-None-Match: \"x\"\r\n\r\nGET /b HTTP/1.1\r\n\r\n"
                [..];
        let first = Request { host: "alpha.test".into(), path: "/a".into(), known: Some("\"x\"".into()) };
        assert_eq!(read_request(&mut bytes).unwrap(), Some(first));
        assert_eq!(read_request(&mut bytes).unwrap().unwrap().path, "/b");
        assert_eq!(read_request(&mut bytes).unwrap(), None);
        assert!(read_request(&mut &b"POST / HTTP/1.1\r\n\r\n"[..]).is_err());
        assert!(read_request(&mut &b"GET / HTTP/1.1\r\nHost: x"[..]).is_err());
    }
}
