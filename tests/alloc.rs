//! No heap allocation per checkout and checkin in the steady state, counted by the allocator.
//!
//! One test in a binary of its own, since the count is of the whole process.

#[path = "support/steady.rs"]
mod steady;

use std::alloc::System;
use std::thread;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use steady::growth;
use tierpool::{Clock, MemoryManager, Pool};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 2_000;

/// Allocations and reallocations so far, of all threads.
fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

/// Counts the allocations of `threads` threads that each go through `ROUNDS` checkouts, once all are warm.
fn counted(threads: usize, connections: u32) -> usize {
    // A clock that stands still keeps the keeper asleep: its rounds are no checkouts.
    let (clock, _hand) = Clock::manual();
    let builder = Pool::builder().max_size(connections).clock(clock).deadlock_detection(true);
    let pool = builder.build(MemoryManager).unwrap();
    let work = || {
        for _ in 0..ROUNDS {
            let mut conn = pool.get().unwrap();
            *conn += 1;
            if threads > 1 {
                thread::yield_now();
            }
        }
    };
    growth(threads, work, allocations)
}

#[test]
fn a_checkout_and_its_checkin_allocate_nothing() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(0_u64)));
    // The thread of the test runner may have had some too.
    assert!(allocations() > before, "the allocator counts");
    assert_eq!(counted(1, 1), 0, "one thread");
    assert_eq!(counted(4, 8), 0, "connections for all");
    assert_eq!(counted(4, 4), 0, "one for each");
    // Not the steady state: a caller that has to queue may need a new waiter, where the thread that served the last
    // one has not let go of it yet. Never more than that.
    let queued = counted(8, 2);
    assert!(queued <= 8 * ROUNDS / 2, "{queued} in {} checkouts with queueing", 8 * ROUNDS);
}
