//! A person's checkout while automation is saturated: its 99th percentile against the one of an idle pool.
//!
//! The person comes again a millisecond after the last time. Automation's threads take connections, hold each for 2 ms
//! on the server, and queue, since there are more of them than connections.

use std::cell::Cell;
use std::fs;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tierpool::Tier;

use super::checkout::QUERY;
use super::pools;
use crate::common::mode::Mode;
use crate::common::rounds::{Rounds, quantile};
use crate::common::table::{Bound, Row, Table, nanos};
use crate::support::cluster::Cluster;
use crate::support::wait::{Over, eventually};

const THREADS: usize = 64;
const CONNECTIONS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(1);
const HOLD: &str = "SELECT pg_sleep(0.002)";
const BOUND: Duration = Duration::from_secs(20);

/// The 99th percentile of a checkout and its checkin.
struct P99 {
    /// Of those from whose thread no core was taken meanwhile: with more threads that want to run than cores are there,
    /// the others tell of the machine.
    undisturbed: f64,
    of_all: f64,
    /// Not the 99th percentile, but the median, of all.
    usual: f64,
}

/// The person asks something with what it takes, outside of the time that counts: a connection that has heard nothing
/// of the server for a second is pinged, and how many of those there are would be the machine's speed.
fn p99<G>(checkouts: usize, mut checkout: impl FnMut() -> G, mut asks: impl FnMut(&mut G)) -> P99 {
    let times: Vec<(f64, bool)> = (0..checkouts)
        .map(|_| {
            thread::sleep(PAUSE);
            let (mut conn, taking, undisturbed) = timed(&mut checkout);
            asks(&mut conn);
            let ((), giving_back, still_undisturbed) = timed(|| drop(conn));
            ((taking + giving_back).as_nanos() as f64, undisturbed && still_undisturbed)
        })
        .collect();
    let undisturbed = times.iter().filter(|(_, undisturbed)| *undisturbed).map(|(took, _)| *took);
    let [usual, of_all] = [0.5, 0.99].map(|share| quantile(times.iter().map(|(took, _)| *took), share));
    let mut undisturbed = undisturbed.peekable();
    // Without any, as on a system that does not count, those of all are no better than they are.
    let undisturbed = if undisturbed.peek().is_some() { quantile(undisturbed, 0.99) } else { of_all };
    P99 { undisturbed, of_all, usual }
}

/// Does this, and tells how long it took, and whether this thread kept its core meanwhile.
fn timed<T>(step: impl FnOnce() -> T) -> (T, Duration, bool) {
    let taken_away = times_interrupted();
    let begun = Instant::now();
    let done = step();
    let took = begun.elapsed();
    (done, took, times_interrupted() == taken_away)
}

/// How often this thread had to leave its core to another that wanted it. Where it waits of its own it is not counted.
fn times_interrupted() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// Does `measure` while `THREADS` threads do `work` again and again, from when `saturated` on.
fn under_load<T>(
    work: impl Fn() + Sync,
    mut saturated: impl FnMut() -> bool,
    measure: impl FnOnce() -> T,
) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&stop);
        for _ in 0..THREADS {
            scope.spawn(|| {
                // Relaxed: a flag that is seen soon enough.
                while !stop.load(Ordering::Relaxed) {
                    work();
                }
            });
        }
        eventually(BOUND, "automation is saturated", &mut saturated);
        measure()
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
    let adhoc = || {
        let take = || ours.get(Tier::Adhoc).unwrap();
        p99(checkouts, take, |conn| conn.batch_execute(QUERY).unwrap())
    };
    let one_pool = |checkouts| {
        let take = || theirs.get().unwrap();
        p99(checkouts, take, |conn| conn.batch_execute(QUERY).unwrap())
    };
    // A loop that ends by the clock, after as long as the usual checkout of the idle pool: what is longer was taken
    // from it as it was to end.
    let usual = Cell::new(Duration::ZERO);
    let mut kept = cluster.client();
    let mut spin = || {
        let spins = || {
            let begun = Instant::now();
            while begun.elapsed() < usual.get() {
                spin_loop();
            }
        };
        p99(checkouts, spins, |()| kept.batch_execute(QUERY).unwrap())
    };
    let is_saturated = || ours.automation().gauges().waiting > 0;
    let mut of_all = [const { Vec::new() }; 6];
    let times = Rounds::run(mode.pick(5, 1), of_all.len(), |which| {
        let p99 = match which {
            0 => adhoc(),
            1 => under_load(automation, is_saturated, adhoc),
            2 => one_pool(checkouts),
            4 => spin(),
            5 => under_load(automation, is_saturated, &mut spin),
            _ => under_load(
                everybody,
                || theirs.state().idle_connections == 0,
                // Each of these waits: a few tell enough.
                || one_pool(checkouts / 10 + 1),
            ),
        };
        if which == 0 {
            usual.set(Duration::from_nanos(p99.usual as u64));
        }
        of_all[which].push(p99.of_all);
        p99.undisturbed
    });
    let shown = |figure: &dyn Fn(usize) -> f64| {
        let ours = format!("{}, idle {}", nanos(figure(1)), nanos(figure(0)));
        (ours, format!("r2d2, one pool, {}, idle {}", nanos(figure(3)), nanos(figure(2))))
    };
    let what = format!("ad-hoc checkout p99, automation saturated by {THREADS} threads");
    let (ours, theirs) = shown(&|which| times.median(which));
    let row = Row::new(what.as_str(), ours.as_str(), theirs, times.ratio(1, 0));
    table.push(row.bar(Bound::AtMost(2.0)).goal(Bound::AtMost(1.2)));
    let [idle, saturated] = [4, 5].map(|which| nanos(times.median(which)));
    let spin = format!("a loop as long, {saturated}, idle {idle}");
    let of_spin = times.median(1) / times.median(5);
    table.push(Row::new(format!("{what}: over a loop's"), ours, spin, of_spin));
    let median = |which: usize| quantile(of_all[which].iter().copied(), 0.5);
    let (ours, theirs) = shown(&median);
    let what = format!("{what}, with those from whose thread the core was taken");
    table.push(Row::new(what, ours, theirs, median(1) / median(0)));
}
