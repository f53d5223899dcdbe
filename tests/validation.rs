//! Validation: when a connection is pinged, what becomes of one that fails or hangs, and of those like it.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use support::scripted::{
    Call, Gate, Parts, ScriptedDriver, ScriptedError, ScriptedManager, Step, closed, still,
};
use support::wait::{A_MOMENT, BOUND, MS, SECOND, SLACK, comes_true, eventually, took};
use tierpool::config::PrePing;
use tierpool::stats::CloseCause;
use tierpool::{Condition, Pool};

/// A pool without background work, whose clock stands still.
fn builder() -> Parts {
    still(|builder| builder.max_size(2).min_idle(None).driver(Box::new(ScriptedDriver::new())))
}

fn warmed(pool: &Pool<ScriptedManager>) {
    let all: Vec<_> = (0..pool.max_size()).map(|_| pool.get().unwrap()).collect();
    drop(all);
}

/// Whether nothing goes on and all slots have an idle connection.
fn at_rest(pool: &Pool<ScriptedManager>, size: u32) -> bool {
    let gauges = pool.gauges();
    (gauges.idle, gauges.in_use, gauges.opening, gauges.waiting, gauges.zombies) == (size, 0, 0, 0, 0)
}

#[test]
fn always_pings_before_every_checkout_also_of_those_never_lent() {
    let (builder, _hand, manager) = builder();
    let pool = builder.max_size(1).test_on_check_out(true).build(manager.clone()).unwrap();
    for pings in 1..=5 {
        drop(pool.get().unwrap());
        assert_eq!(manager.calls(Call::IsValid), pings);
    }
}

#[test]
fn one_that_is_opened_for_the_caller_is_not_pinged() {
    let (builder, _hand, manager) = builder();
    let pool = builder.min_idle(Some(0)).test_on_check_out(true).build(manager.clone()).unwrap();
    drop(pool.get().unwrap());
    assert_eq!(manager.calls(Call::IsValid), 0);
}

#[test]
fn if_idle_for_pings_after_that_time_and_never_does_not() {
    let idle = PrePing::IfIdleFor(SECOND);
    for (policy, pings) in [(idle, [0, 0, 1, 1]), (PrePing::Never, [0, 0, 0, 0])] {
        let (builder, hand, manager) = builder();
        let pool = builder.max_size(1).pre_ping(policy).build(manager.clone()).unwrap();
        drop(pool.get().unwrap());
        let seen = [0, 999, 1000, 500].map(|ms| {
            hand.advance(Duration::from_millis(ms));
            drop(pool.get().unwrap());
            manager.calls(Call::IsValid)
        });
        assert_eq!(seen, pings, "{policy:?}");
    }
}

#[test]
fn a_failed_one_is_closed_elsewhere_and_the_next_is_tried() {
    let (builder, hand, manager) = builder();
    let pool = builder.max_size(3).test_on_check_out(true).build(manager.clone()).unwrap();
    warmed(&pool);
    // The one that this thread would get next, and another.
    let next = pool.get().unwrap().id();
    manager.kill(next);
    manager.kill(next % 3 + 1);
    for _ in 0..10 {
        assert!(
            pool.get().unwrap().work().is_ok(),
            "a caller never sees a dead one while a good one can be had"
        );
    }
    // Whichever of the two no caller came upon is for the keeper, as a suspect.
    hand.advance(SECOND);
    eventually(BOUND, "both are closed", || manager.closed() == 2);
    let me = thread::current().name().map(str::to_owned);
    let closes = manager.events().into_iter().filter(|event| event.call == Call::Close);
    assert!(closes.into_iter().all(|close| close.thread != me), "closed on the caller's thread");
    assert_eq!(closed(&pool, CloseCause::Invalid), 2);
}

#[test]
fn a_hung_validation_is_given_up_and_its_caller_is_served_by_another() {
    let limit = 300 * MS;
    // By one that has to be opened, and by one that is idle.
    for size in [1, 2] {
        let (builder, _hand, manager) = builder();
        let builder = builder.max_size(size).test_on_check_out(true).validation_timeout(limit);
        let pool = builder.failure_threshold(0).build(manager.clone()).unwrap();
        warmed(&pool);
        let gate = Gate::new();
        let before = manager.calls(Call::IsValid);
        manager.script(Call::IsValid, [Step::ok().behind(&gate)]);
        let (conn, time) = took(|| pool.get_timeout(BOUND).unwrap());
        assert!(time >= limit && time < limit * 2 + SLACK, "{time:?}");
        let mut pings = manager.events().into_iter().filter(|event| event.call == Call::IsValid);
        assert_ne!(conn.id(), pings.nth(before).expect("the ping that hangs").id);
        let stats = pool.stats();
        assert_eq!((stats.gauges.zombies, stats.suspicions, gate.waiting()), (1, 1, 1));
        drop(conn);
        let all: Vec<_> = (0..size).map(|_| pool.get_timeout(BOUND).unwrap()).collect();
        assert_eq!(pool.gauges().size(), size, "its slot was free at once");
        drop(all);
        gate.open();
        eventually(BOUND, "nothing is left over", || at_rest(&pool, size) && manager.live() == size as usize);
        assert_eq!(closed(&pool, CloseCause::Invalid), 1);
    }
}

#[test]
fn hung_validations_beyond_max_zombies_keep_their_slots_and_let_their_callers_go() {
    let (builder, _hand, manager) = builder();
    let limit = 50 * MS;
    let pool = builder.max_size(4).test_on_check_out(true).validation_timeout(limit).failure_threshold(0);
    let pool = pool.max_zombies(Some(1)).build(manager.clone()).unwrap();
    warmed(&pool);
    let gate = Gate::new();
    manager.script(Call::IsValid, [(); 3].map(|()| Step::ok().behind(&gate)));
    let (_, time) = took(|| {
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| drop(pool.get_timeout(BOUND).unwrap()));
            }
        });
    });
    assert!(time < BOUND / 2, "{time:?}");
    let gauges = pool.gauges();
    assert_eq!((gauges.zombies, gauges.size()), (1, 4));
    assert!(gauges.in_use >= 2, "{gauges:?}");
    // Where all hang there is nobody to be served by, and a caller leaves at its deadline.
    manager.always(Call::IsValid, Step::ok().behind(&gate));
    let deadline = limit * 6;
    thread::scope(|scope| {
        let caller = || took(|| pool.get_timeout(deadline).is_ok());
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(caller)).collect();
        for caller in callers {
            let (_, time) = caller.join().unwrap();
            assert!(time < deadline + SLACK, "{time:?}");
        }
    });
    let gauges = pool.gauges();
    assert!(gauges.zombies == 1 && gauges.size() <= 4, "{gauges:?}");
    gate.open();
    eventually(BOUND, "all come back", || at_rest(&pool, 4) && manager.live() == 4);
    assert!(manager.most_live() <= 5, "the ceiling and the zombie, and not {}", manager.most_live());
}

#[test]
fn a_bounded_driver_validates_on_the_callers_thread() {
    let (builder, _hand, manager) = builder();
    let driver = Box::new(ScriptedDriver::bounded());
    let limit = Duration::from_millis(50);
    let builder = builder.driver(driver).test_on_check_out(true).validation_timeout(limit);
    let pool = builder.build(manager.clone()).unwrap();
    warmed(&pool);
    manager.script(Call::IsValid, [Step::ok().behind(&Gate::new())]);
    let (conn, time) = took(|| pool.get_timeout(BOUND).unwrap());
    assert!(conn.id() > 0 && time >= limit && time < limit * 20, "{time:?}");
    let me = thread::current().name().map(str::to_owned);
    // The keeper may have looked at the other one meanwhile, as a suspect.
    let ping = manager.events().into_iter().find(|event| event.call == Call::IsValid).expect("a ping");
    assert_eq!((ping.thread, ping.limit), (me, Some(limit)));
    assert_eq!(closed(&pool, CloseCause::Invalid), 1);
}

#[test]
fn a_caller_in_a_hurry_has_no_connection_given_up_that_is_amid_a_message() {
    let (builder, _hand, manager) = builder();
    let builder = builder.max_size(1).driver(Box::new(ScriptedDriver::looking())).test_on_check_out(true);
    let pool = builder.build(manager.clone()).unwrap();
    warmed(&pool);
    manager.script(Call::IsValid, [Step::ok().after(2 * A_MOMENT)]);
    let (served, time) = took(|| pool.get_timeout(A_MOMENT).map(drop));
    assert!(served.is_ok() && time < A_MOMENT + SLACK, "{served:?} after {time:?}");
    assert_eq!((pool.stats().suspicions, closed(&pool, CloseCause::Invalid), manager.opened()), (0, 0, 1));
    // One that does not go on is given up within the time in which every call returns.
    let gate = Gate::new();
    manager.script(Call::IsValid, [Step::ok().behind(&gate)]);
    let (_, time) = took(|| pool.get_timeout(A_MOMENT).map(drop));
    assert!(time < A_MOMENT + SLACK, "{time:?}");
    gate.open();
    eventually(BOUND, "it is replaced", || closed(&pool, CloseCause::Invalid) == 1 && at_rest(&pool, 1));
}

#[test]
fn one_dead_connection_has_the_others_validated_once_even_under_never() {
    let (builder, hand, manager) = builder();
    let pool = builder.max_size(8).pre_ping(PrePing::Never).build(manager.clone()).unwrap();
    let mut conns: Vec<_> = (0..8).map(|_| pool.get().unwrap()).collect();
    let found = conns.pop().unwrap();
    drop(conns);
    manager.kill_all();
    drop(found);
    for _ in 0..50 {
        assert!(pool.get().unwrap().work().is_ok(), "a restart costs no error at checkout");
    }
    // Those that no caller came upon are for the keeper.
    hand.advance(SECOND);
    eventually(BOUND, "the dead are closed", || manager.closed() == 8 && pool.gauges().idle == 8);
    assert_eq!(manager.calls(Call::IsValid), 7, "each suspect once, and nothing since");
    assert_eq!(pool.stats().suspicions, 1, "the others tell nothing new");
}

#[test]
fn the_keeper_validates_suspects_that_nobody_takes() {
    let (builder, hand, manager) = builder();
    let pool = builder.max_size(4).pre_ping(PrePing::Never).build(manager.clone()).unwrap();
    warmed(&pool);
    let mut conn = pool.get().unwrap();
    let sick = conn.id();
    manager.kill(sick);
    assert!(conn.work().is_err());
    drop(conn);
    hand.advance(SECOND);
    eventually(BOUND, "three are validated", || manager.calls(Call::IsValid) == 3);
    eventually(BOUND, "four are idle", || pool.gauges().idle == 4);
    for _ in 0..5 {
        hand.advance(SECOND);
        assert!(!comes_true(A_MOMENT, || manager.calls(Call::IsValid) > 3), "once is enough");
        warmed(&pool);
    }
}

#[test]
fn a_second_outage_is_news_again() {
    let (builder, _hand, manager) = builder();
    let pool = builder.max_size(2).pre_ping(PrePing::Never).build(manager.clone()).unwrap();
    for outages in 1..=3 {
        let pair = [pool.get().unwrap(), pool.get().unwrap()];
        manager.kill_all();
        drop(pair);
        assert_eq!(pool.stats().suspicions, outages);
        eventually(BOUND, "two new ones", || pool.gauges().idle == 2);
    }
}

#[test]
fn the_keeper_keeps_idle_connections_alive_and_out_of_step() {
    let (builder, hand, manager) = builder();
    let builder = builder.pre_ping(PrePing::Never).keepalive(Some(100 * SECOND)).max_size(20);
    let pool = builder.build(manager.clone()).unwrap();
    let settled = || eventually(BOUND, "all are idle", || pool.gauges().idle == 20);
    for round in 1..=3 {
        // All fall idle at once; none has been heard of for long when the tenth before the period begins.
        warmed(&pool);
        let before = manager.calls(Call::IsValid);
        hand.advance(89 * SECOND);
        settled();
        hand.advance(5 * SECOND);
        // The move is taken note of before the next effect can be waited for: a checkout by this thread is none.
        eventually(BOUND, "some are validated", || manager.calls(Call::IsValid) > before);
        settled();
        assert!(manager.calls(Call::IsValid) < before + 20, "all at once in round {round}");
        hand.advance(7 * SECOND);
        eventually(BOUND, "the rest is validated", || manager.calls(Call::IsValid) == before + 20);
        settled();
        assert_eq!(manager.closed(), 0);
    }
}

#[test]
fn a_connection_in_use_or_just_used_is_not_kept_alive() {
    let (builder, hand, manager) = builder();
    let builder = builder.pre_ping(PrePing::Never).keepalive(Some(100 * SECOND)).max_size(1);
    let pool = builder.build(manager.clone()).unwrap();
    for _ in 0..10 {
        let conn = pool.get().unwrap();
        hand.advance(60 * SECOND);
        drop(conn);
        hand.advance(60 * SECOND);
        assert!(!comes_true(A_MOMENT, || manager.calls(Call::IsValid) > 0));
    }
}

#[test]
fn a_validation_by_the_keeper_does_not_prolong_an_idle_connections_stay() {
    let (builder, hand, manager) = builder();
    let builder = builder.min_idle(Some(0)).keepalive(Some(10 * SECOND)).idle_timeout(Some(25 * SECOND));
    let pool = builder.max_size(1).build(manager.clone()).unwrap();
    drop(pool.get().unwrap());
    for pings in 1..=2 {
        hand.advance(10 * SECOND);
        eventually(BOUND, "it is validated", || manager.calls(Call::IsValid) == pings);
        eventually(BOUND, "it is back", || pool.gauges().idle == 1);
    }
    hand.advance(5 * SECOND);
    eventually(BOUND, "it is closed", || manager.closed() == 1);
    assert_eq!(closed(&pool, CloseCause::Idle), 1);
}

#[test]
fn a_misrouted_generation_is_replaced_once_under_its_cooldown() {
    let (builder, hand, manager) = builder();
    let pool = builder.max_size(4).min_idle(Some(0)).build(manager.clone()).unwrap();
    let mut old: Vec<_> = (0..4).map(|_| pool.get().unwrap()).collect();
    let last = old.pop().unwrap();
    manager.conditions([Condition::Misrouted, Condition::Misrouted, Condition::Clean]);
    drop(old);
    assert_eq!(closed(&pool, CloseCause::Evicted), 3, "also the clean one of that generation");
    let new = pool.get().unwrap().id();
    assert!(new > 4);
    // Long after the cooldown the last of the old generation comes back: no news.
    hand.advance(60 * SECOND);
    manager.conditions([Condition::Misrouted]);
    drop(last);
    assert_eq!(pool.get().unwrap().id(), new);
    // A new one misrouted is news.
    let lend_two = || {
        manager.conditions([Condition::Clean, Condition::Misrouted]);
        let (clean, misrouted) = (pool.get().unwrap(), pool.get().unwrap());
        drop(clean);
        drop(misrouted);
    };
    lend_two();
    eventually(BOUND, "replaced", || closed(&pool, CloseCause::Evicted) == 6);
    // Yet only once within the cooldown: until then it stays, however often it is returned like that.
    for _ in 0..3 {
        lend_two();
        eventually(BOUND, "both are idle", || pool.gauges().idle == 2);
    }
    assert_eq!((closed(&pool, CloseCause::Evicted), manager.opened()), (6, 8));
    hand.advance(5 * SECOND);
    lend_two();
    eventually(BOUND, "replaced", || closed(&pool, CloseCause::Evicted) == 8);
}

#[test]
fn a_connection_found_misrouted_after_its_reset_condemns_its_generation_too() {
    let (builder, _hand, manager) = builder();
    let pool = builder.max_size(2).min_idle(Some(0)).build(manager.clone()).unwrap();
    let pair = (pool.get().unwrap(), pool.get().unwrap());
    drop(pair.0);
    manager.conditions([Condition::Dirty, Condition::Misrouted]);
    drop(pair.1);
    eventually(BOUND, "both are replaced", || closed(&pool, CloseCause::Evicted) == 2);
    assert_eq!(pool.stats().returned_dirty, 1);
}

#[test]
fn a_dirty_connection_is_reset_elsewhere_before_it_is_lent_on() {
    let (builder, _hand, manager) = builder();
    let pool = builder.max_size(1).build(manager.clone()).unwrap();
    let gate = Gate::new();
    manager.conditions([Condition::Dirty]);
    manager.script(Call::Reset, [Step::ok().behind(&gate)]);
    let (_, time) = took(|| drop(pool.get().unwrap()));
    assert!(time < SECOND, "the borrower did not wait: {time:?}");
    assert!(pool.try_get().is_none(), "it is not lent while it is dirty");
    gate.open();
    assert_eq!(pool.get_timeout(BOUND).unwrap().id(), 1);
    let resets: Vec<_> = manager.events().into_iter().filter(|event| event.call == Call::Reset).collect();
    assert_eq!((resets.len(), resets[0].flag), (1, Some(false)));
    assert_ne!(resets[0].thread.as_deref(), thread::current().name());
    assert_eq!(pool.stats().returned_dirty, 1);
}

#[test]
fn a_connection_whose_reset_fails_is_closed_as_broken() {
    let (builder, _hand, manager) = builder();
    let pool = builder.max_size(1).build(manager.clone()).unwrap();
    for (step, broken) in [(Step::err(ScriptedError::transient("no")), 1), (Step::panic(), 2)] {
        manager.conditions([Condition::Dirty]);
        manager.script(Call::Reset, [step]);
        drop(pool.get().unwrap());
        eventually(BOUND, "it is closed", || closed(&pool, CloseCause::Broken) == broken);
        assert_eq!(pool.get_timeout(BOUND).unwrap().id(), broken + 1);
    }
}

#[test]
fn a_guard_dropped_by_a_panic_is_reset_as_suspect_and_never_lent_on_dirty() {
    let (builder, _hand, manager) = builder();
    let pool = builder.max_size(1).build(manager.clone()).unwrap();
    for condition in [Condition::Clean, Condition::Dirty] {
        manager.conditions([condition]);
        let before = manager.calls(Call::Reset);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _conn = pool.get_timeout(BOUND).unwrap();
            panic!("in the middle of a transaction");
        }));
        assert!(panicked.is_err());
        assert_eq!(pool.get_timeout(BOUND).unwrap().id(), 1);
        let resets: Vec<_> = manager.events().into_iter().filter(|event| event.call == Call::Reset).collect();
        assert_eq!((resets.len(), resets[before].flag), (before + 1, Some(true)), "{condition:?}");
    }
}
