//! Threads that take a connection, hold it, and come back: how long each checkout took.

use std::fmt;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Significant digits of the histograms: a thousandth of the value.
const DIGITS: u8 = 3;
/// A thread does next to nothing, and there may be a thousand.
const STACK: usize = 256 * 1024;

/// Threads, and for how long each holds what it gets.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    pub threads: u32,
    pub hold: Duration,
}

/// What was measured of one pool.
pub struct Measured {
    pub name: &'static str,
    /// Of the checkouts that succeeded, in nanoseconds.
    pub waits: Histogram<u64>,
    pub errors: u64,
    pub last_error: Option<String>,
    pub elapsed: Duration,
}

impl Measured {
    pub fn new(name: &'static str) -> Self {
        let waits = Histogram::new(DIGITS).expect("BUG: digits out of range");
        Measured { name, waits, errors: 0, last_error: None, elapsed: Duration::ZERO }
    }

    /// Checkouts a second.
    pub fn rate(&self) -> f64 {
        self.waits.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn add(&mut self, other: Measured) {
        self.waits.add(&other.waits).expect("BUG: a histogram that does not grow");
        self.errors += other.errors;
        self.last_error = other.last_error.or(self.last_error.take());
        self.elapsed += other.elapsed;
    }

    /// Adds what a crowd sees within `time`.
    ///
    /// # Blocking
    /// For `time`, and for the turns under way then.
    pub fn extend<G, E: fmt::Display>(
        &mut self,
        crowd: Crowd,
        time: Duration,
        checkout: impl Fn() -> Result<G, E> + Sync,
    ) {
        let barrier = Barrier::new(crowd.threads as usize + 1);
        let name = self.name;
        let turns = || {
            let mut own = Measured::new(name);
            barrier.wait();
            let begun = Instant::now();
            while begun.elapsed() < time {
                let asked = Instant::now();
                let outcome = checkout();
                let waited = asked.elapsed();
                match outcome {
                    Ok(guard) => {
                        let nanos = u64::try_from(waited.as_nanos()).expect("BUG: a wait of centuries");
                        own.waits.record(nanos).expect("BUG: a histogram that does not grow");
                        if !crowd.hold.is_zero() {
                            thread::sleep(crowd.hold);
                        }
                        drop(guard);
                    }
                    Err(error) => {
                        own.errors += 1;
                        own.last_error = Some(error.to_string());
                    }
                }
            }
            own
        };
        thread::scope(|scope| {
            let start = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, turns);
            let threads: Vec<_> = (0..crowd.threads).map(start).collect();
            barrier.wait();
            let begun = Instant::now();
            for thread in threads {
                self.add(
                    thread.expect("a thread can be started").join().expect("BUG: a panic while measuring"),
                );
            }
            self.elapsed += begun.elapsed();
        });
    }
}

/// What reading the clock adds to each time.
pub fn clock_cost() -> Duration {
    const READINGS: u32 = 1_000;
    let begun = Instant::now();
    for _ in 0..READINGS {
        std::hint::black_box(Instant::now());
    }
    begun.elapsed() / READINGS
}
