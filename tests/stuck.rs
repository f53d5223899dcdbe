//! Checkouts that last too long: warned of, cancelled, ended; each step once, and never for another borrower.

mod support;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use support::scripted::{Gate, ScriptedConnection, ScriptedManager};
use support::wait::eventually;
use tierpool::event::{Event, EventReceiver, StuckStep};
use tierpool::stats::CloseCause;
use tierpool::{
    Abandonment, Builder, Clock, ClockHand, Driver, ManageConnection, NopErrorHandler, Place, Pool,
    SessionControl,
};

const BOUND: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

/// What was done to which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Cancel(u64),
    Terminate(u64),
    Abandon(u64, Abandonment),
}

/// A driver whose controls write down what is asked of them.
#[derive(Clone, Default)]
struct Watched {
    acts: Arc<Mutex<Vec<Act>>>,
    places: Arc<Mutex<Vec<Place>>>,
    /// Where a request to cancel waits, if it is to.
    cancel_behind: Option<Gate>,
    refuses_to_end: bool,
    panics: bool,
    /// Cannot end a call without the server.
    cannot_abandon: bool,
}

struct Control {
    id: u64,
    manager: ScriptedManager,
    driver: Watched,
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

impl SessionControl for Control {
    fn placed(&self, place: Place) {
        self.driver.places.lock().push(place);
    }

    fn cancel(&self, _: Duration) -> Outcome {
        assert!(!self.driver.panics, "a control that panics");
        if let Some(gate) = &self.driver.cancel_behind {
            gate.pass(None);
        }
        self.driver.acts.lock().push(Act::Cancel(self.id));
        Ok(())
    }

    fn terminate(&self, _: Duration) -> Outcome {
        self.driver.acts.lock().push(Act::Terminate(self.id));
        if self.driver.refuses_to_end { Err("the server does not answer".into()) } else { Ok(()) }
    }

    fn abandon(&self, why: Abandonment) -> bool {
        if self.driver.cannot_abandon {
            return false;
        }
        self.driver.acts.lock().push(Act::Abandon(self.id, why));
        self.manager.kill(self.id);
        true
    }
}

impl Driver<ScriptedManager> for Watched {
    fn control(
        &self,
        manager: &ScriptedManager,
        conn: &mut ScriptedConnection,
    ) -> Option<Arc<dyn SessionControl>> {
        Some(Arc::new(Control { id: conn.id(), manager: manager.clone(), driver: self.clone() }))
    }
}

struct Rig {
    pool: Pool<ScriptedManager>,
    hand: ClockHand,
    driver: Watched,
    events: EventReceiver,
}

impl Rig {
    fn new(
        driver: Watched,
        change: impl FnOnce(Builder<ScriptedManager>) -> Builder<ScriptedManager>,
    ) -> Rig {
        let (clock, hand) = Clock::manual();
        let builder = Pool::builder()
            .clock(clock)
            .max_size(1)
            .min_idle(Some(0))
            .keepalive(None)
            .driver(Box::new(driver.clone()))
            .error_handler(Box::new(NopErrorHandler));
        let pool = change(builder).build(ScriptedManager::new()).unwrap();
        let events = pool.subscribe(100);
        Rig { pool, hand, driver, events }
    }

    /// Warned of after 10 s, cancelled after 20 s, ended after 30 s.
    fn escalating(driver: Watched) -> Rig {
        Rig::new(driver, |builder| {
            builder
                .leak_threshold(Some(10 * SECOND))
                .cancel_stuck_after(Some(20 * SECOND))
                .terminate_stuck_after(Some(30 * SECOND))
        })
    }

    fn acts(&self) -> Vec<Act> {
        self.driver.acts.lock().clone()
    }

    /// Long holds, cancelled and ended checkouts.
    fn counts(&self) -> [u64; 3] {
        let stats = self.pool.stats();
        [stats.long_holds, stats.stuck_cancelled, stats.stuck_terminated]
    }

    /// Advances by `by` and waits until the counts are these.
    #[track_caller]
    fn advance(&self, by: Duration, counts: [u64; 3]) {
        self.hand.advance(by);
        eventually(BOUND, &format!("{counts:?}"), || self.counts() == counts);
    }
}

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
fn whoever_gives_back_in_the_moment_of_the_decision_is_cancelled_or_left_alone() {
    // Many, for the moment is short; the keeper decides while borrowers come and go.
    for round in 0..300 {
        let rig = Rig::escalating(Watched::default());
        let conn = rig.pool.get().unwrap();
        let first = conn.id();
        thread::scope(|scope| {
            scope.spawn(|| rig.hand.advance(20 * SECOND));
            scope.spawn(move || drop(conn));
        });
        let next = rig.pool.get_timeout(BOUND).unwrap();
        let second = next.id();
        drop(next);
        let seized = rig.pool.stats().stuck_cancelled == 1;
        assert_eq!(seized, second != first, "round {round}: {:?}", rig.acts());
    }
}

#[test]
fn a_seizure_leaves_no_note_for_the_next_connection_of_the_slot() {
    for round in 0..300 {
        let rig = Rig::escalating(Watched::default());
        let conn = rig.pool.get().unwrap();
        let first = conn.id();
        thread::scope(|scope| {
            scope.spawn(|| rig.hand.advance(20 * SECOND));
            scope.spawn(move || drop(conn));
        });
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
fn under_load_no_seat_is_lost_and_none_doubled() {
    let driver = Watched::default();
    let rig = Rig::new(driver, |builder| {
        let limits = builder.cancel_stuck_after(Some(5 * SECOND)).terminate_stuck_after(Some(10 * SECOND));
        limits.max_size(4).max_lifetime(None).deadlock_detection(false).failure_threshold(0)
    });
    let [done, seconds, served, most] = [const { AtomicUsize::new(0) }; 4];
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..200 {
                    let Ok(conn) = rig.pool.get_timeout(BOUND) else { break };
                    served.fetch_add(1, Ordering::Relaxed);
                    let until = seconds.load(Ordering::Relaxed) + round % 15;
                    while seconds.load(Ordering::Relaxed) < until {
                        thread::yield_now();
                    }
                    drop(conn);
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            while done.load(Ordering::Relaxed) < 8 {
                rig.hand.advance(SECOND);
                seconds.fetch_add(1, Ordering::Relaxed);
                most.fetch_max(rig.pool.gauges().size() as usize, Ordering::Relaxed);
                thread::yield_now();
            }
        });
    });
    assert_eq!(
        (served.into_inner(), most.into_inner()),
        (8 * 200, 4),
        "a seat is lost, or the ceiling passed"
    );
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
        error.contains("cancel_stuck_after is 5s: must not be shorter than leak_threshold, which is 10s"),
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
