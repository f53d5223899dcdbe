//! What a pool takes besides its connections: allocations of a checkout, memory of slots and waiters, threads.

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use std::alloc::System;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::mode::Mode;
use common::subject::{R2d2, Subject, Tierpool};
use common::table::{Bound, Row, Table, count};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::scripted::{Call, ScriptedManager, Step};
use support::steady::growth;
use support::wait::{eventually, thread_names};
use tierpool::{Clock, MemoryManager, NopErrorHandler, Pool, Tier, TieredPool};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The most that a slot or a waiter may take, in bytes.
const KIB: f64 = 1024.0;
/// What has to happen happens within this time, on a loaded machine too.
const BOUND: Duration = Duration::from_secs(20);
/// Openers and closers at a time.
const OPENERS: u32 = 4;

fn main() -> ExitCode {
    let mode = Mode::from_args();
    let mut table = Table::new("what a pool takes besides its connections", mode);
    allocations(mode, &mut table);
    slots(&mut table);
    waiters(mode, &mut table);
    threads(&mut table);
    table.finish()
}

/// Allocations and reallocations so far, of all threads.
fn allocation_count() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

/// Bytes that are allocated and not freed.
fn bytes_in_use() -> isize {
    let stats = ALLOCATOR.stats();
    let signed = |bytes: usize| isize::try_from(bytes).expect("less than the address space");
    signed(stats.bytes_allocated) - signed(stats.bytes_deallocated) + stats.bytes_reallocated
}

fn allocations(mode: Mode, table: &mut Table) {
    // A clock that stands still keeps the keeper asleep: its rounds are no checkouts.
    let (clock, _hand) = Clock::manual();
    let ours = Pool::builder().max_size(8).clock(clock).build(MemoryManager).unwrap();
    let (ours, theirs) = (Tierpool(ours), R2d2::new(8));
    let cycles = mode.pick(200_000, 2_000);
    for threads in [1, 4] {
        let each =
            |subject: &dyn Subject| counted(subject, threads, cycles) as f64 / cycles as f64 / threads as f64;
        let (ours, theirs) = (each(&ours), each(&theirs));
        let row = Row::new(
            format!("heap allocations of a checkout, {} × 8 connections", count(threads as u64, "thread")),
            format!("{ours}"),
            format!("r2d2 {theirs}"),
            ours,
        );
        table.push(row.unit("").bar(Bound::AtMost(0.0)).goal(Bound::AtMost(0.0)));
    }
}

/// The allocations of `threads` threads of `cycles` cycles each, once all are warm.
fn counted(subject: &dyn Subject, threads: usize, cycles: usize) -> usize {
    let work = || (0..cycles).for_each(|_| assert_eq!(subject.cycle(), 0));
    growth(threads, work, allocation_count)
}

/// By how much a pool of 1,024 connections is larger than one of 1, a connection. The connection, a number, is in it.
fn slots(table: &mut Table) {
    const MORE: f64 = 1023.0;
    let size = |build: &dyn Fn(u32) -> Box<dyn Subject>| {
        // Both are kept until the end: what a pool leaves to its threads is freed when those end.
        let before = bytes_in_use();
        let large = build(1024);
        let between = bytes_in_use();
        let small = build(1);
        let size = 2 * between - before - bytes_in_use();
        drop((large, small));
        size as f64 / MORE
    };
    let ours = size(&|connections| Box::new(Tierpool::new(connections)));
    let theirs = size(&|connections| Box::new(R2d2::new(connections)));
    let row = Row::new("memory of a slot", format!("{ours:.0} B"), format!("r2d2 {theirs:.0} B"), ours);
    table.push(row.unit(" B").bar(Bound::AtMost(KIB)));
}

/// What each of many callers that wait adds.
fn waiters(mode: Mode, table: &mut Table) {
    let callers = mode.pick(512, 32);
    let pool = Pool::builder().max_size(1).build(MemoryManager).unwrap();
    let held = pool.get().unwrap();
    let [ready, start] = [(); 2].map(|()| Barrier::new(callers + 1));
    let size = thread::scope(|scope| {
        for _ in 0..callers {
            let thread = thread::Builder::new().stack_size(128 * 1024);
            let wait = || {
                ready.wait();
                start.wait();
                drop(pool.get().unwrap());
            };
            thread.spawn_scoped(scope, wait).expect("a thread can be started");
        }
        ready.wait();
        let before = bytes_in_use();
        start.wait();
        eventually(BOUND, "all wait", || pool.gauges().waiting as usize == callers);
        let size = bytes_in_use() - before;
        drop(held);
        size as f64 / callers as f64
    });
    let row = Row::new(
        format!("memory of a waiter, {callers} of them"),
        format!("{size:.0} B"),
        "r2d2 none, it keeps no line".to_owned(),
        size,
    );
    table.push(row.unit(" B").bar(Bound::AtMost(KIB)));
}

/// The background threads of two tiers at rest, while they open all their connections, and while they close them.
fn threads(table: &mut Table) {
    let manager = ScriptedManager::new();
    for call in [Call::Connect, Call::Close] {
        manager.always(call, Step::ok().after(Duration::from_millis(10)));
    }
    eventually(BOUND, "the threads of pools before are gone", || background_threads() == 0);
    let pool = TieredPool::builder()
        .total_connections(44)
        .reserved(4)
        .open_concurrency(OPENERS)
        .automation(|tier| {
            tier.base_size(40).max_overflow(0).min_size(40).error_handler(Box::new(NopErrorHandler))
        })
        .adhoc(|tier| tier.min_size(4))
        .build_unchecked(|_| manager.clone())
        .unwrap();
    let opening = peak_until(|| pool.automation().gauges().idle == 40 && pool.adhoc().gauges().idle == 4);
    let _ = pool.get(Tier::Adhoc);
    eventually(BOUND, "the openers have ended", || background_threads() <= 1);
    let resting = background_threads();
    let closed = AtomicBool::new(false);
    let peak = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Relaxed: a figure and a flag, read after the thread has ended.
            while !closed.load(Ordering::Relaxed) {
                peak.fetch_max(background_threads(), Ordering::Relaxed);
            }
        });
        let _ = pool.close(BOUND);
        closed.store(true, Ordering::Relaxed);
    });
    let closing = peak.into_inner();
    drop(pool);
    let most = f64::from(1 + OPENERS);
    for (what, ours, limit) in [
        ("at rest", resting, 1.0),
        ("while opening 44 connections", opening, most),
        ("while closing them", closing, most + f64::from(OPENERS)),
    ] {
        let row =
            Row::new(format!("background threads of two tiers, {what}"), ours.to_string(), "", ours as f64);
        table.push(row.unit("").bar(Bound::AtMost(limit)));
    }
}

/// How many threads our pools have: all but this program's own, which have its name or none, and r2d2's, which outlive
/// their pools for a while.
fn background_threads() -> usize {
    let names = thread_names().into_iter();
    names.filter(|name| !["footprint", "r2d2-worker"].iter().any(|others| name.starts_with(others))).count()
}

/// The most threads seen until `done`.
fn peak_until(mut done: impl FnMut() -> bool) -> usize {
    let mut peak = 0;
    eventually(BOUND, "the connections are open", || {
        peak = peak.max(background_threads());
        done()
    });
    peak
}
