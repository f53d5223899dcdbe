//! What a server is told, and its start.

use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use r2d2::ManageConnection;

use super::clients::connection::Times;
use super::clients::door::Work;
use super::clients::gate::Place;
#[cfg(unix)]
use super::processes::Processes;
use super::reply::Reply;
use super::routes::Readers;
use super::server::Server;
use super::site::Site;
use super::token::Source;
use crate::config::Faults;
use crate::error::Error;
use crate::tiers::TieredPool;

/// Serves a pool's endpoints on an address, with the defaults of [`ServerOptions`].
///
/// # Blocking
///
/// For what a name in `addr` takes to be looked up; not at all for an address.
///
/// # Errors
///
/// As [`ServerOptions::serve`].
///
/// # Examples
///
/// ```
/// use tierpool::{MemoryManager, TieredPool, http};
///
/// let pool = TieredPool::builder().build(|_| MemoryManager)?;
/// let server = http::serve(&pool, "127.0.0.1:0")?;
/// let taken = http::serve(&pool, server.addr()).unwrap_err();
/// assert!(taken.to_string().contains("cannot be listened on"));
/// # Ok::<(), tierpool::Error>(())
/// ```
pub fn serve<M: ManageConnection>(pool: &TieredPool<M>, addr: impl ToSocketAddrs) -> Result<Server, Error> {
    ServerOptions::new().serve(pool, addr)
}

/// What a limit of time is at the most. More is as much as this: no client takes a day, and a longest `Duration` is no
/// moment that a clock could name.
const LONGEST_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How a [`Server`] serves: its limits, and its token.
///
/// ```
/// use std::time::Duration;
/// use tierpool::{MemoryManager, TieredPool, http::ServerOptions};
///
/// let pool = TieredPool::builder().build(|_| MemoryManager)?;
/// let options = ServerOptions::new().token("correct horse battery").max_connections(8);
/// assert!(options.serve(&pool, "127.0.0.1:0").is_err(), "a token has no spaces");
/// let options = ServerOptions::new().token("correct-horse-battery").header_timeout(Duration::from_secs(1));
/// let server = options.serve(&pool, "127.0.0.1:0")?; // `/admin/*` wants the token here too
/// # Ok::<(), tierpool::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ServerOptions {
    token: Source,
    max_connections: usize,
    header_timeout: Duration,
    total_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            token: Source::Environment,
            max_connections: 64,
            header_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(10),
        }
    }
}

impl ServerOptions {
    /// Starts with the defaults.
    pub fn new() -> Self {
        ServerOptions::default()
    }

    /// Sets the bearer token that `/admin/*` wants: at least 16 visible ASCII characters. Default: the variable
    /// `DB_POOL_HTTP_TOKEN`, or the file that `DB_POOL_HTTP_TOKEN_FILE` names; without them none, which is allowed on
    /// loopback alone.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Source::given(token.into());
        self
    }

    /// Sets the file whose first line is the token, of at most 4,096 bytes. It is read when the server starts.
    pub fn token_file(mut self, path: impl AsRef<Path>) -> Self {
        self.token = Source::File(path.as_ref().to_owned());
        self
    }

    /// Sets how many connections are served at a time; each has one request. Default 64. 16 more are let in for
    /// `/health/pool` and `/healthz` alone, and everything else gets 503 there; the newest of them displaces the
    /// oldest.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.max_connections = most;
        self
    }

    /// Sets how long a client may take for the head of its request. Default 5 s; more than a day is a day.
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.header_timeout = limit;
        self
    }

    /// Sets how long a connection may take in all, the reading of the answer included. Default 10 s; more than a day
    /// is a day.
    pub fn total_timeout(mut self, limit: Duration) -> Self {
        self.total_timeout = limit;
        self
    }

    /// Serves a pool's endpoints on an address, on a thread of its own named `tierpool-http`, until the server is
    /// closed or dropped, or the last handle of the pool goes. It does not keep the pool open.
    ///
    /// # Blocking
    ///
    /// For what a name in `addr` takes to be looked up; not at all for an address.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every fault: an address that cannot be listened on, as one that is taken; one beyond
    /// loopback without a token; a token that is too short, cannot be read, or is none; a limit of zero.
    pub fn serve<M: ManageConnection>(
        &self,
        pool: &TieredPool<M>,
        addr: impl ToSocketAddrs,
    ) -> Result<Server, Error> {
        let plan = self.plan(addr)?;
        let site = Arc::new(Site::new(Arc::new(pool.downgrade()), plan.readers));
        let remembered = Arc::clone(&site);
        let answer = move |request, place| {
            let site = Arc::clone(&site);
            async move { site.answer(request, place).await }
        };
        let server = self.start(&plan.addrs, answer, async move { remembered.remember().await })?;
        pool.at_end(server.at_end());
        Ok(server)
    }

    /// Serves what all processes of this user tell by their admin sockets on this machine, on an address, on a thread
    /// of its own named `tierpool-http`, until the server is closed or dropped. Who may ask is as for a pool.
    ///
    /// | path | answer |
    /// | --- | --- |
    /// | `/health/pool` | 200 where a process answers and all their pools are healthy with a normal load, else 503; a list by process |
    /// | `/metrics` | the metrics of all pools for Prometheus, with the label `process` |
    /// | `/admin/metrics/database` | everything as JSON, by process |
    /// | `/` | a line for each pool |
    ///
    /// A question is passed on to all sockets at once, for 2 s at the most, and its answer holds for a second, however
    /// many ask.
    ///
    /// # Blocking
    ///
    /// As [`serve`](Self::serve).
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve). That there is no process is none: the next one may come.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    /// use tierpool::http::ServerOptions;
    ///
    /// let server = ServerOptions::new().serve_processes("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(server.addr())?;
    /// client.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer)?;
    /// assert!(answer.starts_with("HTTP/1.1 200 OK"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(unix)]
    pub fn serve_processes(&self, addr: impl ToSocketAddrs) -> Result<Server, Error> {
        let plan = self.plan(addr)?;
        let processes = Arc::new(Processes::new(plan.readers));
        let answer = move |request, place| {
            let processes = Arc::clone(&processes);
            async move { processes.answer(request, place).await }
        };
        self.start(&plan.addrs, answer, std::future::ready(()))
    }

    /// What is to be served where and to whom, or every fault of it.
    fn plan(&self, addr: impl ToSocketAddrs) -> Result<Plan, Error> {
        let mut faults = Faults::new();
        faults.require(self.max_connections > 0, "max_connections", 0, "must be at least 1");
        for (name, limit) in [("header_timeout", self.header_timeout), ("total_timeout", self.total_timeout)]
        {
            faults.require(!limit.is_zero(), name, "0", "must be more than zero");
        }
        let before = faults.iter().count();
        let token = self.token.token(&mut faults);
        let has_token_fault = faults.iter().count() > before;
        let addrs = resolved(addr, &mut faults);
        if token.is_none() && !has_token_fault {
            for addr in addrs.iter().filter(|addr| !is_loopback(addr.ip())) {
                let rule = "beyond loopback needs a bearer token: ServerOptions::token, DB_POOL_HTTP_TOKEN or \
                            DB_POOL_HTTP_TOKEN_FILE";
                faults.push("addr", addr, rule);
            }
        }
        if !faults.is_empty() {
            return Err(Error::invalid(faults));
        }
        Ok(Plan { addrs, readers: token.map_or(Readers::Local, Readers::Holders) })
    }

    fn start<A, F>(
        &self,
        addrs: &[SocketAddr],
        answer: A,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Server, Error>
    where
        A: Fn(Request<Incoming>, Place) -> F + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        let times = Times {
            head: self.header_timeout.min(LONGEST_LIMIT),
            total: self.total_timeout.min(LONGEST_LIMIT),
        };
        let work = Work { answer: Arc::new(answer), most: self.max_connections, times };
        let started = TcpListener::bind(addrs).and_then(|listener| Server::start(listener, work, beside));
        started.map_err(|error| {
            let shown: Vec<String> = addrs.iter().map(SocketAddr::to_string).collect();
            let mut faults = Faults::new();
            faults.push("addr", shown.join(", "), format!("cannot be listened on: {error}"));
            Error::invalid(faults)
        })
    }
}

/// Where it is served, and to whom.
struct Plan {
    addrs: Vec<SocketAddr>,
    readers: Readers,
}

fn resolved(addr: impl ToSocketAddrs, faults: &mut Faults) -> Vec<SocketAddr> {
    match addr.to_socket_addrs() {
        Ok(addrs) => {
            let addrs: Vec<_> = addrs.collect();
            faults.require(!addrs.is_empty(), "addr", "a name without an address", "must have one");
            addrs
        }
        Err(error) => {
            faults.push("addr", "no address with a port", format!("cannot be looked up: {error}"));
            Vec::new()
        }
    }
}

/// Also where IPv6 has an address of IPv4.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
