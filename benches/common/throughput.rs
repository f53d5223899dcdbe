//! Cycles without a hold: how long a number of them takes, and how many fit into a time.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use super::subject::Subject;

/// The stack of a thread that does next to nothing: hundreds of them are started.
const STACK: usize = 128 * 1024;
/// Cycles between two looks at the clock, which costs as much as two or three of them.
const BATCH: u64 = 64;

/// The time that `threads` threads together need for `cycles` cycles.
pub fn time_of(subject: &dyn Subject, threads: usize, cycles: u64) -> Duration {
    let each = cycles.div_ceil(threads as u64);
    let work = || {
        for _ in 0..each {
            black_box(subject.cycle());
        }
    };
    if threads == 1 {
        let begun = Instant::now();
        work();
        return begun.elapsed();
    }
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for _ in 0..threads {
            let thread = thread::Builder::new().stack_size(STACK);
            let spawned = thread.spawn_scoped(scope, || {
                barrier.wait();
                work();
                barrier.wait();
            });
            spawned.expect("a thread can be started");
        }
        barrier.wait();
        let begun = Instant::now();
        barrier.wait();
        begun.elapsed()
    })
}

/// The nanoseconds of one cycle, all threads together, from what they do within `time`.
///
/// Each thread looks at the clock itself: one that told them to stop would get its turn after hundreds of others.
pub fn cost_within(subject: &dyn Subject, threads: usize, time: Duration) -> f64 {
    let barrier = Barrier::new(threads);
    let begun = OnceLock::new();
    let work = || {
        barrier.wait();
        let begun = *begun.get_or_init(Instant::now);
        let mut done = 0_u64;
        while begun.elapsed() < time {
            for _ in 0..BATCH {
                black_box(subject.cycle());
            }
            done += BATCH;
        }
        (done, begun.elapsed())
    };
    thread::scope(|scope| {
        let start = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let workers: Vec<_> = (0..threads).map(start).collect();
        let ends = workers.into_iter().map(|worker| worker.expect("a thread can be started").join().unwrap());
        let (done, took) =
            ends.fold((0, Duration::ZERO), |(sum, last), (done, end)| (sum + done, last.max(end)));
        took.as_nanos() as f64 / done as f64
    })
}

/// The nanoseconds in which a word passes to another thread and back, by what fits into `time`: how far apart the first
/// two cores lie. Each thread is held on one of them: two that never rest may else come to lie on the same, and wait
/// for their turns, as they do where there is no second.
pub fn there_and_back_within(time: Duration) -> f64 {
    let (word, in_place) = (AtomicU64::new(0), Barrier::new(2));
    let awaits = |value: u64| {
        while word.load(Ordering::Acquire) != value {
            spin_loop();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let _held = held_on(1);
            in_place.wait();
            for turn in (1..).step_by(2) {
                let seen = loop {
                    match word.load(Ordering::Acquire) {
                        u64::MAX => return,
                        seen if seen == turn => break seen,
                        _ => spin_loop(),
                    }
                };
                word.store(seen + 1, Ordering::Release);
            }
        });
        // Not before the other one is there, which would have the same core.
        let _held = held_on(0);
        in_place.wait();
        let (begun, mut turns) = (Instant::now(), 0_u64);
        while begun.elapsed() < time {
            for _ in 0..BATCH {
                word.store(2 * turns + 1, Ordering::Release);
                awaits(2 * turns + 2);
                turns += 1;
            }
        }
        let took = begun.elapsed();
        word.store(u64::MAX, Ordering::Release);
        took.as_nanos() as f64 / turns as f64
    })
}

#[cfg(target_os = "linux")]
fn held_on(number: usize) -> Option<super::cores::Held> {
    super::cores::core(number).as_ref().map(super::cores::Held::on)
}

#[cfg(not(target_os = "linux"))]
fn held_on(_: usize) -> Option<()> {
    None
}
