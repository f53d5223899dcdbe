//! What a fleet costs a program that is part of one, beside the same pool without: a checkout, an opening, and what the
//! server is asked meanwhile.

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use common::mode::Mode;
use common::rounds::Rounds;
use common::table::{Bound, Row, Table, nanos};
use support::cluster::Cluster;
use tierpool::{PgBuilder, PgPool, Tier};

/// One round of checkouts, in which there is time for a look.
const ROUND: Duration = Duration::from_secs(1);
/// Checkouts between two looks at the clock.
const BATCH: u64 = 1000;
/// A look comes once a second, a quarter of it more or less.
const LOOKS: f64 = 1.34;

/// A pool of one connection, in a fleet or in none.
fn pool(cluster: &Cluster, size: u32, in_fleet: bool) -> PgPool {
    let builder = PgBuilder::new().url(cluster.plain_url()).app_name("bench").base_size(size).max_overflow(0);
    let builder = if in_fleet { builder.fleet("bench").total_connections(60).reserved(5) } else { builder };
    builder.build().unwrap()
}

fn main() -> ExitCode {
    let mode = Mode::from_args();
    let cluster = match Cluster::builder().start() {
        Ok(cluster) => cluster,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut table = Table::new("a pool in a fleet, beside the same one without", mode);
    checkouts(mode, &cluster, &mut table);
    openings(&cluster, &mut table);
    questions(mode, &cluster, &mut table);
    table.finish()
}

fn checkouts(mode: Mode, cluster: &Cluster, table: &mut Table) {
    let pools = [true, false].map(|in_fleet| pool(cluster, 1, in_fleet));
    let (rounds, time) = mode.pick((21, ROUND), (1, Duration::from_millis(20)));
    let costs = Rounds::run(rounds, pools.len(), |subject| {
        let (begun, mut cycles) = (Instant::now(), 0);
        while begun.elapsed() < time {
            (0..BATCH).for_each(|_| drop(pools[subject].get(Tier::Automation).unwrap()));
            cycles += BATCH;
        }
        begun.elapsed().as_nanos() as f64 / cycles as f64
    });
    let row = Row::new(
        "a checkout and its checkin, 1 thread",
        nanos(costs.median(0)),
        format!("without {}", nanos(costs.median(1))),
        costs.ratio(0, 1),
    );
    table.push(row.bar(Bound::AtMost(1.05)).goal(Bound::AtMost(1.01)));
}

/// The second connection of a program: the first one looks at the server besides.
fn openings(cluster: &Cluster, table: &mut Table) {
    let [ours, without] = [true, false].map(|in_fleet| {
        let pool = pool(cluster, 2, in_fleet);
        let _first = pool.get(Tier::Automation).unwrap();
        pool.get(Tier::Automation).unwrap().round_trips().expect("it is observed over TCP")
    });
    let more = ours as f64 - without as f64;
    let row = Row::new("an opening", format!("{ours} trips"), format!("without {without}"), more);
    table.push(row.unit(" more").bar(Bound::AtMost(1.0)));
}

/// What is asked on the only connection of a program, besides what it asks itself.
fn questions(mode: Mode, cluster: &Cluster, table: &mut Table) {
    let time = mode.pick(Duration::from_secs(15), Duration::from_millis(100));
    for is_busy in [false, true] {
        let [ours, without] = [true, false].map(|in_fleet| {
            let pool = pool(cluster, 1, in_fleet);
            let trips = || pool.get(Tier::Automation).unwrap().round_trips().unwrap();
            let (before, begun, mut own) = (trips(), Instant::now(), 0);
            while begun.elapsed() < time {
                thread::sleep(Duration::from_millis(1));
                if is_busy {
                    pool.get(Tier::Automation).unwrap().batch_execute("SELECT 1").unwrap();
                    own += 1;
                }
            }
            (trips() - before - own) as f64 / begun.elapsed().as_secs_f64()
        });
        let program = if is_busy { "a busy" } else { "an idle" };
        let row = Row::new(
            format!("questions of {program} program"),
            format!("{ours:.2} a second"),
            format!("without {without:.2}"),
            ours - without,
        );
        table.push(row.unit(" more a second").bar(Bound::AtMost(LOOKS)));
    }
}
