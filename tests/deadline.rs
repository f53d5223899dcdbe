//! One deadline covers everything: a caller is back in time whatever hangs, and so is a drop.

mod support;

use std::thread;
use std::time::Duration;

use support::scripted::{Call, Gate, ScriptedDriver, ScriptedError, ScriptedManager, Step, built};
use support::wait::{AT_ONCE, BOUND, SLACK, eventually, took};
use tierpool::{Builder, Condition, Error, Pool};

const LIMIT: Duration = Duration::from_millis(300);

/// A manager, its pool, and a gate at which the calls of one kind hang once it is told.
struct Rig {
    manager: ScriptedManager,
    pool: Pool<ScriptedManager>,
    gate: Gate,
}

impl Rig {
    fn new(change: impl FnOnce(Builder<ScriptedManager>) -> Builder<ScriptedManager>) -> Rig {
        let builder = change(Pool::builder().max_size(1).min_idle(Some(0)).deadlock_detection(false));
        let (manager, pool) = built(builder);
        Rig { manager, pool, gate: Gate::new() }
    }

    fn hang(&self, call: Call) {
        self.manager.always(call, Step::ok().behind(&self.gate));
    }

    fn thaw(&self, call: Call) {
        self.manager.always(call, Step::ok());
        self.gate.open();
    }

    /// A checkout that is to fail, in time.
    #[track_caller]
    fn fails_in_time(&self) -> Error {
        let (outcome, time) = took(|| self.pool.get_timeout(LIMIT).map(drop));
        assert!(time >= LIMIT && time < LIMIT + SLACK, "back after {time:?}");
        let error = outcome.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        error
    }

    /// What must hold once nothing hangs any more.
    #[track_caller]
    fn recovers(&self) {
        // What hung may have opened the circuit breaker.
        eventually(BOUND, "a checkout succeeds", || self.pool.get_timeout(BOUND).is_ok());
        eventually(BOUND, "nothing is left over", || {
            let gauges = self.pool.gauges();
            (gauges.in_use, gauges.opening, gauges.waiting, gauges.zombies) == (0, 0, 0, 0)
        });
        assert_eq!(self.pool.gauges().idle as usize, self.manager.live());
    }
}

#[test]
fn a_hung_connect_is_not_waited_for() {
    let rig = Rig::new(|builder| builder);
    rig.hang(Call::Connect);
    let error = rig.fails_in_time();
    assert_eq!(error.gauges().opening, 1, "{error}");
    assert_eq!(rig.manager.running(Call::Connect), 1);
    rig.thaw(Call::Connect);
    rig.recovers();
}

#[test]
fn a_hung_validation_is_not_waited_for_and_its_connection_stays() {
    for driver in [ScriptedDriver::new(), ScriptedDriver::bounded()] {
        let rig = Rig::new(|builder| builder.test_on_check_out(true).driver(Box::new(driver)));
        drop(rig.pool.get_timeout(BOUND).unwrap());
        rig.hang(Call::IsValid);
        rig.fails_in_time();
        rig.thaw(Call::IsValid);
        rig.recovers();
        assert_eq!((rig.manager.opened(), rig.manager.closed(), rig.pool.stats().suspicions), (1, 0, 0));
        assert_eq!(rig.pool.get_timeout(BOUND).unwrap().id(), 1);
    }
}

#[test]
fn a_hung_close_holds_nobody_up() {
    let rig = Rig::new(|builder| builder);
    rig.hang(Call::Close);
    let conn = rig.pool.get_timeout(BOUND).unwrap();
    let (_, time) = took(|| conn.close());
    // Less than the grace that it has.
    assert!(time < SLACK, "{time:?}");
    let (next, time) = took(|| rig.pool.get_timeout(LIMIT).map(drop));
    assert!(next.is_ok() && time < LIMIT, "{time:?}");
    assert_eq!(rig.pool.gauges().zombies, 1);
    rig.thaw(Call::Close);
    rig.recovers();
}

#[test]
fn hung_closes_do_not_keep_others_from_being_validated() {
    // As many as there are closers, if they might take all of them.
    let rig = Rig::new(|builder| builder.max_size(8).open_concurrency(2).test_on_check_out(true));
    rig.hang(Call::Close);
    let held: Vec<_> = (0..3).map(|_| rig.pool.get_timeout(BOUND).unwrap()).collect();
    let mut held = held.into_iter();
    let kept = held.next();
    held.for_each(|conn| conn.close());
    eventually(BOUND, "a closer hangs", || {
        rig.manager.running(Call::Close) > 0 && rig.pool.gauges().zombies == 2
    });
    let id = kept.as_ref().unwrap().id();
    drop(kept);
    let (next, time) = took(|| rig.pool.get_timeout(BOUND).map(|conn| conn.id()));
    assert_eq!(next.unwrap(), id, "after {time:?}");
    assert!(time < LIMIT, "{time:?}");
    rig.thaw(Call::Close);
    rig.recovers();
}

#[test]
fn a_hung_reset_holds_nobody_up() {
    for driver in [ScriptedDriver::new(), ScriptedDriver::bounded()] {
        let rig = Rig::new(|builder| builder.driver(Box::new(driver)).validation_timeout(BOUND));
        rig.hang(Call::Reset);
        rig.manager.conditions([Condition::Dirty]);
        let conn = rig.pool.get_timeout(BOUND).unwrap();
        let (_, time) = took(|| drop(conn));
        assert!(time < AT_ONCE, "the drop took {time:?}");
        eventually(BOUND, "the reset hangs", || rig.manager.running(Call::Reset) == 1);
        let error = rig.fails_in_time();
        assert_eq!(error.gauges().in_use, 1, "{error}");
        rig.thaw(Call::Reset);
        rig.recovers();
        assert_eq!(rig.manager.opened(), 1, "it was kept");
    }
}

#[test]
fn a_reset_past_its_timeout_frees_the_slot() {
    for driver in [ScriptedDriver::new(), ScriptedDriver::bounded()] {
        let rig = Rig::new(|builder| builder.driver(Box::new(driver)).validation_timeout(LIMIT));
        rig.hang(Call::Reset);
        rig.manager.conditions([Condition::Dirty]);
        let first = {
            let conn = rig.pool.get_timeout(BOUND).unwrap();
            conn.id()
        };
        assert_ne!(rig.pool.get_timeout(BOUND).unwrap().id(), first);
        rig.thaw(Call::Reset);
        rig.recovers();
    }
}

#[test]
fn everything_hung_at_once_delays_no_caller() {
    let rig = Rig::new(|builder| builder.max_size(4).test_on_check_out(true).validation_timeout(LIMIT));
    let held: Vec<_> = (0..4).map(|_| rig.pool.get_timeout(BOUND).unwrap()).collect();
    drop(held);
    for call in [Call::IsValid, Call::Close, Call::Connect] {
        rig.hang(call);
    }
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let pool = rig.pool.clone();
            thread::spawn(move || took(|| pool.get_timeout(LIMIT * 2).is_ok()))
        })
        .collect();
    for caller in callers {
        let (got, time) = caller.join().unwrap();
        assert!(!got && time < LIMIT * 2 + SLACK, "{got} after {time:?}");
    }
    for call in [Call::IsValid, Call::Close, Call::Connect] {
        rig.thaw(call);
    }
    rig.recovers();
}

#[test]
fn zombies_are_bounded_and_then_hold_their_slots() {
    let rig = Rig::new(|builder| builder.max_size(3).max_zombies(Some(2)));
    rig.hang(Call::Close);
    let held: Vec<_> = (0..3).map(|_| rig.pool.get_timeout(BOUND).unwrap()).collect();
    held.into_iter().for_each(|conn| conn.close());
    eventually(BOUND, "two are given up, and the third keeps its slot", || {
        let gauges = rig.pool.gauges();
        (gauges.zombies, gauges.size()) == (3, 1)
    });
    let held: Vec<_> = (0..2).map(|_| rig.pool.get_timeout(BOUND).unwrap()).collect();
    rig.fails_in_time();
    assert_eq!(rig.manager.live(), 5, "the ceiling and the zombies");
    drop(held);
    rig.thaw(Call::Close);
    rig.recovers();
    assert_eq!(rig.manager.most_live(), 5);
}

#[test]
fn a_failing_validation_is_not_shown_to_the_caller() {
    let rig = Rig::new(|builder| builder.max_size(3).test_on_check_out(true));
    let held: Vec<_> = (0..3).map(|_| rig.pool.get_timeout(BOUND).unwrap()).collect();
    drop(held);
    let dead = ScriptedError::transient("terminated");
    rig.manager.script(Call::IsValid, [Step::err(dead.clone()), Step::err(dead)]);
    assert!(rig.pool.get_timeout(BOUND).unwrap().work().is_ok());
    rig.recovers();
}
