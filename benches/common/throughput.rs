//! Cycles without a hold: how long a number of them takes, and how many fit into a time.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::subject::Subject;

/// The stack of a thread that does next to nothing: hundreds of them are started.
const STACK: usize = 128 * 1024;
/// Cycles between two looks at the flag that ends a thread.
const BATCH: u64 = 16;

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

/// The nanoseconds of one cycle, all threads together, from what fits into `time`.
pub fn cost_within(subject: &dyn Subject, threads: usize, time: Duration) -> f64 {
    let stop = AtomicBool::new(false);
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let thread = thread::Builder::new().stack_size(STACK);
                let spawned = thread.spawn_scoped(scope, || {
                    barrier.wait();
                    let mut done = 0_u64;
                    // Relaxed: a flag that is seen soon enough.
                    while !stop.load(Ordering::Relaxed) {
                        for _ in 0..BATCH {
                            black_box(subject.cycle());
                        }
                        done += BATCH;
                    }
                    done
                });
                spawned.expect("a thread can be started")
            })
            .collect();
        barrier.wait();
        let begun = Instant::now();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let done: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        begun.elapsed().as_nanos() as f64 / done as f64
    })
}
