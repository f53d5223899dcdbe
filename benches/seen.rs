//! What it costs checkouts to be looked at: a pool whose metrics are scraped over HTTP, beside one that nobody looks
//! at.
//!
//! Both are there all the time, and the one has its server and its page's history. In each of its rounds it is scraped,
//! by a thread of this process: once, as a Prometheus does each second at the most, or ten times.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use common::mode::Mode;
use common::rounds::Rounds;
use common::subject::Subject;
use common::table::{Bound, Row, Table, count, nanos};
use common::throughput::cost_within;
use tierpool::{MemoryManager, Tier, TieredPool, http};

const CONNECTIONS: u32 = 8;
/// One round, in which there is time for one scrape or for ten.
const ROUND: Duration = Duration::from_secs(1);
/// How long connections are held where threads wait.
const HOLD: Duration = Duration::from_millis(1);
/// The most that a checkout may take of what one takes at which nobody looks, and what it should: what both differ by
/// where neither is looked at.
const BAR: f64 = 1.05;
const GOAL: f64 = 1.01;

struct Pool(TieredPool<MemoryManager>);

impl Pool {
    fn new() -> Self {
        let builder = TieredPool::builder().automation(|tier| tier.base_size(CONNECTIONS).max_overflow(0));
        Pool(builder.build(|_| MemoryManager).unwrap())
    }
}

impl Subject for &Pool {
    fn name(&self) -> &'static str {
        "tierpool"
    }

    fn cycle(&self) -> u64 {
        *self.0.get(Tier::Automation).unwrap()
    }

    fn hold(&self, work: &mut dyn FnMut()) {
        let _conn = self.0.get(Tier::Automation).unwrap();
        work();
    }
}

/// The same pool where each connection is held for a while, so that threads wait.
struct Held<'a>(&'a Pool);

impl Subject for Held<'_> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cycle(&self) -> u64 {
        let conn = self.0.0.get(Tier::Automation).unwrap();
        thread::sleep(HOLD);
        *conn
    }

    fn hold(&self, work: &mut dyn FnMut()) {
        self.0.hold(work);
    }
}

fn main() -> ExitCode {
    let mode = Mode::from_args();
    let mut table = Table::new("checkouts of a pool that is scraped, medians of interleaved rounds", mode);
    let (seen, unseen) = (Pool::new(), Pool::new());
    let server = http::serve(&seen.0, "127.0.0.1:0").unwrap();
    let addr = server.addr();
    for (threads, is_held) in [(1, false), (8, false), (64, true)] {
        let of = |pool| -> Box<dyn Subject> { if is_held { Box::new(Held(pool)) } else { Box::new(pool) } };
        let (seen, unseen) = (of(&seen), of(&unseen));
        for scrapes in [1, 10] {
            let (rounds, time) = mode.pick((15, ROUND), (1, Duration::from_millis(20)));
            let costs = Rounds::run(rounds, 2, |subject| match subject {
                0 => thread::scope(|scope| {
                    scope.spawn(|| scrape(addr, scrapes, time));
                    cost_within(&*seen, threads, time)
                }),
                _ => cost_within(&*unseen, threads, time),
            });
            let held = if is_held { ", held for 1 ms" } else { "" };
            let what =
                format!("{}{held}, {} a second", count(threads as u64, "thread"), count(scrapes, "scrape"));
            let row = Row::new(
                what,
                nanos(costs.median(0)),
                format!("not looked at {}", nanos(costs.median(1))),
                costs.ratio(0, 1),
            );
            table.push(match scrapes {
                1 => row.bar(Bound::AtMost(BAR)).goal(Bound::AtMost(GOAL)),
                _ => row,
            });
        }
    }
    table.finish()
}

/// Scrapes so many times, evenly spread over a time.
fn scrape(addr: SocketAddr, times: u64, within: Duration) {
    let pause = within / (times as u32 + 1);
    for _ in 0..times {
        thread::sleep(pause);
        let mut client = TcpStream::connect(addr).unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.contains("db_pool_checkouts_total"),
            "{answer}"
        );
    }
}
