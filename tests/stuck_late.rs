//! Steps against stuck checkouts that meet a connection given back, detached, closed or leaked meanwhile.

mod support;

use std::thread;
use std::time::Duration;

use support::scripted::Gate;
use support::wait::{BOUND, SECOND, eventually};
use support::watched::{Act, Rig, Watched};

/// Returns a connection while the hand comes to the moment of its cancel; its id.
fn returned_in_the_moment(rig: &Rig) -> u64 {
    let conn = rig.pool.get().unwrap();
    let id = conn.id();
    thread::scope(|scope| {
        scope.spawn(|| rig.hand.advance(20 * SECOND));
        scope.spawn(move || drop(conn));
    });
    id
}

#[test]
fn a_seizure_leaves_no_note_for_the_next_connection_of_the_slot() {
    for round in 0..300 {
        let rig = Rig::escalating(Watched::default());
        let first = returned_in_the_moment(&rig);
        let next = rig.pool.get_timeout(BOUND).unwrap();
        let id = next.id();
        if id != first {
            eventually(BOUND, "the keeper is done with the first", || rig.counts()[1] == 1);
        }
        drop(next);
        let again = rig.pool.get_timeout(BOUND).unwrap();
        assert_eq!(again.id(), id, "round {round}: closed for what was done to another");
    }
}

#[test]
fn a_step_that_comes_late_leaves_a_detached_connection_to_its_owner() {
    // One helper, so that the end waits behind the cancel.
    let gate = Gate::new();
    let driver = Watched { cancel_behind: Some(gate.clone()), ..Watched::default() };
    let rig = Rig::new(driver, |builder| {
        let builder = builder.max_size(2).open_concurrency(1);
        builder.cancel_stuck_after(Some(20 * SECOND)).terminate_stuck_after(Some(30 * SECOND))
    });
    let first = rig.pool.get().unwrap();
    rig.advance(20 * SECOND, [0, 1, 0]);
    eventually(BOUND, "the helper is busy", || gate.waiting() == 1);
    rig.advance(10 * SECOND, [0, 1, 1]);
    let (id, mut own) = (first.id(), first.detach());
    gate.open();
    drop(rig.pool.get_timeout(BOUND).expect("its seat is free"));
    assert!(rig.pool.close(BOUND).is_complete());
    assert_eq!(rig.acts(), [Act::Cancel(id)], "the request on its way, and no more");
    assert!(own.work().is_ok(), "ended although it is nobody's but its owner's");
}

#[test]
fn a_close_leaves_a_connection_detached_after_it_to_its_owner() {
    let gate = Gate::new();
    let driver = Watched { cancel_behind: Some(gate.clone()), cannot_abandon: true, ..Watched::default() };
    let rig = Rig::new(driver, |builder| builder.max_size(2).open_concurrency(1));
    let (first, second) = (rig.pool.get().unwrap(), rig.pool.get().unwrap());
    let (first_id, second_id) = (first.id(), second.id());
    assert_eq!(rig.pool.close(Duration::ZERO).holders.len(), 2);
    eventually(BOUND, "the helper is busy", || gate.waiting() == 1);
    let mut own = second.detach();
    gate.open();
    eventually(BOUND, "the other is ended", || rig.acts().contains(&Act::Terminate(first_id)));
    drop(first);
    assert!(rig.pool.close(BOUND).is_complete());
    let hit = [Act::Cancel(second_id), Act::Terminate(second_id)];
    assert!(!rig.acts().iter().any(|act| hit.contains(act)), "{:?}", rig.acts());
    assert!(own.work().is_ok());
}

#[test]
fn a_close_is_not_complete_while_a_replaced_connection_is_out() {
    let rig = Rig::escalating(Watched::default());
    let stuck = rig.pool.get().unwrap();
    rig.advance(30 * SECOND, [1, 0, 1]);
    drop(rig.pool.get_timeout(BOUND).expect("capacity is back"));
    let report = rig.pool.close(BOUND);
    assert_eq!((report.gauges.size(), report.holders.len()), (0, 1));
    assert!(!report.is_complete(), "its borrower is still at work");
    drop(stuck);
    assert!(rig.pool.close(BOUND).is_complete());
}

#[test]
fn a_leaked_guard_costs_its_connection_and_no_more() {
    let rig = Rig::escalating(Watched::default());
    std::mem::forget(rig.pool.get().unwrap());
    rig.advance(30 * SECOND, [1, 0, 1]);
    drop(rig.pool.get_timeout(BOUND).expect("capacity is back"));
    assert!(rig.pool.close(BOUND).gauges.size() == 0);
}

#[test]
fn a_close_takes_a_validation_timeout_of_any_length() {
    let rig = Rig::new(Watched::default(), |builder| builder.validation_timeout(Duration::MAX));
    let conn = rig.pool.get().unwrap();
    assert_eq!(rig.pool.close(Duration::ZERO).holders.len(), 1);
    drop(conn);
}

#[test]
fn whoever_gives_back_in_the_moment_of_the_decision_is_cancelled_or_left_alone() {
    // Many, for the moment is short; the keeper decides while borrowers come and go.
    for round in 0..300 {
        let rig = Rig::escalating(Watched::default());
        let first = returned_in_the_moment(&rig);
        let next = rig.pool.get_timeout(BOUND).unwrap();
        let second = next.id();
        drop(next);
        let seized = rig.pool.stats().stuck_cancelled == 1;
        assert_eq!(seized, second != first, "round {round}: {:?}", rig.acts());
    }
}
