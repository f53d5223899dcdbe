//! The server: a thread for each connection, all hosts at one port.

use std::collections::BTreeMap;
use std::io::{self, BufReader, BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::exchange::{Request, read_request, write_head, write_whole};
use super::page::Mark;
use super::plan::{CRAWL_DELAY, HOSTS, Resource, SLOW_HOST, Site, Trouble};
use super::seen::HostSeen;

/// More than a scraper should take: 4 MiB.
const LARGE: usize = 4 * 1024 * 1024;
/// The pause between two bytes of a body that comes slowly.
const DRIBBLE: Duration = Duration::from_millis(50);

/// What all hosts have seen, by host.
pub type Seen = BTreeMap<&'static str, HostSeen>;

struct Shared {
    site: Site,
    seen: Mutex<Seen>,
    ended: AtomicBool,
}

impl Shared {
    fn note<T>(&self, host: &'static str, what: impl FnOnce(&mut HostSeen) -> T) -> T {
        what(self.seen.lock().get_mut(host).expect("BUG: every host is there from the start"))
    }
}

/// A running server. Dropping it ends it.
pub struct Web {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: Option<JoinHandle<()>>,
}

impl Web {
    /// Starts to serve `site`, at a free port of loopback. Each host is to be asked `rate` times a second at the most,
    /// and the slow one as seldom as its `robots.txt` says.
    ///
    /// # Errors
    /// No port, or no thread.
    pub fn start(site: Site, rate: f64) -> io::Result<Web> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let limit = |host| if host == SLOW_HOST { rate.min(1.0 / CRAWL_DELAY) } else { rate };
        let seen = HOSTS.into_iter().map(|host| (host, HostSeen::new(limit(host)))).collect();
        let shared = Arc::new(Shared { site, seen: Mutex::new(seen), ended: AtomicBool::new(false) });
        let listening = {
            let shared = shared.clone();
            thread::Builder::new().name("web".into()).spawn(move || listen(&listener, &shared))?
        };
        Ok(Web { shared, address, listening: Some(listening) })
    }

    /// Where all hosts are.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has been seen so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen.lock().clone()
    }

    pub fn site(&self) -> &Site {
        &self.shared.site
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the listener, which looks at the flag then.
        if TcpStream::connect(self.address).is_ok()
            && let Some(listening) = self.listening.take()
        {
            let _ = listening.join();
        }
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    // Acquire pairs with the drop's release.
    while let Ok((stream, _)) = listener.accept() {
        if shared.ended.load(Ordering::Acquire) {
            return;
        }
        let shared = shared.clone();
        // The thread ends with the connection, which its client ends. A client that gives up shows as an error here.
        let _ = thread::Builder::new().spawn(move || _ = serve(&stream, &shared));
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut from, mut to) = (BufReader::new(stream), BufWriter::new(stream));
    while let Some(request) = read_request(&mut from)? {
        let Some(host) = HOSTS.into_iter().find(|host| *host == request.host) else {
            return write_whole(&mut to, "421 Misdirected Request", &[], "");
        };
        let before = shared.note(host, |seen| seen.request(&request.path, Instant::now()));
        answer(&mut to, shared, host, &request, before)?;
    }
    Ok(())
}

/// Answers the request for a path that was asked for `before` times already; an error ends the connection.
fn answer(
    to: &mut impl Write,
    shared: &Shared,
    host: &'static str,
    request: &Request,
    before: u64,
) -> io::Result<()> {
    let site = &shared.site;
    match site.resource(host, &request.path) {
        Resource::Robots => write_whole(to, "200 OK", &[], &Site::robots(host)),
        Resource::Page(n) => page(to, shared, host, request, n, before),
        Resource::Moved(n) => {
            let next = (n + 1) % site.pages;
            let location = format!("Location: http://{}{}", site.host(next), Site::path(next));
            write_whole(to, "301 Moved Permanently", &[location], "")
        }
        Resource::Missing => write_whole(to, "404 Not Found", &[], "no such page\n"),
        Resource::Down => write_whole(to, "503 Service Unavailable", &[], "down\n"),
        Resource::Forbidden => write_whole(to, "200 OK", &[], "not for robots\n"),
        Resource::Large { told } => {
            let told = told.then(|| format!("Content-Length: {LARGE}"));
            let close = "Connection: close".to_owned();
            write_head(to, "200 OK", &told.into_iter().chain([close]).collect::<Vec<_>>())?;
            (0..LARGE / 16).try_for_each(|_| to.write_all(b"<p>more of it..."))?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
    }
}

fn page(
    to: &mut impl Write,
    shared: &Shared,
    host: &'static str,
    request: &Request,
    n: usize,
    before: u64,
) -> io::Result<()> {
    let site = &shared.site;
    let (mark, trouble) = (site.mark(n), site.trouble(n));
    let busy = |headers: &[String], to: &mut _| write_whole(to, "503 Service Unavailable", headers, "busy\n");
    match trouble {
        Trouble::Busy { refusals } if before < refusals => return busy(&[], to),
        Trouble::BusyUntil { seconds } if before == 0 => {
            shared.note(host, |seen| seen.pause(Instant::now() + Duration::from_secs(seconds)));
            return busy(&[format!("Retry-After: {seconds}")], to);
        }
        _ => {}
    }
    thread::sleep(site.latency(n));
    let (Mark::ETag(value) | Mark::LastModified(value)) = &mark;
    let header = match &mark {
        Mark::ETag(value) => format!("ETag: {value}"),
        Mark::LastModified(value) => format!("Last-Modified: {value}"),
    };
    if request.known.as_ref() == Some(value) {
        // Counted ahead of its sending, as below: the other side may look as soon as it has the answer.
        shared.note(host, |seen| seen.unchanged(&request.path));
        write_head(to, "304 Not Modified", &[header])?;
        return to.flush();
    }
    let body = site.body(n);
    match trouble {
        Trouble::Cut if before == 0 => {
            write_head(to, "200 OK", &[header, format!("Content-Length: {}", body.len())])?;
            to.write_all(&body.as_bytes()[..body.len() / 2])?;
            to.flush()?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Trouble::Slow if before == 0 => {
            write_head(to, "200 OK", &[header, format!("Content-Length: {}", body.len())])?;
            for byte in body.as_bytes().chunks(1) {
                if shared.ended.load(Ordering::Acquire) {
                    break;
                }
                to.write_all(byte)?;
                to.flush()?;
                thread::sleep(DRIBBLE);
            }
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        _ => {
            shared.note(host, |seen| seen.whole(&request.path));
            let kind = "Content-Type: text/html; charset=utf-8".to_owned();
            write_whole(to, "200 OK", &[header, kind], &body)
        }
    }
}
