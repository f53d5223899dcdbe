//! The guard: what a borrower can do with a connection, and what becomes of it.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use support::scripted::{Call, ScriptedDriver, ScriptedError, ScriptedManager, Step};
use support::wait::eventually;
use tierpool::stats::CloseCause;
use tierpool::{CustomizeConnection, HandleError, Pool, PooledConnection};

const BOUND: Duration = Duration::from_secs(10);

fn lazy_pool(size: u32) -> (ScriptedManager, Pool<ScriptedManager>) {
    let manager = ScriptedManager::new();
    let pool = Pool::builder().max_size(size).min_idle(Some(0)).build(manager.clone()).unwrap();
    (manager, pool)
}

fn closed(pool: &Pool<ScriptedManager>, cause: CloseCause) -> u64 {
    pool.stats().closed.count(cause)
}

#[test]
fn a_guard_is_send_and_outlives_the_pool() {
    fn is_send_and_static<T: Send + 'static>(_: &T) {}
    let (manager, pool) = lazy_pool(1);
    let mut conn: PooledConnection<ScriptedManager> = pool.get().unwrap();
    is_send_and_static(&conn);
    drop(pool);
    let id = conn.id();
    thread::spawn(move || assert_eq!(conn.work(), Ok(id))).join().unwrap();
    eventually(BOUND, "it is closed, for there is no pool", || manager.live() == 0);
}

#[test]
fn extensions_stay_with_the_connection() {
    let (_, pool) = lazy_pool(1);
    let mut conn = pool.get().unwrap();
    assert!(PooledConnection::extensions(&conn).get::<u32>().is_none());
    PooledConnection::extensions_mut(&mut conn).insert(7_u32);
    drop(conn);
    let mut conn = pool.get().unwrap();
    assert_eq!(PooledConnection::extensions(&conn).get::<u32>(), Some(&7));
    conn.mark_broken();
    drop(conn);
    let conn = pool.get().unwrap();
    assert!(PooledConnection::extensions(&conn).get::<u32>().is_none(), "they end with it");
}

#[test]
fn a_connection_marked_broken_is_closed_at_checkin() {
    let (manager, pool) = lazy_pool(1);
    let mut conn = pool.get().unwrap();
    let first = conn.id();
    conn.mark_broken();
    drop(conn);
    assert_eq!(closed(&pool, CloseCause::Broken), 1);
    assert_ne!(pool.get().unwrap().id(), first);
    eventually(BOUND, "the first is closed", || manager.live() == 1);
}

#[test]
fn a_broken_connection_is_closed_at_checkin() {
    let (manager, pool) = lazy_pool(1);
    let conn = pool.get().unwrap();
    let first = conn.id();
    manager.kill(first);
    drop(conn);
    assert_eq!(closed(&pool, CloseCause::Broken), 1);
    assert_ne!(pool.get().unwrap().id(), first);
}

#[test]
fn a_detached_connection_frees_its_slot_and_lives_on() {
    let (manager, pool) = lazy_pool(1);
    let mut conn = pool.get().unwrap().detach();
    let state = pool.state();
    assert_eq!((state.connections, closed(&pool, CloseCause::Detached)), (0, 1));
    let second = pool.get_timeout(BOUND).expect("the slot is free");
    assert!(conn.work().is_ok());
    assert_eq!(manager.live(), 2);
    drop(conn);
    assert_eq!(manager.live(), 1, "its drop is the caller's");
    drop(second);
    assert!(pool.holders().is_empty());
}

#[test]
fn a_guard_closed_by_hand_frees_its_slot() {
    let (manager, pool) = lazy_pool(1);
    pool.get().unwrap().close();
    assert_eq!(closed(&pool, CloseCause::Evicted), 1);
    assert!(pool.holders().is_empty());
    eventually(BOUND, "it is closed", || manager.live() == 0);
    assert!(pool.get_timeout(BOUND).is_ok());
}

#[test]
fn a_guard_dropped_in_a_panic_is_reset_as_suspect() {
    let manager = ScriptedManager::new();
    let builder = Pool::builder().max_size(1).driver(Box::new(ScriptedDriver::new()));
    let pool = builder.build(manager.clone()).unwrap();
    let first = pool.get().unwrap().id();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _conn = pool.get().unwrap();
        panic!("in the middle of a transaction");
    }));
    assert!(panicked.is_err());
    assert_eq!(pool.get_timeout(BOUND).unwrap().id(), first);
    let resets: Vec<_> = manager.events().into_iter().filter(|event| event.call == Call::Reset).collect();
    assert_eq!(resets.len(), 1);
    assert_eq!(resets[0].flag, Some(true), "suspect");
}

/// A customizer and an error handler that panic for as long as they are told to.
#[derive(Debug)]
struct Panicky(&'static str);

impl<C: 'static, E: 'static> CustomizeConnection<C, E> for Panicky {
    fn on_acquire(&self, _: &mut C) -> Result<(), E> {
        PANICS.with_next(self.0 == "on_acquire");
        Ok(())
    }

    fn on_release(&self, _: C) {
        assert_ne!(self.0, "on_release", "the scripted panic of on_release");
    }
}

impl<E> HandleError<E> for Panicky {
    fn handle_error(&self, _: E) {
        panic!("the scripted panic of the error handler");
    }
}

impl tierpool::HandleEvent for Panicky {
    fn handle_checkout(&self, _: tierpool::event::CheckoutEvent) {
        panic!("the scripted panic of the event handler");
    }

    fn handle_checkin(&self, _: tierpool::event::CheckinEvent) {
        panic!("the scripted panic of the event handler");
    }
}

/// The first panic of `on_acquire` in this process, and no other.
struct Once(std::sync::atomic::AtomicBool);

static PANICS: Once = Once(std::sync::atomic::AtomicBool::new(true));

impl Once {
    fn with_next(&self, wanted: bool) {
        use std::sync::atomic::Ordering::Relaxed;
        assert!(!(wanted && self.0.swap(false, Relaxed)), "the scripted panic of on_acquire");
    }
}

#[track_caller]
fn next_get_succeeds(pool: &Pool<ScriptedManager>) {
    for _ in 0..3 {
        let conn = pool.get_timeout(BOUND).unwrap();
        assert_eq!(pool.gauges().size(), 1);
        drop(conn);
    }
    assert!(pool.stats().user_panics > 0, "the panic was counted");
}

#[test]
fn a_panic_in_connect_costs_no_slot() {
    let (manager, pool) = lazy_pool(1);
    manager.script(Call::Connect, [Step::panic()]);
    next_get_succeeds(&pool);
}

#[test]
fn a_panic_in_is_valid_costs_no_slot() {
    for bounded in [false, true] {
        let manager = ScriptedManager::new();
        let driver = if bounded { ScriptedDriver::bounded() } else { ScriptedDriver::new() };
        let builder = Pool::builder().max_size(1).test_on_check_out(true).driver(Box::new(driver));
        let pool = builder.build(manager.clone()).unwrap();
        manager.script(Call::IsValid, [Step::panic()]);
        next_get_succeeds(&pool);
        assert_eq!(closed(&pool, CloseCause::Invalid), 1);
    }
}

#[test]
fn a_panic_in_has_broken_costs_no_slot() {
    let (manager, pool) = lazy_pool(1);
    manager.script(Call::HasBroken, [Step::panic()]);
    next_get_succeeds(&pool);
    assert_eq!(closed(&pool, CloseCause::Broken), 1);
}

#[test]
fn a_panic_in_reset_costs_no_slot() {
    let manager = ScriptedManager::new();
    let builder = Pool::builder().max_size(1).driver(Box::new(ScriptedDriver::new()));
    let pool = builder.build(manager.clone()).unwrap();
    manager.conditions([tierpool::Condition::Dirty]);
    manager.script(Call::Reset, [Step::panic()]);
    next_get_succeeds(&pool);
    assert_eq!(closed(&pool, CloseCause::Broken), 1);
}

#[test]
fn a_panic_in_closing_costs_no_slot() {
    let (manager, pool) = lazy_pool(1);
    manager.script(Call::Close, [Step::panic()]);
    pool.get().unwrap().close();
    eventually(BOUND, "the panic is counted", || pool.stats().user_panics == 1);
    next_get_succeeds(&pool);
    eventually(BOUND, "no zombie is left", || pool.gauges().zombies == 0);
}

#[test]
fn a_panic_in_a_customizer_costs_no_slot() {
    for call in ["on_acquire", "on_release"] {
        let builder = Pool::builder().max_size(1).min_idle(Some(0));
        let pool =
            builder.connection_customizer(Box::new(Panicky(call))).build(ScriptedManager::new()).unwrap();
        pool.get_timeout(BOUND).unwrap().close();
        eventually(BOUND, "the panic is counted", || pool.stats().user_panics == 1);
        next_get_succeeds(&pool);
    }
}

#[test]
fn a_panic_in_an_error_handler_costs_no_slot() {
    let manager = ScriptedManager::new();
    manager.script(Call::Connect, [Step::err(ScriptedError::transient("refused"))]);
    let builder = Pool::builder().max_size(1).error_handler(Box::new(Panicky("")));
    let pool = builder.build(manager).unwrap();
    next_get_succeeds(&pool);
}

#[test]
fn a_panic_in_an_event_handler_costs_no_slot() {
    let builder = Pool::builder().max_size(1).event_handler(Box::new(Panicky("")));
    let pool = builder.build(ScriptedManager::new()).unwrap();
    next_get_succeeds(&pool);
    eventually(BOUND, "it is back", || pool.gauges().idle == 1);
}
