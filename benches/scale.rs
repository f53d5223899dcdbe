//! How the cost of a cycle grows with threads and connections.
//!
//! `SCALE_SVG=FILE` has the curves drawn into a file.

#[path = "../src/bin/tierpool/chart.rs"]
mod chart;
mod common;

use std::process::ExitCode;
use std::time::Duration;

use chart::{Chart, Line, count_tick, nanos_tick};
use common::mode::Mode;
use common::rounds::Rounds;
use common::subject::{OURS, R2D2, cyclers};
use common::table::{Row, Table, count, nanos};
use common::throughput::{cost_within, time_of};
use criterion::{BenchmarkId, Criterion, Throughput};

const THREADS: [usize; 4] = [1, 8, 64, 512];
const CONNECTIONS: [u32; 4] = [1, 8, 64, 1024];

/// Names the file for the curves.
const SVG_VARIABLE: &str = "SCALE_SVG";

fn main() -> ExitCode {
    let mode = Mode::from_args();
    let mut criterion = mode.criterion();
    if mode == Mode::Full {
        criterion = criterion
            .warm_up_time(Duration::from_millis(50))
            .measurement_time(Duration::from_millis(200))
            .sample_size(10);
    }
    for connections in CONNECTIONS {
        by_criterion(&mut criterion, connections);
    }
    criterion.final_summary();

    let mut table = Table::new("cost of a cycle, all threads together, medians of interleaved rounds", mode);
    let charts: Vec<Chart> = CONNECTIONS.map(|connections| by_rounds(mode, connections, &mut table)).into();
    if let Some(file) = std::env::var_os(SVG_VARIABLE) {
        let written = chart::svg(&charts, 2)
            .and_then(|svg| std::fs::write(&file, svg).map_err(|error| error.to_string()));
        if let Err(error) = written {
            eprintln!("{SVG_VARIABLE} is {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    table.finish()
}

/// Ours alone: the peers are in the table, and a crowd of 512 on one connection of theirs takes long.
fn by_criterion(criterion: &mut Criterion, connections: u32) {
    let subject = cyclers(connections).swap_remove(OURS);
    for threads in THREADS {
        let mut group =
            criterion.benchmark_group(format!("{threads} threads x {connections} connections x no hold"));
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(subject.name()), |bencher| {
            bencher.iter_custom(|cycles| time_of(&*subject, threads, cycles));
        });
        group.finish();
    }
}

fn by_rounds(mode: Mode, connections: u32, table: &mut Table) -> Chart {
    let rounds = mode.pick(5, 1);
    let time = mode.pick(Duration::from_millis(100), Duration::from_millis(2));
    let subjects = cyclers(connections);
    let mut lines: Vec<Line> =
        subjects.iter().map(|s| Line { name: s.name().to_owned(), points: Vec::new() }).collect();
    for threads in THREADS {
        let costs =
            Rounds::run(rounds, subjects.len(), |subject| cost_within(&*subjects[subject], threads, time));
        for (number, line) in lines.iter_mut().enumerate() {
            line.points.push((threads as f64, costs.median(number)));
        }
        table.push(Row::new(
            format!("{} × {}", count(threads as u64, "thread"), count(connections, "connection")),
            nanos(costs.median(OURS)),
            (R2D2..subjects.len())
                .map(|peer| format!("{} {}", subjects[peer].name(), nanos(costs.median(peer))))
                .collect::<Vec<_>>()
                .join(", "),
            costs.ratio(R2D2, OURS),
        ));
    }
    Chart {
        title: count(connections, "connection"),
        x_label: "threads".to_owned(),
        y_label: "one cycle, all threads together".to_owned(),
        lines,
        x_is_log: true,
        y_is_log: true,
        x_tick: count_tick,
        y_tick: nanos_tick,
    }
}
