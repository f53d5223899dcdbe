//! A person's checkout while automation is saturated: its 99th percentile against the one of an idle pool.
//!
//! The person comes a thousand times a second. Automation's threads take connections, hold each for 2 ms on the
//! server, and queue, since there are more of them than connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tierpool::Tier;

use super::pools;
use crate::common::mode::Mode;
use crate::common::rounds::{Rounds, quantile};
use crate::common::table::{Bound, Row, Table, nanos};
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

const THREADS: usize = 64;
const CONNECTIONS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(1);
const HOLD: &str = "SELECT pg_sleep(0.002)";
const BOUND: Duration = Duration::from_secs(20);

/// The 99th percentile of a checkout and its checkin.
fn p99(checkouts: usize, mut checkout: impl FnMut()) -> f64 {
    let times = (0..checkouts).map(|_| {
        thread::sleep(PAUSE);
        let begun = Instant::now();
        checkout();
        begun.elapsed().as_nanos() as f64
    });
    quantile(times, 0.99)
}

/// Does `measure` while `THREADS` threads do `work` again and again, from when `saturated` on.
fn under_load<T>(
    work: impl Fn() + Sync,
    mut saturated: impl FnMut() -> bool,
    measure: impl FnOnce() -> T,
) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // Relaxed: a flag that is seen soon enough.
                while !stop.load(Ordering::Relaxed) {
                    work();
                }
            });
        }
        eventually(BOUND, "automation is saturated", &mut saturated);
        let measured = measure();
        stop.store(true, Ordering::Relaxed);
        measured
    })
}

pub fn measure(mode: Mode, cluster: &Cluster, table: &mut Table) {
    let checkouts = mode.pick(600, 20);
    let ours = pools::ours(cluster, CONNECTIONS);
    let theirs = pools::r2d2(cluster, CONNECTIONS + ours.reserved(), true);
    let automation = || {
        let mut conn = ours.get(Tier::Automation).unwrap();
        conn.batch_execute(HOLD).unwrap();
    };
    let everybody = || theirs.get().unwrap().batch_execute(HOLD).unwrap();
    let adhoc = || p99(checkouts, || drop(ours.get(Tier::Adhoc).unwrap()));
    let times = Rounds::run(mode.pick(5, 1), 4, |which| match which {
        0 => adhoc(),
        1 => under_load(automation, || ours.automation().gauges().waiting > 0, adhoc),
        2 => p99(checkouts, || drop(theirs.get().unwrap())),
        _ => under_load(
            everybody,
            || theirs.state().idle_connections == 0,
            // Each of these waits: a few tell enough.
            || p99(checkouts / 10 + 1, || drop(theirs.get().unwrap())),
        ),
    });
    let row = Row::new(
        format!("ad-hoc checkout p99, automation saturated by {THREADS} threads"),
        format!("{}, idle {}", nanos(times.median(1)), nanos(times.median(0))),
        format!("r2d2, one pool, {}, idle {}", nanos(times.median(3)), nanos(times.median(2))),
        times.ratio(1, 0),
    );
    table.push(row.bar(Bound::AtMost(2.0)).goal(Bound::AtMost(1.2)));
}
