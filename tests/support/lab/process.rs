//! A run in a process of its own: threads and descriptors are counted for a whole process, one logger serves it, and
//! workers that never return end with it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::figures::Figures;
use super::scenario::Scenario;
use super::subject::Kind;
use super::{catalog, leaver, run};
use crate::support::process::Process;

/// The variable that makes a process run a scenario: its name, its way and its pool.
pub const VARIABLE: &str = "TIERPOOL_LAB_RUN";

/// The test function that does nothing but [`serve`].
pub const TEST: &str = "as_a_child";

/// Far above what a run takes.
const PATIENCE: Duration = Duration::from_secs(150);

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    pub figures: Figures,
    /// The bars that were missed.
    pub missed: Vec<String>,
    /// Everything the process said.
    pub output: Vec<String>,
}

/// Does what this process was started for, if it was started by [`run_apart`] or as a leaver. Returns whether so.
pub fn serve() -> bool {
    if let Ok(url) = std::env::var(leaver::VARIABLE) {
        leaver::main(&url);
        return true;
    }
    let Ok(order) = std::env::var(VARIABLE) else { return false };
    let words: Vec<&str> = order.split(' ').collect();
    let [name, way, kind] = words[..] else { panic!("{VARIABLE} is {order:?}: must be three words") };
    let scenario = catalog::named(name, way).expect("BUG: a scenario that is not in the catalog");
    let kind = Kind::named(kind).expect("BUG: a pool that is not known");
    let (figures, missed) = run::run(&scenario, kind);
    for text in missed {
        println!("lab missed: {text}");
    }
    println!("lab figures: {}", figures.to_line());
    true
}

/// A command that starts this program once more.
pub fn command() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    if cfg!(test) {
        command.args([TEST, "--exact", "--nocapture", "--test-threads=1"]);
    }
    command
}

/// Runs a scenario in a process of its own.
pub fn run_apart(scenario: &Scenario, kind: Kind) -> Report {
    let mut command = command();
    command.env(VARIABLE, format!("{} {} {}", scenario.name, scenario.way.word(), kind.name()));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started once more");
    let output = BufReader::new(child.stdout.take().expect("BUG: the output was asked for"));
    let (done, ended) = mpsc::channel::<()>();
    let process = Process::find(child.id() as i32);
    let watchdog = thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            // Its cluster is cleared away by the guard that it started.
            process.into_iter().for_each(|process| _ = process.kill_tree());
        }
    });
    let mut report = Report::default();
    for line in output.lines().map_while(Result::ok) {
        if let Some((_, text)) = line.split_once("lab missed: ") {
            report.missed.push(text.to_owned());
        }
        if let Some((_, text)) = line.split_once("lab figures: ") {
            report.figures = Figures::from_line(text);
        }
        report.output.push(line);
    }
    let status = child.wait();
    drop(done);
    watchdog.join().expect("the watchdog does not panic");
    if report.figures.done == 0.0 {
        report.missed.push(format!("the run came to no end: {status:?}"));
    }
    report
}
