//! The scripted manager that pool tests stand on does what its script says.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use support::scripted::{Call, Gate, ScriptedDriver, ScriptedError, ScriptedManager, Step};
use support::wait::{BOUND, eventually, took};
use tierpool::{Condition, Driver, FailureClass, ManageConnection};

#[test]
fn follows_the_script_then_the_default() {
    let manager = ScriptedManager::new();
    manager.script(Call::Connect, [Step::err(ScriptedError::exhausted()), Step::panic(), Step::ok()]);
    manager.always(Call::Connect, Step::err(ScriptedError::permanent()));
    assert_eq!(manager.connect().unwrap_err(), ScriptedError::exhausted());
    assert!(catch_unwind(AssertUnwindSafe(|| manager.connect())).is_err());
    assert_eq!(manager.connect().unwrap().id(), 3);
    for _ in 0..2 {
        assert_eq!(manager.connect().unwrap_err(), ScriptedError::permanent());
    }
    assert_eq!((manager.calls(Call::Connect), manager.running(Call::Connect)), (5, 0));
    assert_eq!((manager.opened(), manager.closed(), manager.live()), (1, 1, 0));
    let events = manager.events();
    assert_eq!(events[0].thread.as_deref(), Some("follows_the_script_then_the_default"));
    assert_eq!(events.iter().filter(|event| event.id == 3).count(), 2, "opened and closed: {events:?}");
}

#[test]
fn hangs_until_released_and_counts_at_once() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.script(Call::Close, [Step::ok().behind(&gate), Step::panic().behind(&gate)]);
    let threads: Vec<_> =
        (0..2).map(|_| manager.connect().unwrap()).map(|conn| thread::spawn(move || drop(conn))).collect();
    eventually(BOUND, "both drops hang", || gate.waiting() == 2);
    assert_eq!((manager.running(Call::Close), manager.closed(), manager.live()), (2, 0, 2));
    gate.open();
    let panicked =
        threads.into_iter().map(|thread| thread.join().is_err()).filter(|panicked| *panicked).count();
    assert_eq!(panicked, 1);
    assert_eq!((manager.most_running(Call::Close), manager.closed(), manager.live()), (2, 2, 0));
    assert_eq!(manager.most_live(), 2);
}

#[test]
fn the_dead_fail_in_all_ways() {
    let manager = ScriptedManager::new();
    let (mut first, mut second) = (manager.connect().unwrap(), manager.connect().unwrap());
    manager.kill(first.id());
    assert!(manager.has_broken(&mut first) && manager.is_valid(&mut first).is_err() && first.work().is_err());
    assert!(!manager.has_broken(&mut second) && manager.is_valid(&mut second).is_ok());
    assert_eq!(second.work(), Ok(2));
    manager.kill_all();
    assert!(second.work().is_err());
    assert!(manager.connect().unwrap().work().is_ok(), "those opened later live");
}

#[test]
fn the_driver_reports_classes_codes_and_conditions() {
    let (manager, driver) = (ScriptedManager::new(), ScriptedDriver::new());
    let full = ScriptedError::exhausted();
    assert_eq!(driver.classify(&full), FailureClass::Exhausted);
    assert_eq!(driver.code(&full).as_deref(), Some("53300"));
    assert_eq!(driver.classify(&ScriptedError::permanent()), FailureClass::Permanent);
    let mut conn = driver.connect(&manager, BOUND).unwrap();
    manager.conditions([Condition::Dirty, Condition::Misrouted]);
    let seen = [(); 3].map(|()| driver.condition(&manager, &mut conn));
    assert_eq!(seen, [Condition::Dirty, Condition::Misrouted, Condition::Clean]);
    manager.kill(conn.id());
    assert_eq!(driver.condition(&manager, &mut conn), Condition::Broken);
    driver.reset(&manager, &mut conn, true, BOUND).unwrap();
    driver.prepare_close(&mut conn, false);
    let flags: Vec<_> = manager.events().iter().filter_map(|event| event.flag).collect();
    assert_eq!(flags, [true, false]);
}

#[test]
fn a_bounded_driver_keeps_its_limit() {
    let (manager, driver) = (ScriptedManager::new(), ScriptedDriver::bounded());
    let mut conn = driver.connect(&manager, BOUND).unwrap();
    let limit = Duration::from_millis(50);
    manager.script(Call::IsValid, [Step::ok().behind(&Gate::new()), Step::ok().after(BOUND), Step::ok()]);
    for _ in 0..2 {
        let (outcome, time) = took(|| driver.validate(&manager, &mut conn, limit));
        assert!(outcome.is_err() && time >= limit && time < BOUND, "{outcome:?} {time:?}");
    }
    assert!(driver.validate(&manager, &mut conn, limit).is_ok());
}
