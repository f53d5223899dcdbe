//! The other end of admin sockets: which are there, and what is asked there.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use super::place;

/// Sockets that are listed: many times the processes that a machine has of one user.
const MOST_LISTED: usize = 256;

/// The longest answer that is taken: with a thousand waiters and as many holders one has a third of it.
const LONGEST_ANSWER: usize = 4 << 20;

/// The admin socket of a process of this user, by [`AdminSocket::all`]: the end of a tool, where
/// [`AdminOptions`](crate::http::AdminOptions) is that of the program.
///
/// ```no_run
/// use std::time::Duration;
/// use tierpool::http::AdminSocket;
///
/// let sockets = AdminSocket::all()?;
/// let answers = AdminSocket::ask_all(&sockets, "/status", Duration::from_secs(2))?;
/// for (socket, answer) in sockets.iter().zip(answers) {
///     match answer {
///         Ok(json) => println!("{} has process {}: {json}", socket.app(), socket.process()),
///         Err(error) => println!("{} of process {}: {error}", socket.app(), socket.process()),
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdminSocket {
    path: PathBuf,
    app: String,
    process: u32,
}

impl AdminSocket {
    /// Lists the sockets of this user, by path, 256 at the most; one of a process that has ended since may be among
    /// them.
    ///
    /// # Errors
    ///
    /// Where the folder is there and is not this user's own, is open to others, or cannot be read.
    pub fn all() -> io::Result<Vec<AdminSocket>> {
        let runtime = runtime()?;
        let _entered = runtime.enter();
        AdminSocket::listed()
    }

    /// Returns where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name of the program that opened it, as it is part of the path.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// Returns the number of the process that opened it.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// Asks each socket, by GET, for what stands at a path such as `/status`; the answers come in the order of the
    /// sockets. An answer is what the other process sent, unchecked.
    ///
    /// # Blocking
    ///
    /// At most `limit`, whatever the other processes do: they are asked at the same time.
    ///
    /// # Errors
    ///
    /// When nobody can be asked at all. In place of an answer: `ConnectionRefused` or `NotFound` where the process has
    /// gone, `WouldBlock` where as many wait for it as the system lets, `TimedOut`, and `InvalidData` for an answer
    /// that is refused, is longer than 4 MiB, or is none of HTTP in UTF-8.
    pub fn ask_all(
        sockets: &[AdminSocket],
        target: &str,
        limit: Duration,
    ) -> io::Result<Vec<io::Result<String>>> {
        if !target.starts_with('/') || target.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(invalid("a path begins with / and has no blanks"));
        }
        Ok(runtime()?.block_on(AdminSocket::ask_each(sockets, target, limit)))
    }

    /// As [`AdminSocket::all`], within a runtime.
    pub(in crate::http) fn listed() -> io::Result<Vec<AdminSocket>> {
        let named = place::sockets(place::user()?, MOST_LISTED)?.into_iter();
        Ok(named.map(|(path, app, process)| AdminSocket { path, app, process }).collect())
    }

    /// As [`AdminSocket::ask_all`], within a runtime, for a target that is well formed.
    pub(in crate::http) async fn ask_each(
        sockets: &[AdminSocket],
        target: &str,
        limit: Duration,
    ) -> Vec<io::Result<String>> {
        let asked: Vec<_> = sockets
            .iter()
            .map(|socket| {
                let (path, target) = (socket.path.clone(), target.to_owned());
                tokio::spawn(async move { within(limit, &path, &target).await })
            })
            .collect();
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap_or_else(|ended| Err(io::Error::other(ended))));
        }
        answers
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

async fn within(limit: Duration, path: &Path, target: &str) -> io::Result<String> {
    match tokio::time::timeout(limit, ask(path, target)).await {
        Ok(answer) => body(answer?),
        Err(_) => Err(io::Error::new(ErrorKind::TimedOut, format!("no answer within {limit:?}"))),
    }
}

async fn ask(path: &Path, target: &str) -> io::Result<Vec<u8>> {
    let stream = UnixStream::connect(path).await?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(sent) => rest = &rest[sent..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let (mut answer, mut part) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        stream.readable().await?;
        match stream.try_read(&mut part) {
            Ok(0) => return Ok(answer),
            Ok(read) if answer.len() + read > LONGEST_ANSWER => {
                return Err(invalid("an answer above 4 MiB"));
            }
            Ok(read) => answer.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        // So that one who sends without end does not keep the others, nor the limit, from their turn.
        tokio::task::yield_now().await;
    }
}

/// The body of a good answer.
fn body(answer: Vec<u8>) -> io::Result<String> {
    let answer = String::from_utf8(answer).map_err(|_| invalid("an answer that is not UTF-8"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| invalid("an answer that is not HTTP"))?;
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    match (words.next(), words.next()) {
        (Some("HTTP/1.1"), Some("200")) => Ok(body.to_owned()),
        (Some("HTTP/1.1"), Some(_)) => Err(invalid("the request was refused")),
        _ => Err(invalid("an answer that is not HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_answer_has_a_body() {
        let told = |answer: &[u8]| body(answer.to_vec()).map_err(|error| error.to_string());
        assert_eq!(told(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n{}"), Ok("{}".to_owned()));
        assert_eq!(told(b"HTTP/1.1 503 No\r\n\r\n{}"), Err("the request was refused".to_owned()));
        for rubbish in [&b""[..], b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"] {
            assert_eq!(told(rubbish), Err("an answer that is not HTTP".to_owned()));
        }
        assert_eq!(told(b"HTTP/1.1 200 OK\r\n\r\n\xff"), Err("an answer that is not UTF-8".to_owned()));
    }

    #[test]
    fn a_path_cannot_carry_a_second_request() {
        for target in ["status", "/a b", "/a\r\nHost: b"] {
            assert!(AdminSocket::ask_all(&[], target, Duration::from_secs(1)).is_err(), "{target:?}");
        }
    }
}
