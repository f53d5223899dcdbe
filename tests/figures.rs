//! What a pool counts and logs for those who watch it: refusals by kind, outages, the lines of start and status.

mod support;

use std::thread;
use std::time::Duration;

use support::logged::{capture, lines};
use support::scripted::{Call, ScriptedDriver, ScriptedError, ScriptedManager, Step, still};
use support::wait::{BOUND, SECOND, eventually};
use tierpool::stats::Refused;
use tierpool::{MemoryManager, Pool, Tier, TieredPool, WaitMode};

/// The refusals of a pool, in the order of the fields.
fn refused<M: tierpool::ManageConnection>(pool: &Pool<M>) -> [u64; 6] {
    let checkouts = pool.stats().checkouts;
    let Refused { exhausted, queue_full, circuit_open, connect_failed, would_deadlock, closed, .. } =
        checkouts.refused;
    let kinds = [exhausted, queue_full, circuit_open, connect_failed, would_deadlock, closed];
    assert_eq!((checkouts.rejected, checkouts.refused.total()), (kinds.iter().sum(), checkouts.rejected));
    kinds
}

#[test]
fn refusals_are_counted_by_kind() {
    let pool = Pool::builder().max_size(1).max_waiting(Some(1)).build(MemoryManager).unwrap();
    let held = pool.get().unwrap();
    let far = pool.clone();
    let waiter = thread::spawn(move || far.get_timeout(BOUND).map(drop));
    eventually(BOUND, "one waits", || pool.gauges().waiting == 1);
    let far = pool.clone();
    assert!(thread::spawn(move || far.get().unwrap_err().is_queue_full()).join().unwrap());
    assert_eq!(refused(&pool), [0, 1, 0, 0, 0, 0]);
    pool.reconfigure(|settings| settings.wait_mode = WaitMode::NoWait).unwrap();
    assert!(pool.get().unwrap_err().is_exhausted());
    assert_eq!(refused(&pool), [1, 1, 0, 0, 0, 0]);
    drop(held);
    waiter.join().unwrap().unwrap();
    pool.reconfigure(|settings| {
        settings.wait_mode = WaitMode::Timed;
        settings.deadlock_refusal = true;
    })
    .unwrap();
    let held = pool.get().unwrap();
    assert!(pool.get().unwrap_err().is_would_deadlock());
    drop(held);
    assert!(pool.try_get().is_some());
    pool.close(BOUND);
    assert!(pool.get().unwrap_err().is_closed());
    assert_eq!(refused(&pool), [1, 1, 0, 0, 1, 1]);

    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::permanent()));
    let builder = Pool::builder().max_size(1).driver(Box::new(ScriptedDriver::new()));
    let pool = builder.build_unchecked(manager);
    assert!((0..2).all(|_| pool.get().unwrap_err().is_connect_failed()));
    assert_eq!(refused(&pool), [0, 0, 0, 2, 0, 0]);
}

#[test]
fn an_open_breaker_tells_for_how_long() {
    let (builder, hand, manager) =
        still(|builder| builder.max_size(1).min_idle(Some(0)).failure_threshold(1));
    manager.always(Call::Connect, Step::err(ScriptedError::transient("connection refused")));
    let pool = builder.open_for(100 * SECOND).build(manager.clone()).unwrap();
    assert_eq!(pool.stats().breaker_open_for, None);
    assert!(pool.get().unwrap_err().is_circuit_open());
    assert_eq!(refused(&pool), [0, 0, 1, 0, 0, 0]);
    assert_eq!(pool.stats().breaker_open_for, Some(Duration::ZERO));
    // Past several probes.
    for seconds in 1..=60 {
        hand.advance(SECOND);
        assert_eq!(pool.stats().breaker_open_for, Some(seconds * SECOND));
    }
    manager.always(Call::Connect, Step::ok());
    hand.advance(100 * SECOND);
    eventually(BOUND, "it is closed", || pool.stats().breaker_open_for.is_none());
}

#[test]
fn a_pool_says_once_that_it_is_ready() {
    capture(log::LevelFilter::Info);
    let builder = Pool::builder().name("readily").base_size(2).max_overflow(3);
    let pool = builder.connection_timeout(7 * SECOND).build(MemoryManager).unwrap();
    pool.wait_ready(BOUND).unwrap();
    let told = "ready: 2 of 5 connections open, base size 2 and 3 overflow, checkouts wait up to 7 s";
    // By whoever finds it filled: this thread, or the one that opened the last, which may be amid it.
    let said = || lines("readily", log::Level::Info, "ready");
    eventually(BOUND, "it says so", || !said().is_empty());
    assert_eq!(said(), [told]);
}

#[test]
fn the_figures_of_both_tiers_can_be_logged() {
    capture(log::LevelFilter::Info);
    let builder = TieredPool::builder().automation(|tier| tier.name("logged"));
    let pool = builder.adhoc(|tier| tier.name("logged-adhoc")).build(|_| MemoryManager).unwrap();
    let held = pool.get(Tier::Automation).unwrap();
    pool.log_pool_stats();
    let told = "pool_size=50 checked_out=1 overflow=0 total_connections=1 available=54 utilization_percent=1.8 \
                waiting=0";
    assert_eq!(lines("logged", log::Level::Info, "checked_out"), [told]);
    assert_eq!(lines("logged-adhoc", log::Level::Info, "pool_size=5 checked_out=0").len(), 1);
    drop(held);
}

#[test]
fn draining_replaces_the_connections_of_both_tiers() {
    let manager = ScriptedManager::new();
    let pool = TieredPool::builder().build(|_| manager.clone()).unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    let held = pool.get(Tier::Automation).unwrap();
    let before = manager.opened();
    pool.drain();
    eventually(BOUND, "what was idle is closed", || manager.closed() == 1);
    drop(held);
    eventually(BOUND, "and what was in use, once it is back", || manager.closed() == before);
    drop([pool.get(Tier::Automation).unwrap(), pool.get(Tier::Adhoc).unwrap()]);
    assert_eq!(manager.opened(), 2 * before);
}
