//! The guard: what a borrower can do with a connection, and what becomes of it.

mod support;

use std::thread;

use support::scripted::{ScriptedManager, built, closed};
use support::wait::{BOUND, eventually};
use tierpool::stats::CloseCause;
use tierpool::{Pool, PooledConnection};

fn lazy_pool(size: u32) -> (ScriptedManager, Pool<ScriptedManager>) {
    built(Pool::builder().max_size(size).min_idle(Some(0)))
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
