//! Statistics: gauges that add up at every moment, and counters by outcome and cause.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::scripted::{Call, Gate, Parts, ScriptedDriver, ScriptedError, ScriptedManager, Step, still};
use support::wait::{BOUND, Over, SECOND, eventually};
use tierpool::stats::{BreakerState, CloseCause, Stats};
use tierpool::{Condition, MemoryManager, NopErrorHandler, Pool};

const BRIEF: Duration = Duration::from_millis(20);

fn builder() -> Parts {
    still(|builder| {
        let builder = builder.max_size(2).deadlock_detection(false).driver(Box::new(ScriptedDriver::new()));
        builder.error_handler(Box::new(NopErrorHandler))
    })
}

/// What must hold of a snapshot taken at any moment, given the one before.
fn check(now: &Stats, before: &Stats, threads: u32) {
    let gauges = now.gauges;
    // A gauge that had gone below zero would have wrapped to billions.
    for gauge in [gauges.idle, gauges.in_use, gauges.opening, gauges.waiting, gauges.zombies] {
        assert!(gauge <= now.ceiling * 2 + threads, "{gauges:?}");
    }
    assert!(gauges.size() <= now.ceiling, "{gauges:?}");
    assert!(now.overflow <= now.ceiling - now.base_size);
    assert_eq!(now.overflow, gauges.size().saturating_sub(now.base_size));
    assert!(now.closed.total() <= now.opened, "closed {} of {}", now.closed.total(), now.opened);
    let lent = now.checkouts.direct + now.checkouts.waited;
    assert!(now.hold.count() <= lent, "{} returned of {lent} lent", now.hold.count());
    let earlier = before.checkouts.direct + before.checkouts.waited;
    assert!(lent >= earlier && now.opened >= before.opened && now.closed.total() >= before.closed.total());
    assert!(now.peak_in_use >= before.peak_in_use && now.peak_in_use <= now.ceiling, "{}", now.peak_in_use);
}

#[test]
fn snapshots_add_up_at_every_moment_of_a_storm() {
    const THREADS: u32 = 8;
    let manager = ScriptedManager::new();
    let pool = Pool::builder()
        .base_size(3)
        .max_overflow(2)
        .overflow_linger(Duration::ZERO)
        .max_uses(Some(20))
        .driver(Box::new(ScriptedDriver::new()))
        .build(manager.clone())
        .unwrap();
    let over = AtomicBool::new(false);
    let (mut lent, mut timed_out) = (0, 0);
    thread::scope(|scope| {
        let ends = Over(&over);
        let sampler = scope.spawn(|| {
            let mut before = pool.stats();
            // Relaxed: a flag on its own.
            while !over.load(Ordering::Relaxed) {
                let now = pool.stats();
                check(&now, &before, THREADS + 1);
                before = now;
            }
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| {
                let pool = &pool;
                scope.spawn(move || {
                    let (mut lent, mut timed_out) = (0, 0);
                    for round in 0..500 {
                        let Ok(mut conn) = pool.get_timeout(Duration::from_millis(round % 4)) else {
                            timed_out += 1;
                            continue;
                        };
                        lent += 1;
                        match (round + u64::from(worker)) % 50 {
                            0 => conn.mark_broken(),
                            1 => drop(conn.detach()),
                            2 => conn.close(),
                            _ => drop(conn),
                        }
                    }
                    (lent, timed_out)
                })
            })
            .collect();
        for worker in workers {
            let counted = worker.join().unwrap();
            lent += counted.0;
            timed_out += counted.1;
        }
        drop(ends);
        sampler.join().unwrap();
    });
    eventually(BOUND, "all are back or closed, and none is being opened", || {
        let gauges = pool.gauges();
        (gauges.in_use, gauges.opening, gauges.zombies) == (0, 0, 0)
            && gauges.idle >= pool.settings().base_size
    });
    let stats = pool.stats();
    assert_eq!(
        (stats.checkouts.direct + stats.checkouts.waited, stats.checkouts.timed_out),
        (lent, timed_out)
    );
    assert_eq!((stats.hold.count(), stats.wait.count()), (lent, lent + timed_out));
    assert_eq!(stats.opened as usize, manager.opened());
    assert_eq!(stats.closed.total() as usize, manager.closed(), "detached ones are dropped by the test");
    assert_eq!(stats.open.count(), stats.opened);
}

#[test]
fn checkouts_are_counted_by_outcome() {
    let (builder, _hand, manager) = builder();
    let pool = builder.max_size(1).max_waiting(Some(1)).build(manager).unwrap();
    drop(pool.get().unwrap());
    drop(pool.get().unwrap());
    let held = pool.get().unwrap();
    let before = pool.stats().checkouts;
    thread::scope(|scope| {
        let waiter = scope.spawn(|| drop(pool.get_timeout(BOUND).unwrap()));
        eventually(BOUND, "it waits", || pool.gauges().waiting == 1);
        assert!(pool.get().unwrap_err().is_queue_full());
        eventually(BOUND, "time passes", || pool.stats().oldest_waiter > Some(BRIEF));
        drop(held);
        waiter.join().unwrap();
    });
    let held = pool.get().unwrap();
    assert!(pool.get_timeout(BRIEF).unwrap_err().is_timeout());
    drop(held);
    let stats = pool.stats();
    // The first of all waited for the connection to be opened.
    assert_eq!((before.direct, before.waited), (2, 1));
    let outcomes = stats.checkouts;
    assert_eq!((outcomes.direct, outcomes.waited, outcomes.timed_out, outcomes.rejected), (3, 2, 1, 1));
    assert_eq!((stats.peak_waiting, stats.peak_in_use, stats.oldest_waiter), (1, 1, None));
    assert!(stats.wait.sum >= 2 * BRIEF, "{:?}", stats.wait.sum);
}

#[test]
fn connections_are_counted_by_what_ended_them() {
    let (builder, hand, manager) = builder();
    let builder = builder.base_size(1).max_overflow(1).max_size(2).overflow_linger(2 * SECOND);
    let pool =
        builder.max_lifetime(Some(1000 * SECOND)).idle_timeout(Some(100 * SECOND)).lifetime_jitter(0.0);
    let pool = pool.build(manager.clone()).unwrap();
    let counted = |cause, n| {
        eventually(BOUND, &format!("{cause:?}"), || pool.stats().closed.count(cause) == n);
    };
    pool.get().unwrap().mark_broken();
    counted(CloseCause::Broken, 1);
    drop(pool.get().unwrap().detach());
    counted(CloseCause::Detached, 1);
    pool.get().unwrap().close();
    counted(CloseCause::Evicted, 1);
    drop(pool.get().unwrap());
    manager.kill_all();
    hand.advance(SECOND);
    drop(pool.get().unwrap());
    counted(CloseCause::Invalid, 1);
    drop([pool.get().unwrap(), pool.get().unwrap()]);
    hand.advance(2 * SECOND);
    counted(CloseCause::Overflow, 1);
    hand.advance(98 * SECOND);
    counted(CloseCause::Idle, 1);
    let conn = pool.get().unwrap();
    hand.advance(1000 * SECOND);
    drop(conn);
    counted(CloseCause::Expired, 1);
    drop(pool.get().unwrap());
    assert!(pool.close(BOUND).is_complete());
    counted(CloseCause::Closed, 1);
    let stats = pool.stats();
    assert_eq!((stats.closed.total(), stats.opened), (8, 8));
    assert_eq!(manager.closed(), 8);
}

#[test]
fn failures_zombies_dirt_and_the_breaker_are_counted() {
    let (builder, _hand, manager) = builder();
    let pool = builder.max_size(1).failure_threshold(1).build(manager.clone()).unwrap();
    manager.conditions([Condition::Dirty]);
    drop(pool.get().unwrap());
    eventually(BOUND, "it is reset", || pool.gauges().idle == 1);
    let gate = Gate::new();
    manager.script(Call::Close, [Step::ok().behind(&gate)]);
    manager.script(Call::Connect, [Step::err(ScriptedError::transient("connection refused"))]);
    pool.get().unwrap().mark_broken();
    eventually(BOUND, "its close hangs", || gate.waiting() == 1);
    assert!(pool.get_timeout(BOUND).unwrap_err().is_circuit_open());
    let stats = pool.stats();
    assert_eq!((stats.gauges.zombies, stats.gauges.size()), (1, 0), "the slot is free at once");
    assert_eq!((stats.breaker, stats.breaker_openings), (BreakerState::Open, 1));
    assert_eq!((stats.open_failures.transient, stats.returned_dirty), (1, 1));
    assert!(stats.last_open_failure.unwrap().contains("connection refused"));
    gate.open();
    eventually(BOUND, "the zombie is gone", || pool.gauges().zombies == 0);
}

#[test]
fn holds_are_summed_as_connection_seconds() {
    let (builder, hand, manager) = builder();
    let pool = builder.build(manager).unwrap();
    for seconds in [1, 2, 30] {
        let pair = [pool.get().unwrap(), pool.get().unwrap()];
        hand.advance(seconds * SECOND);
        assert_eq!(pool.stats().gauges.in_use, 2);
        assert_eq!(pool.holders().iter().map(|holder| holder.held).max(), Some(seconds * SECOND));
        drop(pair);
    }
    let stats = pool.stats();
    assert_eq!((stats.busy, stats.hold.sum, stats.hold.count()), (66 * SECOND, 66 * SECOND, 6));
    assert_eq!(stats.hold.quantile(1.0), Some(30 * SECOND));
    assert_eq!(stats.peak_in_use, 2);
}

#[test]
fn the_peak_is_the_most_that_were_out_at_once() {
    let pool = Pool::builder().max_size(5).build(MemoryManager).unwrap();
    let held: Vec<_> = (0..3).map(|_| pool.get().unwrap()).collect();
    drop(held);
    assert_eq!(pool.stats().peak_in_use, 3);
}

#[test]
fn peaks_of_the_last_minute_go_by_and_those_of_all_time_stay() {
    let (builder, hand, manager) = still(|builder| builder.max_size(2).deadlock_detection(false));
    let pool = builder.build(manager).unwrap();
    let recent = || {
        let stats = pool.stats();
        (stats.recent_peak_in_use, stats.recent_peak_waiting)
    };
    let out = [pool.get().unwrap(), pool.get().unwrap()];
    // The openings had waiters.
    hand.advance(60 * SECOND);
    assert_eq!(recent(), (2, 0));
    // Too brief for the keeper to have a look.
    assert!(pool.get_timeout(Duration::from_nanos(1)).is_err());
    drop(out);
    assert_eq!((pool.gauges().in_use, recent()), (0, (2, 1)));
    hand.advance(29 * SECOND);
    let out = pool.get().unwrap();
    assert_eq!(recent(), (2, 1), "the same window");
    drop(out);
    hand.advance(30 * SECOND);
    assert_eq!(recent(), (2, 1), "the window after it");
    hand.advance(30 * SECOND);
    assert_eq!(recent(), (0, 0));
    let stats = pool.stats();
    assert_eq!((stats.peak_in_use, stats.peak_waiting), (2, 1));
}
