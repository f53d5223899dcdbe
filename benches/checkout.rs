//! Checkout and checkin of a connection that does nothing, beside r2d2, a mutexed vector and a bare lock-free queue.
//!
//! Read the figures as ratios within one run: the machine may be shared. The table at the end gives them.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::mode::Mode;
use common::rounds::Rounds;
use common::subject::{LIMIT, OURS, R2D2, cyclers};
use common::table::{Bound, Row, Table, count, nanos};
use common::throughput::{cost_within, time_of};
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
    table.finish()
}
