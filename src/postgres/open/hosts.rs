//! Several servers: in what order they are tried, and for how long each.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::Config;
use postgres::config::Host;

use super::role::Fit;
use crate::clock::Deadline;
#[cfg(unix)]
use crate::config::socket_name;
use crate::postgres::connection::PgConnection;
use crate::postgres::error::{OpeningError, PgError};
use crate::postgres::observer::Opening;
use crate::text::harmless;

/// How long a server that would not do is tried after the others. A first server that swallows packets costs its
/// share of the connect timeout each time it is tried, and one that is a standby a handshake; and after this time one
/// that is preferred gets its place back.
const RECHECK: Duration = Duration::from_secs(30);

/// A server that would not do lately.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    cost: Cost,
}

/// What it cost to find that a server would not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    Little,
    /// All the time that it was given.
    AllItsTime,
}

/// What is remembered of servers from one attempt to the next, by their labels.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Held for a look or a note, never over I/O. Marks that are over are swept out, so that names whose addresses
    /// change leave nothing.
    marks: Mutex<HashMap<String, Mark>>,
}

impl Memory {
    /// 0 for a server without a mark; 1 for one that failed at once; 2 for one that cost time. Where a mark has
    /// expired it is set anew and 0 told: one attempt looks again, and the others go on as before meanwhile.
    fn rank(&self, label: &str, now: Instant) -> u8 {
        let mut marks = self.marks.lock();
        let Some(mark) = marks.get_mut(label) else { return 0 };
        if now.saturating_duration_since(mark.at) >= RECHECK {
            mark.at = now;
            return 0;
        }
        match mark.cost {
            Cost::Little => 1,
            Cost::AllItsTime => 2,
        }
    }

    fn mark(&self, label: &str, cost: Cost) {
        let now = Instant::now();
        let mut marks = self.marks.lock();
        marks.retain(|_, mark| now.saturating_duration_since(mark.at) < 2 * RECHECK);
        marks.insert(label.to_owned(), Mark { at: now, cost });
    }

    fn clear(&self, label: &str) {
        self.marks.lock().remove(label);
    }

    /// Puts servers that would not do behind the others, which keep their order; each with its rank.
    fn sort(&self, servers: Vec<Config>) -> Vec<(u8, Config)> {
        if servers.len() < 2 {
            return servers.into_iter().map(|server| (0, server)).collect();
        }
        let now = Instant::now();
        let mut ranked: Vec<_> =
            servers.into_iter().map(|server| (self.rank(&label(&server), now), server)).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked
    }
}

/// Opens one connection, of which the configuration names one address, within the time given.
pub(super) type Open<'a> = dyn Fn(&Config, Duration) -> Result<(PgConnection, Fit), PgError> + 'a;

/// One attempt to get a connection to one of several servers.
pub(super) struct Round<'a> {
    memory: &'a Memory,
    /// Whether the order is left to chance, so that many connections spread.
    shuffle: bool,
    opening: &'a Opening,
    open: &'a Open<'a>,
    /// A connection that will do where nothing better is found.
    spare: Option<PgConnection>,
    tried: Vec<(String, PgError)>,
}

impl<'a> Round<'a> {
    pub fn new(memory: &'a Memory, shuffle: bool, opening: &'a Opening, open: &'a Open<'a>) -> Self {
        Round { memory, shuffle, opening, open, spare: None, tried: Vec::new() }
    }

    /// Tries the servers until one will do, all within `limit`.
    ///
    /// Each gets an equal share of what is left of it, or a first one that swallows packets would keep the others
    /// from being tried; and each address of a name an equal share of that.
    pub fn run(mut self, servers: &[Config], limit: Duration) -> Result<PgConnection, PgError> {
        let end = Deadline::of(limit);
        let servers = self.in_order(servers.to_vec());
        let count = servers.len();
        for (at, (rank, server)) in servers.into_iter().enumerate() {
            if self.is_passed_over(rank) {
                continue;
            }
            let end_of_share = share(end, count - at);
            let addresses = match addresses(&server) {
                Ok(addresses) => self.in_order(addresses),
                Err(error) => {
                    self.failed(&server, PgError::opening(OpeningError::Lookup(error)), Cost::Little);
                    continue;
                }
            };
            // The only one, by its address, gets the limit itself: an error then names what was set.
            let whole = count == 1 && matches!(&addresses[..], [(_, only)] if label(only) == label(&server));
            let count = addresses.len();
            let mut most = None;
            for (at, (rank, address)) in addresses.into_iter().enumerate() {
                if self.is_passed_over(rank) {
                    continue;
                }
                let until = share(end_of_share, count - at);
                let left = if whole { limit } else { until.left() };
                match self.try_one(&address, left) {
                    Ok(connection) => {
                        self.memory.clear(&label(&server));
                        return Ok(connection);
                    }
                    Err(cost) => most = most.max(Some(cost)),
                }
                // As with libpq the others are not tried: with a wrong password each try counts towards a lock.
                let is_refused = self.tried.last().is_some_and(|(_, error)| error.is_refusal());
                if is_refused || self.opening.is_over() {
                    return self.end();
                }
            }
            // By its name as well, for it is sorted by that.
            if let Some(cost) = most {
                self.memory.mark(&label(&server), cost);
            }
        }
        self.end()
    }

    /// Whether a server that would not do lately is let be, since there is a connection that will do: it would cost the
    /// time of each connection opened.
    fn is_passed_over(&self, rank: u8) -> bool {
        rank > 0 && self.spare.is_some()
    }

    fn in_order(&self, mut servers: Vec<Config>) -> Vec<(u8, Config)> {
        if self.shuffle {
            fastrand::shuffle(&mut servers);
        }
        self.memory.sort(servers)
    }

    /// Without a connection that is wanted: what that cost.
    fn try_one(&mut self, address: &Config, limit: Duration) -> Result<PgConnection, Cost> {
        let started = Instant::now();
        match (self.open)(address, limit) {
            Ok((connection, Fit::Wanted)) => {
                self.memory.clear(&label(address));
                Ok(connection)
            }
            Ok((connection, Fit::SecondBest)) => {
                self.memory.mark(&label(address), Cost::Little);
                self.spare.get_or_insert(connection);
                Err(Cost::Little)
            }
            Err(error) => {
                let is_slow = started.elapsed() >= limit || error.is_client_timeout();
                let cost = if is_slow { Cost::AllItsTime } else { Cost::Little };
                self.failed(address, error, cost);
                Err(cost)
            }
        }
    }

    fn failed(&mut self, server: &Config, error: PgError, cost: Cost) {
        let label = label(server);
        // What ended with its pool says nothing of the server.
        if !self.opening.is_over() {
            self.memory.mark(&label, cost);
        }
        self.tried.push((label, error));
    }

    fn end(self) -> Result<PgConnection, PgError> {
        match self.spare {
            Some(connection) => Ok(connection),
            None => Err(PgError::of_servers(self.tried)),
        }
    }
}

/// The end of the share that the next of so many gets of the time until `end`.
fn share(end: Deadline, left: usize) -> Deadline {
    Deadline::of(end.left() / u32::try_from(left).unwrap_or(u32::MAX))
}

/// The addresses of a server, one configuration each. The name stays with them, for TLS.
fn addresses(server: &Config) -> io::Result<Vec<Config>> {
    let name = match server.get_hosts() {
        [Host::Tcp(name)] if server.get_hostaddrs().is_empty() && name.parse::<IpAddr>().is_err() => name,
        _ => return Ok(vec![server.clone()]),
    };
    let mut found: Vec<IpAddr> = Vec::new();
    for at in (name.as_str(), port(server)).to_socket_addrs()? {
        if !found.contains(&at.ip()) {
            found.push(at.ip());
        }
    }
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name stands for no address"));
    }
    let with_address = |address| {
        let mut server = server.clone();
        server.hostaddr(address);
        server
    };
    Ok(found.into_iter().map(with_address).collect())
}

fn port(server: &Config) -> u16 {
    server.get_ports().first().copied().unwrap_or(5432)
}

/// How a server is named in errors, and known again: `db1:5432`, `db1 (10.0.0.1):5432`, `/run/postgresql:5432`.
pub(super) fn label(server: &Config) -> String {
    let host = match server.get_hosts().first() {
        Some(Host::Tcp(name)) if name.contains(':') => format!("[{}]", harmless(name)),
        Some(Host::Tcp(name)) => harmless(name),
        #[cfg(unix)]
        Some(Host::Unix(path)) => harmless(socket_name(path)),
        None => String::new(),
    };
    let port = port(server);
    match server.get_hostaddrs().first().map(ToString::to_string) {
        Some(address) if address != host.trim_matches(['[', ']']) => format!("{host} ({address}):{port}"),
        _ => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn server(text: &str) -> Config {
        text.parse().unwrap()
    }

    #[test]
    fn labels_name_host_address_and_port() {
        assert_eq!(label(&server("host=db1")), "db1:5432");
        assert_eq!(label(&server("host=db1 hostaddr=10.0.0.1 port=7")), "db1 (10.0.0.1):7");
        assert_eq!(label(&server("host=127.0.0.1 hostaddr=127.0.0.1")), "127.0.0.1:5432");
        assert_eq!(label(&server("host=::1 port=7")), "[::1]:7");
        assert_eq!(label(&server("host=/run/pg")), "/run/pg:5432");
        assert_eq!(label(&server("host='a\u{202e}b'")), r"a\u{202e}b:5432");
        assert_eq!(label(&server("host='/run/p\u{1b}g'")), r"/run/p\u{1b}g:5432");
        assert!(label(&server(&format!("host={}", "x".repeat(2000)))).len() < 1100);
    }

    #[test]
    fn a_name_is_looked_up_and_an_address_is_not() {
        let found = addresses(&server("host=localhost port=7")).unwrap();
        assert!(found.iter().all(|config| config.get_hostaddrs().len() == 1 && config.get_ports() == [7]));
        assert!(addresses(&server("host=192.0.2.1")).unwrap()[0].get_hostaddrs().is_empty());
        assert!(addresses(&server("host=no.such.host.invalid")).is_err());
    }

    #[test]
    fn a_name_with_one_address_goes_behind_as_well() {
        // Names to us, which the resolver turns into addresses without asking anybody.
        let servers = ["host=127.1", "host=127.2"].map(server);
        let memory = Memory::default();
        let tried = RefCell::new(Vec::new());
        let open: &Open<'_> = &|server, limit| {
            tried.borrow_mut().push(label(server));
            let is_first = label(server).starts_with("127.1 ");
            Err(if is_first { PgError::unanswered(limit) } else { PgError::lost() })
        };
        let round =
            || Round::new(&memory, false, &Opening::default(), open).run(&servers, Duration::from_secs(60));
        assert!(round().is_err() && round().is_err());
        let first_round = ["127.1 (127.0.0.1):5432", "127.2 (127.0.0.2):5432"];
        assert_eq!(*tried.borrow(), [first_round, [first_round[1], first_round[0]]].concat());
    }

    #[test]
    fn servers_that_failed_go_behind_and_those_that_cost_time_last_until_one_look_again() {
        let memory = Memory::default();
        let order = || -> Vec<_> {
            memory
                .sort(["a", "b", "c"].map(|host| server(&format!("host={host}"))).into())
                .iter()
                .map(|(_, server)| label(server))
                .collect()
        };
        memory.mark("a:5432", Cost::AllItsTime);
        memory.mark("b:5432", Cost::Little);
        assert_eq!(order(), ["c:5432", "b:5432", "a:5432"]);
        let later = Instant::now() + RECHECK;
        assert_eq!((memory.rank("a:5432", later), memory.rank("a:5432", later)), (0, 2));
        memory.clear("b:5432");
        assert_eq!(memory.rank("b:5432", later), 0);
    }
}
