//! A program that is told to end while the fault lasts: it closes one pool, leaves another as it is, and returns.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::process;
use super::subject::{Kind, WORKERS};
use super::watch::Watch;
use super::worker::Crew;
use crate::support::wait::comes_true;

/// The variable that makes a process one, with the URL as its value.
pub const VARIABLE: &str = "TIERPOOL_LAB_LEAVER";

/// The limit given to `close`.
const CLOSE: Duration = Duration::from_millis(500);
const THINK: Duration = Duration::from_millis(50);
/// Far above the bars: a program that takes longer is ended.
const PATIENCE: Duration = Duration::from_secs(20);
/// Above all numbers of the scenario's own workers, so that the ledger passes over these.
const FIRST_NUMBER: i64 = 1_000_000_000_000;

/// The program, seen from the scenario.
pub struct Leaver {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// How long it took, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Leaving {
    pub close: f64,
    pub woken: f64,
    pub exit: f64,
    /// The machine's worst stall, as the program saw it.
    pub stall: f64,
}

impl Leaver {
    /// The descriptors that it has in this process.
    pub const FDS: usize = 2;

    /// Starts it and waits until its workers work.
    pub fn start(url: &str) -> Leaver {
        let mut command = process::command();
        command.env_remove(process::VARIABLE).env(VARIABLE, url);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started once more");
        let orders = child.stdin.take().expect("BUG: the input was asked for");
        let answers = BufReader::new(child.stdout.take().expect("BUG: the output was asked for"));
        let mut leaver = Leaver { child, orders, answers };
        leaver.answer("ready");
        leaver
    }

    /// Tells it to end and waits until it has.
    pub fn leave(mut self) -> Leaving {
        writeln!(self.orders, "leave").expect("the program reads its input");
        let words = self.answer("end");
        let seconds =
            |index: usize| words[index].parse::<f64>().expect("BUG: the program does not tell times");
        let (close, woken, stall, ended) = (seconds(0), seconds(1), seconds(2), seconds(3));
        let exited = comes_true(PATIENCE, || matches!(self.child.try_wait(), Ok(Some(_))));
        let exit = now() - ended;
        if !exited {
            // It is no use any more; its exit time tells of it.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        Leaving { close, woken, exit, stall }
    }

    /// The rest of the line that begins with the word.
    fn answer(&mut self, word: &str) -> Vec<String> {
        let prefix = format!("leaver {word}");
        let mut line = String::new();
        while self.answers.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            // The test harness may have begun the line.
            if let Some(at) = line.find(&prefix) {
                return line[at + prefix.len()..].split_whitespace().map(str::to_owned).collect();
            }
            line.clear();
        }
        let _ = self.child.kill();
        let status = self.child.wait();
        panic!("the program that was to say {word:?} ended before it did: {status:?}");
    }
}

/// The program itself: eight workers on four connections of a pool that it closes, four on a pool that it leaves.
pub fn main(url: &str) {
    let start = Instant::now();
    let closed = Kind::Tierpool.build(url, "leaver", WORKERS as u32 / 2);
    let left = Kind::Tierpool.build(url, "leaver", WORKERS as u32 / 2);
    // Workers that never return are left behind at the end: that is what is looked at.
    let crew = Arc::new(Crew::start(&closed, WORKERS, THINK, start, FIRST_NUMBER));
    let other = Crew::start(&left, WORKERS / 2, THINK, start, 2 * FIRST_NUMBER);
    assert!(comes_true(PATIENCE, || crew.least_done() > 2 && other.least_done() > 2), "the workers work");
    println!("leaver ready");
    std::io::stdin().lock().read_line(&mut String::new()).expect("the input can be read");

    let watch = Watch::start(Arc::clone(&left), start);
    let begun = Instant::now();
    let waiters = Arc::clone(&crew);
    let woken = thread::spawn(move || {
        let at = start.elapsed();
        comes_true(PATIENCE, || waiters.in_checkout_since(at) == 0);
        begun.elapsed()
    });
    closed.close(CLOSE);
    let close = begun.elapsed().saturating_sub(CLOSE);
    let woken = woken.join().expect("looking at the workers does not panic");
    let stall = watch.stop().stall;
    let times = [close, woken, stall].map(|time| time.as_secs_f64().to_string()).join(" ");
    println!("leaver end {times} {}", now());
}

/// Seconds of the machine's clock, which both processes read.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs_f64()
}
