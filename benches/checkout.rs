//! Checkout and checkin of a no-op connection, beside r2d2, a mutexed vector and a bare lock-free queue.
//!
//! Read the figures as ratios within one run: the machine may be shared. The last lines give them.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use crossbeam_queue::ArrayQueue;
use parking_lot::{Condvar, Mutex};
use tierpool::MemoryManager;

/// Connections in every shape.
const CONNECTIONS: u32 = 8;
/// Thread counts measured.
const THREADS: [usize; 2] = [1, 8];
/// Checkouts of each thread between two looks at the clock.
const BATCH: u64 = 64;

/// One checkout and its checkin.
trait Subject: Send + Sync {
    fn name(&self) -> &'static str;
    fn cycle(&self) -> u64;
}

struct Tierpool(tierpool::Pool<MemoryManager>);

impl Subject for Tierpool {
    fn name(&self) -> &'static str {
        "tierpool"
    }

    fn cycle(&self) -> u64 {
        *self.0.get().unwrap()
    }
}

struct R2d2(r2d2::Pool<MemoryManager>);

impl Subject for R2d2 {
    fn name(&self) -> &'static str {
        "r2d2"
    }

    fn cycle(&self) -> u64 {
        *self.0.get().unwrap()
    }
}

/// What most people would write first. Boxed as a real connection would be, so that the moves cost the same.
#[allow(clippy::vec_box)]
struct MutexedVec {
    free: Mutex<Vec<Box<u64>>>,
    returned: Condvar,
}

impl Subject for MutexedVec {
    fn name(&self) -> &'static str {
        "mutexed vector"
    }

    fn cycle(&self) -> u64 {
        let mut free = self.free.lock();
        while free.is_empty() {
            self.returned.wait(&mut free);
        }
        let conn = free.pop().unwrap();
        drop(free);
        let value = *conn;
        self.free.lock().push(conn);
        self.returned.notify_one();
        value
    }
}

/// The bare limit: no waiting, no bookkeeping, no validation.
struct BareQueue(ArrayQueue<Box<u64>>);

impl Subject for BareQueue {
    fn name(&self) -> &'static str {
        "bare queue"
    }

    fn cycle(&self) -> u64 {
        loop {
            if let Some(conn) = self.0.pop() {
                let value = *conn;
                assert!(self.0.push(conn).is_ok());
                return value;
            }
            std::thread::yield_now();
        }
    }
}

fn subjects() -> Vec<Arc<dyn Subject>> {
    let queue = ArrayQueue::new(CONNECTIONS as usize);
    for _ in 0..CONNECTIONS {
        assert!(queue.push(Box::new(0)).is_ok());
    }
    let free = Mutex::new((0..CONNECTIONS).map(|_| Box::new(0)).collect());
    let r2d2 = r2d2::Pool::builder().max_size(CONNECTIONS).test_on_check_out(false).build(MemoryManager);
    vec![
        Arc::new(Tierpool(tierpool::Pool::builder().max_size(CONNECTIONS).build(MemoryManager).unwrap())),
        Arc::new(R2d2(r2d2.unwrap())),
        Arc::new(MutexedVec { free, returned: Condvar::new() }),
        Arc::new(BareQueue(queue)),
    ]
}

/// The time that `threads` threads together need for `cycles` cycles.
fn run(subject: &Arc<dyn Subject>, threads: usize, cycles: u64) -> Duration {
    let each = cycles.div_ceil(threads as u64 * BATCH) * BATCH;
    if threads == 1 {
        let begun = Instant::now();
        (0..each).for_each(|_| {
            black_box(subject.cycle());
        });
        return begun.elapsed();
    }
    let barrier = Arc::new(Barrier::new(threads + 1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                (0..each).for_each(|_| {
                    black_box(subject.cycle());
                });
                barrier.wait();
            });
        }
        barrier.wait();
        let begun = Instant::now();
        barrier.wait();
        begun.elapsed()
    })
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    for threads in THREADS {
        let mut group = criterion.benchmark_group(format!("{threads} threads, {CONNECTIONS} connections"));
        group.throughput(Throughput::Elements(1));
        for subject in subjects() {
            group.bench_function(BenchmarkId::from_parameter(subject.name()), |bencher| {
                bencher.iter_custom(|cycles| run(&subject, threads, cycles));
            });
        }
        group.finish();
    }
    criterion.final_summary();
    ratios();
}

/// Prints each subject's cost in one run of interleaved rounds, and r2d2's as a multiple of it.
fn ratios() {
    const ROUNDS: usize = 9;
    const CYCLES: u64 = 400_000;
    println!("\ncheckout + checkin, {CONNECTIONS} connections, medians of {ROUNDS} interleaved rounds");
    for threads in THREADS {
        let subjects = subjects();
        let mut costs = vec![Vec::new(); subjects.len()];
        for _ in 0..ROUNDS {
            for (subject, costs) in subjects.iter().zip(&mut costs) {
                costs.push(run(subject, threads, CYCLES).as_nanos() as f64 / CYCLES as f64);
            }
        }
        let medians: Vec<f64> = costs
            .iter_mut()
            .map(|costs| {
                costs.sort_by(f64::total_cmp);
                costs[ROUNDS / 2]
            })
            .collect();
        for (subject, cost) in subjects.iter().zip(&medians) {
            println!(
                "{threads} threads  {:14} {cost:8.1} ns a cycle  r2d2 is {:5.1}x",
                subject.name(),
                medians[1] / cost
            );
        }
    }
}
