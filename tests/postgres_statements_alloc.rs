//! A hit of the statement cache allocates nothing, counted by the allocator.
//!
//! One test in a binary of its own, since the count is of the whole process.
#![cfg(feature = "postgres")]

mod support;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn a_hit_allocates_nothing() {
    let cluster = support::cluster::cluster();
    let mut conn = support::wire::open(&support::wire::manager(&cluster.url(), |_| ()));
    let texts = [1, 2, 3].map(|n| format!("SELECT {n}, $1::text"));
    for text in &texts {
        conn.prepare_cached(text).unwrap();
    }
    let counted = Region::new(ALLOCATOR);
    for _ in 0..100 {
        for text in &texts {
            std::hint::black_box(conn.prepare_cached(text).unwrap());
        }
    }
    let change = counted.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    drop(std::hint::black_box(Box::new(0_u64)));
    assert_eq!(counted.change().allocations, 1, "the allocator counts");
    assert_eq!(conn.statement_cache_stats().hits, 300);
}
