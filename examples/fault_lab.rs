//! Puts tierpool and r2d2 through the same faults of server and network, and prints what came of it side by side.
//!
//! ```text
//! cargo run --release --example fault_lab            # all of them, some four minutes
//! cargo run --release --example fault_lab F4 F7c     # some
//! ```
//!
//! It starts PostgreSQL servers of its own on loopback; `apt-get install -y postgresql` installs what it needs.

// What only the tests use of the lab is no fault of it here.
#[allow(dead_code, unreachable_pub)]
#[path = "../tests/support/lab/mod.rs"]
mod lab;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use lab::catalog::OVER_TCP;
use lab::figures::Figures;
use lab::process::run_apart;
use lab::scenario::{Moment, Scenario};
use lab::subject::Kind;

/// Runs at a time: nearly all of their time they wait.
const AT_A_TIME: usize = 3;

fn main() {
    // Each run is a process of its own, which is this program once more.
    if lab::process::serve() {
        return;
    }
    let names: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = names.iter().find(|name| !OVER_TCP.iter().any(|fault| fault.name == **name)) {
        let known: Vec<&str> = OVER_TCP.iter().map(|fault| fault.name).collect();
        eprintln!("no fault is named {unknown:?}; there are {}", known.join(", "));
        std::process::exit(2);
    }
    let faults: Vec<&Scenario> = OVER_TCP
        .iter()
        .filter(|fault| names.is_empty() || names.iter().any(|name| name == fault.name))
        .collect();
    let figures = run_all(&faults);
    print_table(&faults, &figures);
}

type Key = (&'static str, &'static str);

/// Runs every fault with every pool.
fn run_all(faults: &[&Scenario]) -> BTreeMap<Key, Figures> {
    let runs = faults.iter().flat_map(|fault| Kind::ALL.map(|kind| (**fault, kind)));
    // Guards which runs are left.
    let left = Mutex::new(runs.rev());
    let done = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("no run panics").next();
                    let Some((fault, kind)) = next else { return };
                    let report = run_apart(&fault, kind);
                    eprintln!("{} {}: done", fault.name, kind.name());
                    done.lock().expect("no run panics").insert((fault.name, kind.name()), report.figures);
                }
            });
        }
    });
    done.into_inner().expect("no run panics")
}

fn print_table(faults: &[&Scenario], figures: &BTreeMap<Key, Figures>) {
    println!(
        "| fault | pool | longest block | failed checkouts / queries | first success | full speed | lost work |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for fault in faults {
        for kind in Kind::ALL {
            let Some(figures) = figures.get(&(fault.name, kind.name())) else { continue };
            let what = if kind == Kind::Tierpool {
                format!("{} {}", fault.name, fault.title)
            } else {
                String::new()
            };
            println!("| {what} | {} | {} |", kind.name(), cells(fault, figures).join(" | "));
        }
    }
}

fn cells(fault: &Scenario, f: &Figures) -> [String; 5] {
    let from_end = fault.bars.recovers_from == Moment::End;
    let since = if from_end { "" } else { " from its begin" };
    let after =
        |time: f64| if time.is_finite() { format!("{time:.1} s{since}") } else { "none seen".to_owned() };
    let block = match f.stuck as usize {
        0 => longest(f),
        stuck => format!("{stuck} of 8 workers never came back"),
    };
    // Of eight workers that think for longer than a second the speed means nothing.
    let full = if fault.is_slow() { "-".to_owned() } else { after(f.full) };
    // Work begun in the first milliseconds of a fault may be done before it takes hold.
    let first = if from_end { after(f.first) } else { "-".to_owned() };
    [
        block,
        format!("{} / {}", f.not_got, f.failed),
        first,
        full,
        format!("{}", f.lost + f.doubled + f.undead),
    ]
}

/// The longest block, and in what.
fn longest(f: &Figures) -> String {
    let steps = [(f.get, "get"), (f.query, "query"), (f.drop, "drop")];
    let (time, step) = steps.into_iter().fold((0.0, ""), |a, b| if b.0 > a.0 { b } else { a });
    format!("{time:.2} s ({step})")
}
