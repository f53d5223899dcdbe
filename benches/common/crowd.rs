//! Many threads that take a connection, hold it for a while, and come back for more: how long they wait.

use std::fmt;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::subject::Subject;

const STACK: usize = 128 * 1024;

/// Threads × connections × hold.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub threads: usize,
    pub connections: u32,
    pub hold: Duration,
}

impl Shape {
    /// The longest wait where every caller gets its turn: a turn of all other callers.
    pub fn ideal(&self) -> Duration {
        self.hold * u32::try_from(self.threads).expect("few threads") / self.connections
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { threads, connections, hold } = self;
        write!(f, "{threads} threads, {connections} connections, {hold:?} hold")
    }
}

/// What one run of a crowd came to.
pub struct Waits {
    /// Of every checkout, in nanoseconds.
    pub waits: Vec<f64>,
    /// The most checkouts that others got while one thread waited for one. A count, which other programs on the machine
    /// hardly change.
    pub overtaken: u64,
    /// Checkouts a second.
    pub rate: f64,
    /// The mean time for which connections were out, which the timer makes longer than asked for.
    pub held: Duration,
}

impl Waits {
    pub fn worst(&self) -> f64 {
        self.waits.iter().copied().fold(0.0, f64::max)
    }
}

/// Has the threads of `shape` come for `time`, and then each end its turn.
pub fn crowd(subject: &dyn Subject, shape: Shape, time: Duration) -> Waits {
    let stop = AtomicBool::new(false);
    let barrier = Barrier::new(shape.threads + 1);
    let served = AtomicU64::new(0);
    let turns = || {
        let (mut waits, mut held, mut overtaken) = (Vec::new(), Duration::ZERO, 0);
        barrier.wait();
        // Relaxed, all: a flag that is seen soon enough, and a count.
        while !stop.load(Ordering::Relaxed) {
            let asked = Instant::now();
            let before = served.load(Ordering::Relaxed);
            subject.hold(&mut || {
                let got = Instant::now();
                overtaken = overtaken.max(served.fetch_add(1, Ordering::Relaxed) - before);
                waits.push((got - asked).as_nanos() as f64);
                thread::sleep(shape.hold);
                held += got.elapsed();
            });
        }
        (waits, held, overtaken)
    };
    thread::scope(|scope| {
        let start = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, turns);
        let workers: Vec<_> = (0..shape.threads).map(start).collect();
        barrier.wait();
        let begun = Instant::now();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let (mut waits, mut held, mut overtaken) = (Vec::new(), Duration::ZERO, 0);
        for worker in workers {
            let (own, out, others) = worker.expect("a thread can be started").join().unwrap();
            waits.extend(own);
            held += out;
            overtaken = overtaken.max(others);
        }
        let turns = waits.len() as f64;
        Waits { overtaken, rate: turns / begun.elapsed().as_secs_f64(), held: held.div_f64(turns), waits }
    })
}
