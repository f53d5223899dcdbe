//! What processes of this machine tell by their admin sockets.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use tierpool::Tier;
use tierpool::stats::Histogram;

/// Pools of one process that are taken in.
const MOST_POOLS: usize = 64;

/// Servers of one pool that are taken in.
const MOST_SERVERS: usize = 16;

/// Characters of a name or text that are taken in.
const LONGEST_TEXT: usize = 200;

/// No pool counts as many checkouts: such a number is no answer of one.
const MOST_COUNTED: u64 = 1 << 50;

/// What was told, and what was not.
#[derive(Debug, Default)]
pub struct Live {
    pub pools: Vec<LivePool>,
    /// Sockets that gave no answer.
    pub silent: Vec<Silent>,
    /// What keeps all from being asked.
    pub notes: Vec<String>,
}

/// A socket of a process that gave no answer.
#[derive(Clone, Debug)]
pub struct Silent {
    pub app: String,
    pub process: u32,
    pub why: String,
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Silent { app, process, why } = self;
        write!(f, "the admin socket of {app}, process {process}, tells nothing: {why}")
    }
}

/// A pool of a process that answered.
#[derive(Clone, Debug)]
pub struct LivePool {
    pub process: u32,
    pub name: String,
    /// Where it leads, each as `host:port/database`; none where it does not tell.
    pub servers: Vec<String>,
    pub told: Told,
}

/// Two of a kind, by tier.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ByTier<T> {
    pub automation: T,
    pub adhoc: T,
}

/// The part of a pool's answer that is used here.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    pub is_healthy: bool,
    pub verdict: String,
    pub message: String,
    pub total_connections: u32,
    pub available: u32,
    pub reserved: u32,
    pub guaranteed: u32,
    #[serde(flatten)]
    pub tiers: ByTier<TierStats>,
    pub holders: ByTier<Vec<Person>>,
    pub queues: ByTier<Vec<Person>>,
    pub backend_pids: ByTier<Vec<i32>>,
    pub connection_timeout_seconds: ByTier<f64>,
    #[serde(default)]
    pub fleet: Option<Fleet>,
}

/// The fleet that a pool's budget is shared in.
#[derive(Clone, Debug, Deserialize)]
pub struct Fleet {
    pub name: String,
    pub slots: u32,
    pub slots_held: u32,
    pub members: u32,
    pub wanting: u32,
    pub asking: u32,
}

/// The part of a tier's statistics that is used here.
#[derive(Clone, Debug, Deserialize)]
pub struct TierStats {
    pub gauges: Gauges,
    pub lent: u32,
    pub ceiling: u32,
    pub base_size: u32,
    pub overflow: u32,
    pub checkouts: Checkouts,
    pub wait: Wait,
    pub oldest_waiter: Option<Duration>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Gauges {
    pub idle: u32,
    pub opening: u32,
    pub waiting: u32,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Checkouts {
    pub timed_out: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Wait {
    pub counts: Vec<u64>,
}

/// Who has a connection, or waits for one.
#[derive(Clone, Debug, Deserialize)]
pub struct Person {
    pub thread: String,
    pub location: String,
    #[serde(default)]
    pub tag: Option<String>,
    #[serde(alias = "held_seconds", alias = "waited_seconds")]
    pub seconds: f64,
    /// Of a holder, the number of its connection in its pool.
    #[serde(default)]
    pub connection_id: u64,
    /// Of a holder, by which number the server knows the connection.
    #[serde(default)]
    pub backend_pid: Option<i32>,
    /// Of who waits, for how much longer at the most.
    #[serde(default)]
    pub seconds_left: Option<f64>,
}

impl LivePool {
    /// Both tiers' people of a kind.
    pub fn people<'a>(
        &'a self,
        of: impl Fn(&'a Told) -> &'a ByTier<Vec<Person>>,
    ) -> impl Iterator<Item = (Tier, &'a Person)> {
        let both = of(&self.told);
        let of_tier = |tier, people: &'a [Person]| people.iter().map(move |person| (tier, person));
        of_tier(Tier::Automation, &both.automation).chain(of_tier(Tier::Adhoc, &both.adhoc))
    }

    /// By which numbers the server knows its connections, by tier.
    pub fn pids(&self) -> impl Iterator<Item = (Tier, i32)> + use<'_> {
        let ByTier { automation, adhoc } = &self.told.backend_pids;
        let automation = automation.iter().map(|pid| (Tier::Automation, *pid));
        automation.chain(adhoc.iter().map(|pid| (Tier::Adhoc, *pid)))
    }
}

#[derive(Deserialize)]
struct Answer {
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
struct Pool {
    name: String,
    #[serde(default)]
    servers: Vec<String>,
    told: Told,
}

impl TierStats {
    /// The wait that 99 of 100 checkouts did not exceed; `None` without any.
    pub fn wait_p99(&self) -> Option<Duration> {
        let mut waits = Histogram::default();
        waits.counts.iter_mut().zip(&self.wait.counts).for_each(|(count, told)| *count = *told);
        waits.quantile(0.99)
    }
}

/// The pools in an answer; `None` for one that no pool gives.
fn taken_in(process: u32, answer: &str) -> Option<Vec<LivePool>> {
    let answer: Answer = serde_json::from_str(answer).ok()?;
    let pools: Vec<_> = answer.pools.into_iter().take(MOST_POOLS).collect();
    let tiers = || pools.iter().flat_map(|pool| [&pool.told.tiers.automation, &pool.told.tiers.adhoc]);
    let counts = tiers().flat_map(|tier| tier.wait.counts.iter().chain([&tier.checkouts.timed_out]));
    if counts.into_iter().any(|count| *count > MOST_COUNTED) {
        return None;
    }
    let harmless = |Pool { name, servers, mut told }| {
        let fleet = told.fleet.iter_mut().map(|fleet| &mut fleet.name);
        for text in [&mut told.verdict, &mut told.message].into_iter().chain(fleet) {
            *text = shown(text);
        }
        let people = [&mut told.holders, &mut told.queues].into_iter();
        for person in people.flat_map(|both| both.automation.iter_mut().chain(&mut both.adhoc)) {
            person.thread = shown(&person.thread);
            person.location = shown(&person.location);
            person.tag = person.tag.as_deref().map(shown);
        }
        let servers = servers.iter().take(MOST_SERVERS).map(|server| shown(server)).collect();
        LivePool { process, name: shown(&name), servers, told }
    };
    Some(pools.into_iter().map(harmless).collect())
}

/// A text of others, on one line and bounded, with nothing in it that a terminal obeys.
pub fn shown(text: &str) -> String {
    let is_plain = |c: char| c == ' ' || c.is_alphanumeric() || c.is_ascii_graphic();
    text.chars().take(LONGEST_TEXT).map(|c| if is_plain(c) { c } else { '?' }).collect()
}

#[cfg(unix)]
mod sockets {
    use std::io::ErrorKind;
    use std::time::Duration;

    use tierpool::http::AdminSocket;

    use super::{Live, Silent, shown, taken_in};

    /// The longest that all sockets together are waited for: an answer takes a millisecond or so.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Asks every process of this user that has an admin socket. One that has ended is none, though its socket may be
    /// there still.
    pub fn look() -> Live {
        let mut live = Live::default();
        let asked = AdminSocket::all()
            .and_then(|sockets| Ok((AdminSocket::ask_all(&sockets, "/status", PATIENCE)?, sockets)));
        let (answers, sockets) = match asked {
            Ok(asked) => asked,
            Err(error) => {
                live.notes.push(format!("admin sockets cannot be looked for: {}", shown(&error.to_string())));
                return live;
            }
        };
        for (socket, answer) in sockets.iter().zip(answers) {
            let why = match answer {
                Ok(answer) => match taken_in(socket.process(), &answer) {
                    Some(pools) => {
                        live.pools.extend(pools);
                        continue;
                    }
                    None => "an answer that no pool of this version gives".to_owned(),
                },
                Err(gone) if matches!(gone.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
                    continue;
                }
                Err(error) => error.to_string(),
            };
            let (app, process) = (shown(socket.app()), socket.process());
            live.silent.push(Silent { app, process, why: shown(&why) });
        }
        live
    }
}

#[cfg(unix)]
pub use sockets::look;

/// There are none on this system.
#[cfg(not(unix))]
pub fn look() -> Live {
    Live { notes: vec!["this system has no admin sockets".to_owned()], ..Live::default() }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A pool with what a test says of it.
    pub fn pool(process: u32, pids: &[i32], change: impl FnOnce(&mut Told)) -> LivePool {
        let tier = |ceiling| TierStats {
            gauges: Gauges { idle: 0, opening: 0, waiting: 0 },
            lent: 0,
            ceiling,
            base_size: ceiling,
            overflow: 0,
            checkouts: Checkouts { timed_out: 0 },
            wait: Wait { counts: Vec::new() },
            oldest_waiter: None,
        };
        let mut told = Told {
            is_healthy: true,
            verdict: "Healthy".to_owned(),
            message: "Healthy".to_owned(),
            total_connections: 9,
            available: 7,
            reserved: 2,
            guaranteed: 2,
            tiers: ByTier { automation: tier(7), adhoc: tier(2) },
            holders: ByTier::default(),
            queues: ByTier::default(),
            backend_pids: ByTier { automation: pids.to_vec(), adhoc: Vec::new() },
            connection_timeout_seconds: ByTier { automation: 60.0, adhoc: 60.0 },
            fleet: None,
        };
        change(&mut told);
        LivePool { process, name: "scraper".to_owned(), servers: Vec::new(), told }
    }

    /// Somebody who waits.
    pub fn waiter(seconds: f64, seconds_left: Option<f64>) -> Person {
        Person {
            thread: "worker".to_owned(),
            location: "src/bin/scraper.rs:7:9".to_owned(),
            tag: None,
            seconds,
            connection_id: 0,
            backend_pid: None,
            seconds_left,
        }
    }

    #[test]
    fn an_answer_of_another_program_is_none() {
        for answer in ["", "{}", "[1, 2]", r#"{"pools": [{"name": "a", "told": {}}]}"#, &"[".repeat(10_000)] {
            assert!(taken_in(7, answer).is_none(), "{answer}");
        }
        assert_eq!(taken_in(7, r#"{"process": 7, "pools": []}"#).unwrap().len(), 0);
    }

    #[test]
    fn texts_of_others_forge_no_line_and_are_bounded() {
        assert_eq!(shown("früh [tag] at a/b.rs:7"), "früh [tag] at a/b.rs:7");
        assert_eq!(shown("a\nb\x1b[2J\u{202e}c"), "a?b?[2J?c");
        assert_eq!(shown(&"x".repeat(9_999)).len(), LONGEST_TEXT);
    }
}
