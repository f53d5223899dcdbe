//! Five hundred users on fifty connections, each with queries of 40 ms.
//!
//! Two ways to come: at nine tenths of the rate that the pool can serve, each at a random moment of its period; and
//! all at once, again as soon as served. A time counts from when the user wanted the query, its own 40 ms included.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use tierpool::Tier;

use super::pools;
use crate::common::mode::Mode;
use crate::common::rounds::quantile;
use crate::common::table::{Bound, Row, Table, nanos};
use crate::support::cluster::Cluster;

const STACK: usize = 256 * 1024;
/// Of the rate that the connections can serve.
const LOAD: f64 = 0.9;

#[derive(Clone, Copy)]
struct Crowd {
    users: u32,
    connections: u32,
    query: Duration,
    /// Queries of each user.
    each: u32,
}

/// Times in nanoseconds, and how many queries failed.
struct Outcome {
    times: Vec<f64>,
    errors: usize,
}

impl Outcome {
    fn at(&self, part: f64) -> f64 {
        quantile(self.times.iter().copied(), part)
    }

    fn shown(&self, name: &str) -> String {
        let (p95, worst) = (nanos(self.at(0.95)), nanos(self.at(1.0)));
        format!("{name}: {} errors, p95 {p95}, worst {worst}", self.errors)
    }
}

impl Crowd {
    /// A turn of all users.
    fn ideal(&self) -> f64 {
        self.query.as_nanos() as f64 * f64::from(self.users) / f64::from(self.connections)
    }

    /// Has every user ask, `period` after `period` at a random moment, or without a pause where there is no period.
    fn run(
        &self,
        period: Option<Duration>,
        ask: &(impl Fn(Duration) -> Result<(), String> + Sync),
    ) -> Outcome {
        let barrier = Barrier::new(self.users as usize);
        let user = |seed: u64| {
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut outcome = Outcome { times: Vec::new(), errors: 0 };
            barrier.wait();
            let begun = Instant::now();
            for turn in 0..self.each {
                let wanted = match period {
                    Some(period) => begun + period * turn + period.mul_f64(dice.f64()),
                    None => Instant::now(),
                };
                thread::sleep(wanted.saturating_duration_since(Instant::now()));
                match ask(self.query) {
                    Ok(()) => outcome.times.push(wanted.elapsed().as_nanos() as f64),
                    Err(error) => {
                        eprintln!("{error}");
                        outcome.errors += 1;
                    }
                }
            }
            outcome
        };
        thread::scope(|scope| {
            let start = |seed: u32| {
                let thread = thread::Builder::new().stack_size(STACK);
                thread.spawn_scoped(scope, move || user(seed.into())).expect("a thread can be started")
            };
            let users: Vec<_> = (0..self.users).map(start).collect();
            let mut all = Outcome { times: Vec::new(), errors: 0 };
            for user in users {
                let own = user.join().unwrap();
                all.times.extend(own.times);
                all.errors += own.errors;
            }
            all
        })
    }
}

fn sleep(client: &mut Client, time: Duration) -> Result<(), String> {
    let text = format!("SELECT pg_sleep({})", time.as_secs_f64());
    client.batch_execute(&text).map_err(|error| error.to_string())
}

pub fn measure(mode: Mode, cluster: &Cluster, table: &mut Table) {
    let full = Crowd { users: 500, connections: 50, query: Duration::from_millis(40), each: 10 };
    let few = Crowd { users: 20, connections: 4, query: Duration::from_millis(4), each: 2 };
    let crowd = mode.pick(full, few);
    let Crowd { users, connections, query, .. } = crowd;
    let period = query.mul_f64(f64::from(users) / f64::from(connections) / LOAD);

    let ours = pools::ours(cluster, connections);
    let asks_ours = |time| {
        let mut conn = ours.get(Tier::Automation).map_err(|error| error.to_string())?;
        sleep(&mut conn, time)
    };
    let theirs = pools::r2d2(cluster, connections, true);
    let asks_theirs = |time| {
        let mut conn = theirs.get().map_err(|error| error.to_string())?;
        sleep(&mut conn, time)
    };
    let rate = [crowd.run(Some(period), &asks_ours), crowd.run(Some(period), &asks_theirs)];
    let at_once = [crowd.run(None, &asks_ours), crowd.run(None, &asks_theirs)];

    let what = format!("{users} users, {connections} connections, {query:?} queries");
    let shown = |[ours, theirs]: &[Outcome; 2]| (ours.shown("tierpool"), theirs.shown("r2d2"));
    let (mine, peer) = shown(&rate);
    let row = |what: String, value| Row::new(what, mine.clone(), peer.clone(), value);
    let errors = row(format!("{what}, at {LOAD} of the rate: errors"), rate[0].errors as f64);
    table.push(errors.unit("").bar(Bound::AtMost(0.0)));
    let p95 = row(format!("{what}, at {LOAD} of the rate: p95"), rate[0].at(0.95) / 1e6);
    table.push(p95.unit(" ms").bar(Bound::AtMost(crowd.ideal() / 1e6)));
    let (mine, peer) = shown(&at_once);
    let ideal = crowd.ideal();
    let worst = Row::new(
        format!("{what}, all at once: worst against {}", nanos(ideal)),
        mine,
        peer,
        at_once[0].at(1.0) / ideal,
    );
    table.push(worst.goal(Bound::AtMost(1.5)));
}
