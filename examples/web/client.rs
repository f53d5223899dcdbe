//! One request over HTTP: bounded in bytes and time, and to the web's own server alone.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::{HeaderMap, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::answer::{FetchError, Marks};

/// By which this scraper is told from others; `robots.txt` may name it.
pub const ROBOT: &str = "tierpool-web-scraper";
/// Larger bodies are left: pages are far smaller, and every thread holds one.
const MAX_BYTES: usize = 1024 * 1024;
/// The longest that one request takes, from connecting to the last byte.
const LIMIT: Duration = Duration::from_secs(2);

/// A client of the web.
pub struct Client(Agent);

/// What a server answered.
pub struct Reply {
    pub status: u16,
    pub marks: Marks,
    pub location: Option<String>,
    /// In seconds. Given as a date it is left out.
    pub retry_after: Option<Duration>,
    /// Of an answer 200; `None` where it is too large.
    pub body: Option<Vec<u8>>,
}

impl Client {
    /// A client that finds all hosts at `address`.
    pub fn new(address: SocketAddr) -> Client {
        let config = Agent::config_builder()
            .user_agent(ROBOT)
            .timeout_global(Some(LIMIT))
            // Other statuses are answers too, and each redirect is an address of its own, with its host's rules.
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Client(Agent::with_parts(config, DefaultConnector::default(), At(address)))
    }

    /// Fetches `url`, unless it is still the version that is `known`.
    ///
    /// # Blocking
    /// 2 s at the most.
    ///
    /// # Errors
    /// No answer, or none that came to its end.
    pub fn get(&self, url: &str, known: &Marks) -> Result<Reply, FetchError> {
        let conditions = [("If-None-Match", &known.etag), ("If-Modified-Since", &known.modified)];
        let request = conditions.into_iter().fold(self.0.get(url), |request, (name, value)| match value {
            Some(value) => request.header(name, value),
            None => request,
        });
        let deadline = Instant::now() + LIMIT;
        let mut response = request.call().map_err(failure)?;
        let status = response.status().as_u16();
        let told = response.body().content_length().unwrap_or_default();
        let body = match status {
            200 if told <= MAX_BYTES as u64 => read(response.body_mut().as_reader(), MAX_BYTES, deadline)?,
            _ => None,
        };
        let header = |name| header(response.headers(), name);
        Ok(Reply {
            status,
            marks: Marks { etag: header("etag"), modified: header("last-modified") },
            location: header("location"),
            retry_after: header("retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs),
            body,
        })
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// Reads a body to its end; `None` where it has more than `most` bytes.
///
/// The client's own limit bounds the wait for each piece: a server that sends a byte whenever one is waited for would
/// never come to it.
fn read(mut from: impl Read, most: usize, deadline: Instant) -> Result<Option<Vec<u8>>, FetchError> {
    let (mut body, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let count = from.read(&mut piece).map_err(|error| failure(Error::from(error)))?;
        if count == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(&piece[..count]);
        if body.len() > most {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            return Err(FetchError::TimedOut);
        }
    }
}

fn failure(error: Error) -> FetchError {
    match error {
        Error::Timeout(_) => FetchError::TimedOut,
        Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => FetchError::TimedOut,
        Error::Io(_) | Error::ConnectionFailed => FetchError::Cut(error.to_string()),
        _ => FetchError::Unusable(error.to_string()),
    }
}

/// Finds every host at one address: the names are this program's own, and no other server is ever asked.
#[derive(Debug)]
struct At(SocketAddr);

impl Resolver for At {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut found = self.empty();
        found.push(self.0);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::time::{Duration, Instant};

    use super::super::answer::FetchError;
    use super::read;

    #[test]
    fn a_body_is_bounded_in_bytes_and_in_time() {
        let hour = || Instant::now() + Duration::from_secs(3_600);
        assert_eq!(read(&b"four"[..], 4, hour()).unwrap(), Some(b"four".to_vec()));
        assert_eq!(read(&b"fives"[..], 4, hour()).unwrap(), None);
        assert_eq!(read(io::repeat(b'x'), 100_000, hour()).unwrap(), None);
        // Whatever the time, it always has one byte more.
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(matches!(read(Dribble, usize::MAX, soon), Err(FetchError::TimedOut)));
    }

    struct Dribble;

    impl Read for Dribble {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            to[0] = b'x';
            Ok(1)
        }
    }
}
