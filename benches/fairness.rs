//! Callers that wait in turn: the longest wait against the ideal one, and how many are served.
//!
//! A turn takes longer than the hold asked for, by the slack of the timer and the wake-up of a thread; the ideal does
//! not count that.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::crowd::{Shape, crowd};
use common::mode::Mode;
use common::rounds::{Rounds, quantile};
use common::subject::{OURS, R2D2, holders};
use common::table::{Bound, Row, Table, nanos};

const SHAPES: [Shape; 2] = [
    Shape { threads: 64, connections: 8, hold: Duration::from_millis(1) },
    Shape { threads: 500, connections: 50, hold: Duration::from_millis(5) },
];

/// The worst wait against the ideal one.
const WORST_BAR: Bound = Bound::AtMost(1.5);
const WORST_GOAL: Bound = Bound::AtMost(1.2);
/// The checkouts a second against r2d2's.
const RATE_BAR: Bound = Bound::AtLeast(0.97);
const RATE_GOAL: Bound = Bound::AtLeast(1.0);

fn main() -> ExitCode {
    let mode = Mode::from_args();
    let mut table = Table::new("callers that wait in turn, medians of interleaved rounds", mode);
    let rounds = mode.pick(9, 1);
    let time = mode.pick(Duration::from_millis(700), Duration::from_millis(50));
    for shape in SHAPES {
        let subjects = holders(shape.connections);
        let (mut rates, mut overtaken) = (Vec::new(), Vec::new());
        let mut held = Vec::new();
        let worst = Rounds::run(rounds, subjects.len(), |subject| {
            let waits = crowd(&*subjects[subject], shape, time);
            if subject == OURS {
                held.push(waits.held.as_nanos() as f64);
            }
            rates.push(waits.rate);
            overtaken.push(waits.overtaken as f64);
            let at = |part| nanos(quantile(waits.waits.iter().copied(), part));
            eprintln!(
                "{shape}: {:14} {:7.0}/s  p50 {:>9}  p99 {:>9}  worst {:>9}",
                subjects[subject].name(),
                waits.rate,
                at(0.5),
                at(0.99),
                at(1.0)
            );
            waits.worst()
        });
        let by_round = |values: Vec<f64>| {
            let mut values = values.into_iter();
            Rounds::run(rounds, subjects.len(), |_| values.next().expect("BUG: fewer values than runs"))
        };
        let (rates, overtaken) = (by_round(rates), by_round(overtaken));
        let ideal = shape.ideal().as_nanos() as f64;
        for (number, subject) in subjects.iter().enumerate() {
            let row = Row::new(
                format!("{shape}: worst wait"),
                format!("{} {}", subject.name(), nanos(worst.median(number))),
                format!("ideal {}", nanos(ideal)),
                worst.median(number) / ideal,
            );
            table.push(if number == OURS { row.bar(WORST_BAR).goal(WORST_GOAL) } else { row });
        }
        for (peer, subject) in subjects.iter().enumerate().skip(R2D2) {
            table.push(Row::new(
                format!("{shape}: others served while one waits, at most"),
                format!("{:.0}", overtaken.median(OURS)),
                format!("{} {:.0}", subject.name(), overtaken.median(peer)),
                overtaken.ratio(peer, OURS),
            ));
        }
        let turn = quantile(held, 0.5);
        println!("{shape}: a hold took {}", nanos(turn));
        for (peer, subject) in subjects.iter().enumerate().skip(R2D2) {
            let row = Row::new(
                format!("{shape}: throughput"),
                format!("{:.0}/s", rates.median(OURS)),
                format!("{} {:.0}/s", subject.name(), rates.median(peer)),
                rates.ratio(OURS, peer),
            );
            table.push(if peer == R2D2 { row.bar(RATE_BAR).goal(RATE_GOAL) } else { row });
        }
    }
    table.finish()
}
