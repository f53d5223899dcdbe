//! Checkout and checkin of a connection that does nothing, beside r2d2, a mutexed vector and a bare lock-free queue;
//! and of one that is validated, by a manager of which it is not known that its `is_valid` returns, beside r2d2.
//!
//! Read the figures as ratios within one run: the machine may be shared. The table at the end gives them.

mod common;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use common::mode::Mode;
use common::rounds::{Rounds, quantile};
use common::subject::{LIMIT, OURS, R2D2, Subject, cyclers};
use common::table::{Bound, Row, Table, count, nanos};
use common::throughput::{cost_within, there_and_back_within, time_of};
use common::validated::{Ours, Theirs, Validates, checkouts_of_all};
use criterion::{BenchmarkId, Throughput};

/// Connections in every shape.
const CONNECTIONS: u32 = 8;

/// A shape, with what section 11 of the specification asks of it.
struct Shape {
    threads: usize,
    bar: f64,
    goal: f64,
    /// Rounds, and the time of each: the same for all subjects, so that none is interrupted more often. One thread's
    /// are short, so that most fall between two turns of whatever else runs on the machine; several have to meet.
    rounds: usize,
    micros: u64,
}

const SHAPES: [Shape; 2] = [
    Shape { threads: 1, bar: 5.0, goal: 10.0, rounds: 301, micros: 500 },
    Shape { threads: 8, bar: 20.0, goal: 50.0, rounds: 15, micros: 60_000 },
];

/// The most that one thread's cycle should cost of a bare queue's.
const OVER_QUEUE: f64 = 1.5;

/// A validated checkout, with what is asked of it.
struct Validated {
    what: &'static str,
    is_valid_takes: Duration,
    /// Of the figure: all of it, or what it is above r2d2's.
    beyond_r2d2: bool,
    bar: f64,
    goal: Option<f64>,
}

const VALIDATED: [Validated; 2] = [
    Validated {
        what: "validated checkout, `is_valid` does nothing",
        is_valid_takes: Duration::ZERO,
        beyond_r2d2: false,
        bar: 1.5,
        goal: Some(0.5),
    },
    Validated {
        what: "validated checkout, `is_valid` takes 20 µs",
        is_valid_takes: Duration::from_micros(20),
        beyond_r2d2: true,
        bar: 2.0,
        goal: None,
    },
];

/// What is measured after the subjects: a word handed to another thread and back, with nothing else.
const HAND_OVER: usize = 2;

/// How long connections rest: as long as they are trusted by default.
const REST: Duration = Duration::from_millis(500);

/// How many rest at once: with 64 rests the slowest of 1024 checkouts does not count.
const RESTING: u32 = 16;

/// How many times r2d2's time the slowest checkouts of rested connections should take at the most.
const AFTER_REST: f64 = 2.0;

fn main() -> ExitCode {
    let mode = Mode::from_args();
    let mut criterion = mode.criterion();
    for Shape { threads, .. } in SHAPES {
        let mut group =
            criterion.benchmark_group(format!("{threads} threads x {CONNECTIONS} connections x no hold"));
        group.throughput(Throughput::Elements(1));
        for subject in cyclers(CONNECTIONS) {
            group.bench_function(BenchmarkId::from_parameter(subject.name()), |bencher| {
                bencher.iter_custom(|cycles| time_of(&*subject, threads, cycles));
            });
        }
        group.finish();
    }
    criterion.final_summary();
    ratios(mode)
}

fn ratios(mode: Mode) -> ExitCode {
    let mut table = Table::new(
        "checkout + checkin of a connection that does nothing, medians of interleaved rounds",
        mode,
    );
    for Shape { threads, bar, goal, rounds, micros } in SHAPES {
        let (rounds, micros) = mode.pick((rounds, micros), (1, 500));
        let time = Duration::from_micros(micros);
        let subjects = cyclers(CONNECTIONS);
        let costs =
            Rounds::run(rounds, subjects.len(), |subject| cost_within(&*subjects[subject], threads, time));
        let row = |peer: usize, ratio: f64| {
            let what = format!("{} × {CONNECTIONS} connections", count(threads as u64, "thread"));
            let name = subjects[peer].name();
            Row::new(what, nanos(costs.median(OURS)), format!("{name} {}", nanos(costs.median(peer))), ratio)
        };
        for peer in R2D2..subjects.len() {
            let faster = row(peer, costs.ratio(peer, OURS));
            table.push(match peer {
                R2D2 => faster.bar(Bound::AtLeast(bar)).goal(Bound::AtLeast(goal)),
                _ => faster,
            });
        }
        if threads == 1 {
            let mut over = row(LIMIT, costs.ratio(OURS, LIMIT));
            over = over.unit("× the queue");
            table.push(over.goal(Bound::AtMost(OVER_QUEUE)));
        }
    }
    validated(mode, &mut table);
    rested(mode, &mut table);
    table.finish()
}

/// One thread whose every checkout is validated.
fn validated(mode: Mode, table: &mut Table) {
    for Validated { what, is_valid_takes, beyond_r2d2, bar, goal } in VALIDATED {
        let (rounds, micros) = mode.pick((101, 5_000), (1, 500));
        let ours = Ours::new(CONNECTIONS, Validates::EachCheckout, is_valid_takes);
        let subjects: [&dyn Subject; 2] = [&ours, &Theirs::new(CONNECTIONS, is_valid_takes)];
        let time = Duration::from_micros(micros);
        let costs = Rounds::run(rounds, 3, |subject| match subjects.get(subject) {
            Some(subject) => cost_within(*subject, 1, time),
            None => there_and_back_within(time),
        });
        let value = if beyond_r2d2 { costs.difference(OURS, R2D2) } else { costs.median(OURS) } / 1e3;
        let peer = format!("r2d2 {}", nanos(costs.median(R2D2)));
        let row = Row::new(what, nanos(costs.median(OURS)), peer, value).bar(Bound::AtMost(bar));
        let row = row.unit(if beyond_r2d2 { " µs more" } else { " µs" });
        table.push(match goal {
            Some(goal) => row.goal(Bound::AtMost(goal)),
            None => row,
        });
        let (beyond, word) = (costs.difference(OURS, R2D2), costs.median(HAND_OVER));
        let (what, peer) = (format!("{what}: beyond r2d2's"), format!("a word handed over {}", nanos(word)));
        table.push(Row::new(what, nanos(beyond), peer, beyond / word).unit("× the word"));
    }
}

/// The slowest checkouts of connections that have rested for as long as they are trusted.
fn rested(mode: Mode, table: &mut Table) {
    let (rests, rest) = mode.pick((64, REST), (1, Duration::from_millis(1)));
    let ours = Ours::new(RESTING, Validates::ByDefault, Duration::ZERO);
    let theirs = Theirs::new(RESTING, Duration::ZERO);
    let mut times = [Vec::new(), Vec::new()];
    // A pool begins to validate ahead once somebody has come upon connections that had rested for so long.
    let mut unforeseen = [0.0, 0.0];
    for round in 0..=rests + 1 {
        // In turns, since the first to run after a rest meets caches that others have used meanwhile.
        for turn in [round, round + 1] {
            let more = match turn % 2 {
                OURS => checkouts_of_all(RESTING, || ours.0.get()),
                _ => checkouts_of_all(RESTING, || theirs.0.get()),
            };
            match round {
                // They were opened just before.
                0 => {}
                1 => unforeseen[turn % 2] = quantile(more, 1.0),
                _ => times[turn % 2].extend(more),
            }
        }
        thread::sleep(rest);
    }
    let [ours, theirs] = unforeseen;
    let what = format!("checkout after the first rest of {REST:?}, worst of {RESTING}");
    table.push(Row::new(what, nanos(ours), format!("r2d2 {}", nanos(theirs)), ours / theirs).unit("× r2d2"));
    for (part, name) in [(0.5, "median"), (0.999, "p99.9")] {
        let [ours, theirs] = [OURS, R2D2].map(|subject| quantile(times[subject].iter().copied(), part));
        let what = format!("checkout after a rest of {REST:?}, {name}");
        let row = Row::new(what, nanos(ours), format!("r2d2 {}", nanos(theirs)), ours / theirs);
        let row = row.unit("× r2d2");
        table.push(if part > 0.9 { row.bar(Bound::AtMost(AFTER_REST)) } else { row });
    }
}
