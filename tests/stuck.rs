//! Checkouts that last too long: warned of, cancelled, ended; each step once, and never for another borrower.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use support::scripted::{Gate, ScriptedManager};
use support::wait::{BOUND, SECOND, eventually};
use support::watched::{Act, Rig, Watched};
use tierpool::event::{Event, StuckStep};
use tierpool::stats::CloseCause;
use tierpool::{Abandonment, Clock, Driver, ManageConnection, Pool};

#[test]
fn each_step_is_taken_once_counted_and_told() {
    let rig = Rig::escalating(Watched::default());
    let mut conn = rig.pool.get().unwrap();
    conn.tag("job 9");
    let (id, session) = (tierpool::PooledConnection::id(&conn), conn.id());
    rig.advance(9 * SECOND, [0, 0, 0]);
    rig.advance(SECOND, [1, 0, 0]);
    rig.advance(10 * SECOND, [1, 1, 0]);
    eventually(BOUND, "the cancel", || rig.acts() == [Act::Cancel(session)]);
    rig.advance(10 * SECOND, [1, 1, 1]);
    let all =
        [Act::Cancel(session), Act::Abandon(session, Abandonment::HeldTooLong), Act::Terminate(session)];
    eventually(BOUND, "the end", || rig.acts() == all);
    // A look long after does nothing more; the next pool-wide event shows that it has been made.
    for _ in 0..5 {
        rig.hand.advance(60 * SECOND);
    }
    let second = rig.pool.get_timeout(BOUND).expect("the seat of the ended session is free");
    rig.advance(10 * SECOND, [2, 1, 1]);
    assert_eq!(rig.acts(), all);
    drop(second);
    let mut told = Vec::new();
    eventually(BOUND, "the events", || {
        for event in rig.events.try_iter() {
            match event {
                Event::LongHold(event) => told.push((event.holder(), None)),
                Event::Stuck(event) => told.push((event.holder(), Some(event.step()))),
                _ => {}
            }
        }
        told.len() == 4
    });
    let steps: Vec<_> = told.iter().map(|(_, step)| *step).collect();
    assert_eq!(steps, [None, Some(StuckStep::Cancel), Some(StuckStep::Terminate), None]);
    for (holder, _) in &told[..3] {
        assert_eq!((holder.connection_id, holder.tag.as_deref()), (id, Some("job 9")));
        assert!(holder.location.file().ends_with("stuck.rs"));
    }
}

#[test]
fn a_look_that_comes_late_takes_the_last_step_alone() {
    let rig = Rig::escalating(Watched::default());
    let conn = rig.pool.get().unwrap();
    rig.advance(3600 * SECOND, [1, 0, 1]);
    drop(conn);
}

#[test]
fn nothing_is_done_by_default_or_without_a_control() {
    let rig = Rig::new(Watched::default(), |builder| builder);
    let conn = rig.pool.get().unwrap();
    rig.advance(600 * SECOND, [0, 0, 0]);
    drop(conn);
    assert!(rig.pool.try_get().is_some() && rig.acts().is_empty());

    let (clock, hand) = Clock::manual();
    let builder = Pool::builder().clock(clock).max_size(1).cancel_stuck_after(Some(SECOND));
    let plain = builder.leak_threshold(Some(SECOND)).build(ScriptedManager::new()).unwrap();
    let conn = plain.get().unwrap();
    hand.advance(10 * SECOND);
    eventually(BOUND, "the warning", || plain.stats().long_holds == 1);
    drop(conn);
    assert_eq!((plain.stats().stuck_cancelled, plain.gauges().idle), (0, 1), "it is lent on");
}

#[test]
fn a_cancel_that_comes_late_meets_no_later_borrower() {
    let gate = Gate::new();
    let rig = Rig::escalating(Watched { cancel_behind: Some(gate.clone()), ..Watched::default() });
    let conn = rig.pool.get().unwrap();
    let cancelled = conn.id();
    rig.advance(20 * SECOND, [1, 1, 0]);
    eventually(BOUND, "the cancel is on its way", || gate.waiting() == 1);
    drop(conn);
    let next = rig.pool.get_timeout(BOUND).expect("another is opened");
    assert_ne!(next.id(), cancelled, "lent on with a cancel on its way");
    gate.open();
    eventually(BOUND, "it arrives", || rig.acts() == [Act::Cancel(cancelled)]);
    assert_eq!(rig.pool.stats().closed.count(CloseCause::Evicted), 1);
    assert_eq!(rig.pool.stats().suspicions, 0, "what the pool did itself tells nothing of the server");
}

#[test]
fn under_load_no_seat_is_lost_and_none_doubled() {
    let driver = Watched::default();
    let rig = Rig::new(driver, |builder| {
        let limits = builder.cancel_stuck_after(Some(5 * SECOND)).terminate_stuck_after(Some(10 * SECOND));
        limits.max_size(4).max_lifetime(None).deadlock_detection(false).failure_threshold(0)
    });
    let [seconds, served] = [const { AtomicUsize::new(0) }; 2];
    let mut most = 0;
    thread::scope(|scope| {
        let work = || {
            for round in 0..200 {
                let Ok(conn) = rig.pool.get_timeout(BOUND) else { break };
                served.fetch_add(1, Ordering::Relaxed);
                let until = seconds.load(Ordering::Relaxed) + round % 15;
                while seconds.load(Ordering::Relaxed) < until {
                    thread::yield_now();
                }
                drop(conn);
            }
        };
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        while !workers.iter().all(|worker| worker.is_finished()) {
            rig.hand.advance(SECOND);
            seconds.fetch_add(1, Ordering::Relaxed);
            most = most.max(rig.pool.gauges().size());
            thread::yield_now();
        }
    });
    assert_eq!((served.into_inner(), most), (8 * 200, 4), "a seat is lost, or the ceiling passed");
    eventually(BOUND, "all is at rest", || {
        let (stats, gauges) = (rig.pool.stats(), rig.pool.gauges());
        gauges.in_use + gauges.opening + gauges.zombies == 0
            && stats.opened - stats.closed.total() == u64::from(gauges.size())
    });
    assert!(rig.pool.stats().stuck_terminated > 0, "nothing was ever stuck: the test shows nothing");
    let all: Vec<_> = (0..4).map(|_| rig.pool.get_timeout(BOUND).expect("a seat is lost")).collect();
    assert!(rig.pool.try_get().is_none(), "a seat is doubled");
    drop(all);
}

#[test]
fn the_seat_is_back_before_a_borrower_that_never_returns() {
    let rig = Rig::escalating(Watched::default());
    let stuck = rig.pool.get().unwrap();
    rig.advance(30 * SECOND, [1, 0, 1]);
    let others: Vec<_> = (0..3)
        .map(|_| {
            let conn = rig.pool.get_timeout(BOUND).expect("capacity is back");
            assert!(rig.pool.try_get().is_none(), "the ceiling is passed");
            drop(conn);
        })
        .collect();
    drop(others);
    eventually(BOUND, "one idle", || rig.pool.gauges().idle == 1);
    assert_eq!((rig.pool.gauges().size(), rig.pool.holders().len()), (1, 1), "the guard is still out");
    drop(stuck);
    eventually(BOUND, "it is closed", || rig.pool.stats().closed.total() == 1);
    assert_eq!(rig.pool.gauges().size(), 1, "given back twice");
    let conn = rig.pool.get_timeout(BOUND).unwrap();
    assert!(rig.pool.try_get().is_none(), "given back twice");
    drop(conn);
    assert_eq!(rig.pool.stats().opened, 2);
}

#[test]
fn a_session_that_may_still_be_there_keeps_its_seat() {
    let rig = Rig::escalating(Watched { refuses_to_end: true, ..Watched::default() });
    let mut stuck = rig.pool.get().unwrap();
    rig.advance(30 * SECOND, [1, 0, 1]);
    eventually(BOUND, "it is tried", || rig.acts().len() == 2);
    assert!(rig.pool.get_timeout(Duration::from_millis(50)).is_err());
    assert!(stuck.work().is_err(), "its calls fail");
    drop(stuck);
    assert!(rig.pool.get_timeout(BOUND).is_ok());
}

#[test]
fn a_panic_in_a_control_is_counted_and_costs_nothing() {
    let rig = Rig::escalating(Watched { panics: true, ..Watched::default() });
    let conn = rig.pool.get().unwrap();
    rig.advance(20 * SECOND, [1, 1, 0]);
    eventually(BOUND, "the panic", || rig.pool.stats().user_panics == 1);
    drop(conn);
    assert!(rig.pool.get_timeout(BOUND).is_ok());
}

#[test]
fn closing_ends_the_calls_of_those_still_out_and_names_them() {
    let rig = Rig::new(Watched::default(), |builder| builder.max_size(3));
    let mut out: Vec<_> = (0..2).map(|_| rig.pool.get().unwrap()).collect();
    let idle = rig.pool.get().unwrap();
    drop(idle);
    let report = rig.pool.close(Duration::from_millis(20));
    assert_eq!((report.holders.len(), report.is_complete()), (2, false));
    let ended = Abandonment::PoolClosed;
    for conn in &mut out {
        assert!(rig.acts().contains(&Act::Abandon(conn.id(), ended)), "{:?}", rig.acts());
        assert!(conn.work().is_err());
    }
    assert_eq!(rig.acts().iter().filter(|act| matches!(act, Act::Abandon(..))).count(), 2);
    drop(out);
    assert!(rig.pool.close(BOUND).is_complete());
}

#[test]
fn a_place_names_the_connection_and_whoever_has_it() {
    let rig = Rig::new(Watched::default(), |builder| builder.name("placed"));
    let mut conn = rig.pool.get().unwrap();
    conn.tag("import");
    let place = rig.driver.places.lock()[0].clone();
    assert_eq!(place.connection_id(), tierpool::PooledConnection::id(&conn));
    assert_eq!(
        (place.pool_name().as_deref(), place.holder().unwrap().tag.as_deref()),
        (Some("placed"), Some("import"))
    );
    drop(conn);
    assert!(place.holder().is_none());
    drop(rig.pool);
    eventually(BOUND, "the pool is gone", || place.pool_name().is_none());
}

#[test]
fn limits_out_of_order_are_refused_all_at_once() {
    let builder = Pool::<ScriptedManager>::builder()
        .leak_threshold(Some(10 * SECOND))
        .cancel_stuck_after(Some(5 * SECOND))
        .terminate_stuck_after(Some(Duration::ZERO));
    let error = builder.build(ScriptedManager::new()).unwrap_err().to_string();
    assert!(
        error.contains("cancel_stuck_after is 5 s: must not be shorter than leak_threshold, which is 10 s"),
        "{error}"
    );
    assert!(error.contains("terminate_stuck_after is 0: must be longer than zero"), "{error}");
}

/// A manager is enough for the compiler to hold the documentation's word: r2d2 managers need no control.
#[allow(dead_code)]
fn any_manager_will_do<M: ManageConnection>(
    driver: &dyn Driver<M>,
    manager: &M,
    conn: &mut M::Connection,
) -> bool {
    driver.control(manager, conn).is_none()
}
