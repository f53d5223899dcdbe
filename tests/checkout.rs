//! Checkout and checkin: who gets a connection, how long it takes, and what an error says.

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use support::scripted::{Call, ScriptedManager, Step};
use tierpool::{ErrorKind, Pool};

#[test]
fn a_connection_goes_round() {
    let manager = ScriptedManager::new();
    let pool = Pool::builder().max_size(2).build(manager.clone()).unwrap();
    assert_eq!(manager.live(), 2);
    for _ in 0..100 {
        drop(pool.get().unwrap());
    }
    assert_eq!(pool.stats().checkouts.direct, 100);
    assert_eq!(manager.opened(), 2);
}

#[test]
fn a_timeout_names_what_was_going_on() {
    let pool = Pool::builder()
        .name("autumn")
        .max_size(1)
        .deadlock_detection(false)
        .build(ScriptedManager::new())
        .unwrap();
    let mut held = pool.get().unwrap();
    held.tag("job 42");
    let error = pool.get_timeout(Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    println!("{error}\n{error:#}");
    assert!(error.waited() >= Duration::from_millis(50));
}
#[test]
fn deadlock() {
    let pool = Pool::builder().max_size(1).build(ScriptedManager::new()).unwrap();
    let _held = pool.get().unwrap();
    let error = pool.get_timeout(Duration::from_secs(50)).unwrap_err();
    println!("{error}\n{error:#}");
    assert_eq!(error.kind(), ErrorKind::WouldDeadlock);
}
#[test]
fn down() {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(support::scripted::ScriptedError::transient("refused")));
    let pool = Pool::builder().max_size(1).build_unchecked(manager);
    let error = pool.get_timeout(Duration::from_secs(50)).unwrap_err();
    println!("{error}\n{error:#}");
    assert_eq!(error.kind(), ErrorKind::CircuitOpen);
}
