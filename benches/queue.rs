//! Callers that queue for connections held for a short time: throughput and processor time beside r2d2's.
//!
//! A hold is busy, as a query of an embedded database or a look into a cache is, but where a row says that it sleeps.

mod common;

use std::hint::spin_loop;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::machine::cpu_time;
use common::mode::Mode;
use common::rounds::Rounds;
use common::subject::{OURS, R2D2, Subject, pooled};
use common::table::{Bound, Row, Table, nanos};

const STACK: usize = 128 * 1024;

/// Busy holds in microseconds, each with the least of r2d2's throughput that ours must reach.
const HOLDS: [(u64, f64); 4] = [(0, 0.08), (5, 0.8), (20, 1.0), (100, 0.85)];
const THREADS: [usize; 3] = [4, 8, 64];
/// Processor time of a checkout against r2d2's.
const CPU_BAR: Bound = Bound::AtMost(1.5);
/// Programs beside the pool that never rest.
const HOGS: usize = 2;

/// What of r2d2's throughput is aimed at.
fn goal(hold_us: u64, threads: usize) -> f64 {
    match (hold_us, threads) {
        (0, 4) => 0.2,
        (0, _) => 0.1,
        (20, _) => 1.1,
        _ => 1.0,
    }
}

/// What is done with a connection.
#[derive(Clone, Copy)]
enum Hold {
    Busy(Duration),
    Asleep(Duration),
}

impl Hold {
    fn run(self) {
        match self {
            Hold::Asleep(time) => thread::sleep(time),
            Hold::Busy(time) if time.is_zero() => {}
            Hold::Busy(time) => {
                let begun = Instant::now();
                while begun.elapsed() < time {
                    spin_loop();
                }
            }
        }
    }
}

/// What one run came to, in nanoseconds a checkout.
struct Run {
    time: f64,
    cpu: f64,
    worst_wait: f64,
}

/// Has so many threads come for `time`, again and again.
fn run(subject: &dyn Subject, threads: usize, hold: Hold, time: Duration) -> Run {
    let stop = AtomicBool::new(false);
    let barrier = Barrier::new(threads + 1);
    let turns = || {
        let (mut turns, mut worst) = (0_u64, Duration::ZERO);
        barrier.wait();
        // Relaxed: a flag that is seen soon enough.
        while !stop.load(Ordering::Relaxed) {
            let asked = Instant::now();
            subject.hold(&mut || {
                worst = worst.max(asked.elapsed());
                hold.run();
            });
            turns += 1;
        }
        (turns, worst)
    };
    thread::scope(|scope| {
        let start = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, turns);
        let workers: Vec<_> = (0..threads).map(start).collect();
        barrier.wait();
        let (begun, cpu_begun) = (Instant::now(), cpu_time());
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let ends: Vec<_> = workers.into_iter().map(|worker| worker.unwrap().join().unwrap()).collect();
        let (took, cpu) = (begun.elapsed(), cpu_time() - cpu_begun);
        let turns = ends.iter().map(|(turns, _)| turns).sum::<u64>() as f64;
        let worst = ends.iter().map(|(_, worst)| *worst).max().unwrap_or_default();
        Run {
            time: took.as_nanos() as f64 / turns,
            cpu: cpu.as_nanos() as f64 / turns,
            worst_wait: worst.as_nanos() as f64,
        }
    })
}

/// All subjects in turn, round by round.
struct Shape {
    time: Rounds,
    cpu: Rounds,
    worst_wait: Rounds,
    names: Vec<&'static str>,
}

impl Shape {
    fn measure(mode: Mode, threads: usize, connections: u32, hold: Hold) -> Shape {
        let subjects = pooled(connections);
        let rounds = mode.pick(7, 1);
        let length = mode.pick(Duration::from_millis(400), Duration::from_millis(10));
        let (mut cpu, mut worst) = (Vec::new(), Vec::new());
        let time = Rounds::run(rounds, subjects.len(), |subject| {
            let run = run(&*subjects[subject], threads, hold, length);
            cpu.push(run.cpu);
            worst.push(run.worst_wait);
            run.time
        });
        let by_round = |values: Vec<f64>| {
            let mut values = values.into_iter();
            Rounds::run(rounds, subjects.len(), |_| values.next().expect("BUG: fewer values than runs"))
        };
        let names = subjects.iter().map(|subject| subject.name()).collect();
        Shape { time, cpu: by_round(cpu), worst_wait: by_round(worst), names }
    }

    /// A row in which `better` is the ratio of ours to r2d2's.
    fn row(&self, what: String, of: &Rounds, ratio: f64) -> Row {
        let shown = |subject: usize| nanos(of.median(subject));
        Row::new(what, shown(OURS), format!("{} {}", self.names[R2D2], shown(R2D2)), ratio)
    }

    fn throughput(&self, what: &str) -> Row {
        self.row(format!("{what}: a checkout"), &self.time, self.time.ratio(R2D2, OURS))
    }

    fn cpu(&self, what: &str) -> Row {
        let ratio = self.cpu.ratio(OURS, R2D2);
        self.row(format!("{what}: processor time of a checkout, ours to the peer's"), &self.cpu, ratio)
    }

    fn worst_wait(&self, what: &str) -> Row {
        let ratio = self.worst_wait.ratio(OURS, R2D2);
        self.row(format!("{what}: worst wait, ours to the peer's"), &self.worst_wait, ratio)
    }
}

/// Programs that never rest, until dropped. Threads of this process would count as its processor time.
struct Hogs(Vec<std::process::Child>);

impl Hogs {
    fn start(number: usize) -> Hogs {
        let itself = std::env::current_exe().expect("a program knows where it is");
        let start =
            |_| std::process::Command::new(&itself).arg(HOG).spawn().expect("a program can be started");
        Hogs((0..number).map(start).collect())
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            // One that has ended already is what is wanted.
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}

/// What this program is told to be a hog by.
const HOG: &str = "--hog";

/// Takes a core, at most for a time that no run lasts, should nobody be left to end it.
fn hog() -> ExitCode {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(600) {
        spin_loop();
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|arg| arg == HOG) {
        return hog();
    }
    let mode = Mode::from_args();
    let mut table = Table::new("callers that queue for short holds, medians of interleaved rounds", mode);
    for (us, bar) in HOLDS {
        for threads in THREADS {
            let what = format!("{threads} threads, 1 connection, {us} µs");
            let shape = Shape::measure(mode, threads, 1, Hold::Busy(Duration::from_micros(us)));
            let aim = Bound::AtLeast(goal(us, threads));
            table.push(shape.throughput(&what).bar(Bound::AtLeast(bar)).goal(aim));
            table.push(if us == 0 { shape.cpu(&what) } else { shape.cpu(&what).bar(CPU_BAR) });
        }
    }
    for us in [5, 20, 100] {
        let what = format!("64 threads, 8 connections, {us} µs");
        let shape = Shape::measure(mode, 64, 8, Hold::Busy(Duration::from_micros(us)));
        table.push(shape.throughput(&what));
        table.push(shape.cpu(&what));
    }
    let what = "64 threads, 8 connections, asleep for 1 ms";
    let shape = Shape::measure(mode, 64, 8, Hold::Asleep(Duration::from_millis(1)));
    table.push(shape.throughput(what));
    table.push(shape.cpu(what));
    table.push(shape.worst_wait(what));
    let hogs = Hogs::start(HOGS);
    for us in [0, 5, 20, 100] {
        for threads in THREADS {
            let what = format!("beside {HOGS} busy programs, {threads} threads, 1 connection, {us} µs");
            let shape = Shape::measure(mode, threads, 1, Hold::Busy(Duration::from_micros(us)));
            table.push(shape.throughput(&what));
        }
    }
    drop(hogs);
    table.finish()
}
