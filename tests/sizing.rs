//! Sizing: how many connections there are, when they are opened and when they go.

mod support;

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use support::scripted::{Call, Gate, ScriptedManager, Step, built, closed, still, waiters};
use support::wait::{BOUND, SECOND, comes_true, eventually, thread_names};
use tierpool::stats::CloseCause;
use tierpool::{Builder, ClockHand, MemoryManager, Pool};

/// A pool on a clock moved by hand, with nothing kept and no ages unless the test says so.
fn rig(
    change: impl FnOnce(Builder<ScriptedManager>) -> Builder<ScriptedManager>,
) -> (ScriptedManager, Pool<ScriptedManager>, ClockHand) {
    let (builder, hand, manager) = still(change);
    let pool = builder.build(manager.clone()).unwrap();
    (manager, pool, hand)
}

fn take(pool: &Pool<ScriptedManager>, n: usize) -> Vec<tierpool::PooledConnection<ScriptedManager>> {
    (0..n).map(|_| pool.get_timeout(BOUND).unwrap()).collect()
}

fn all_served(threads: Vec<thread::JoinHandle<Result<(), tierpool::Error>>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
}

#[test]
fn the_ceiling_counts_connections_being_opened() {
    let (manager, pool, _hand) = rig(|builder| builder.max_size(3).open_concurrency(8));
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    let threads = waiters(&pool, 20);
    eventually(BOUND, "three are being opened", || manager.running(Call::Connect) == 3);
    assert_eq!((pool.gauges().opening, pool.gauges().size()), (3, 3));
    gate.open();
    all_served(threads);
    // Two that come first may have served all before the third is open.
    eventually(BOUND, "all three are open", || manager.opened() == 3);
    assert_eq!((manager.most_running(Call::Connect), manager.most_live(), manager.opened()), (3, 3, 3));
}

#[test]
fn no_more_are_opened_at_a_time_than_open_concurrency_says() {
    let (manager, pool, _hand) = rig(|builder| builder.max_size(10).open_concurrency(2));
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    let threads = waiters(&pool, 10);
    eventually(BOUND, "two are being opened", || manager.running(Call::Connect) == 2);
    gate.open();
    all_served(threads);
    assert_eq!(manager.most_running(Call::Connect), 2);
}

#[test]
fn the_pool_grows_only_for_those_who_wait() {
    let (manager, pool, _hand) = rig(|builder| builder.max_size(10));
    for _ in 0..20 {
        drop(pool.get_timeout(BOUND).unwrap());
    }
    assert_eq!(manager.opened(), 1, "one caller at a time needs one");
    let held = take(&pool, 4);
    assert_eq!((manager.opened(), pool.gauges().in_use), (4, 4));
    drop(held);
}

#[test]
fn demand_that_has_gone_is_not_opened_for() {
    let (manager, pool, _hand) = rig(|builder| builder.max_size(10).open_concurrency(1));
    let gate = Gate::new();
    manager.script(Call::Connect, [Step::ok().behind(&gate)]);
    let threads = waiters(&pool, 1);
    eventually(BOUND, "the first is being opened", || manager.running(Call::Connect) == 1);
    let far = pool.clone();
    let quitter = thread::spawn(move || far.get_timeout(Duration::from_millis(100)).is_err());
    assert!(quitter.join().unwrap());
    gate.open();
    all_served(threads);
    eventually(BOUND, "nothing is being opened", || pool.gauges().opening == 0);
    assert_eq!(manager.calls(Call::Connect), 1, "the second caller had left");
}

#[test]
fn the_keeper_keeps_the_minimum_open_and_idle() {
    let (manager, pool, hand) = rig(|builder| builder.max_size(10).min_size(3).min_idle(Some(2)));
    pool.wait_ready(BOUND).unwrap();
    assert_eq!(manager.opened(), 3);
    let held = take(&pool, 3);
    hand.advance(SECOND);
    let two_more = comes_true(BOUND, || pool.gauges().idle == 2);
    assert!(two_more, "{:?}, {} opened", pool.gauges(), manager.opened());
    assert_eq!(manager.opened(), 5);
    held.into_iter().for_each(|conn| conn.close());
    eventually(BOUND, "three are open again", || pool.gauges().size() == 3 && pool.gauges().opening == 0);
    pool.evict_idle();
    eventually(BOUND, "and again", || pool.gauges().idle == 3);
}

#[test]
fn an_unset_min_idle_keeps_the_base_open_and_opens_no_overflow() {
    let (manager, pool) = built(Pool::builder().base_size(4).max_overflow(4));
    assert_eq!(manager.opened(), 4);
    let held = take(&pool, 3);
    held.into_iter().next().unwrap().close();
    eventually(BOUND, "the base is open again", || pool.gauges().idle == 4);
    assert_eq!((manager.opened(), pool.stats().overflow), (5, 0));
}

#[test]
fn overflow_opens_under_load_and_closes_after_its_linger() {
    let (manager, pool, hand) =
        rig(|builder| builder.base_size(2).max_overflow(3).overflow_linger(10 * SECOND));
    let held = take(&pool, 5);
    assert_eq!((manager.opened(), pool.stats().overflow), (5, 3));
    assert!(pool.get_timeout(Duration::from_millis(20)).is_err(), "the ceiling");
    drop(held);
    assert_eq!(pool.gauges().idle, 5);
    hand.advance(9 * SECOND);
    let busy = take(&pool, 1);
    drop(busy);
    hand.advance(2 * SECOND);
    eventually(BOUND, "the overflow is gone", || pool.gauges().size() == 2);
    hand.advance(1000 * SECOND);
    assert_eq!((pool.gauges().idle, closed(&pool, CloseCause::Overflow)), (2, 3));
    assert_eq!(pool.stats().overflow, 0);
}

#[test]
fn overflow_without_linger_closes_at_checkin_when_nobody_waits() {
    let (manager, pool, _hand) =
        rig(|builder| builder.base_size(1).max_overflow(1).overflow_linger(Duration::ZERO));
    let mut held = take(&pool, 2);
    let threads = waiters(&pool, 1);
    drop(held.pop());
    all_served(threads);
    // The waiter's own checkin found nobody waiting.
    eventually(BOUND, "the overflow is closed", || closed(&pool, CloseCause::Overflow) == 1);
    assert_eq!((pool.gauges().size(), manager.opened()), (1, 2));
    drop(held);
    assert_eq!((pool.gauges().idle, closed(&pool, CloseCause::Overflow)), (1, 1), "the base stays");
}

#[test]
fn an_asked_for_minimum_stays_in_the_overflow() {
    let (manager, pool, hand) = rig(|builder| {
        let builder = builder.base_size(1).max_overflow(3).min_idle(Some(3)).overflow_linger(SECOND);
        builder.leak_threshold(Some(5 * SECOND))
    });
    let held = take(&pool, 1);
    hand.advance(SECOND);
    eventually(BOUND, "three are idle", || pool.gauges().idle == 3);
    hand.advance(5 * SECOND);
    // The keeper looks at long holds after it has tidied up.
    eventually(BOUND, "the keeper has been round", || pool.stats().long_holds == 1);
    assert_eq!((manager.opened(), closed(&pool, CloseCause::Overflow)), (4, 0));
    drop(held);
}

#[test]
fn idle_connections_above_the_minimum_close_after_the_idle_timeout() {
    let (_, pool, hand) = rig(|builder| builder.max_size(6).min_size(2).idle_timeout(Some(60 * SECOND)));
    drop(take(&pool, 6));
    hand.advance(59 * SECOND);
    drop(take(&pool, 1));
    assert_eq!(pool.gauges().idle, 6);
    hand.advance(2 * SECOND);
    eventually(BOUND, "the idle ones are gone", || pool.gauges().size() == 2);
    hand.advance(1000 * SECOND);
    hand.advance(1000 * SECOND);
    // One that the keeper has in hand for a look counts as in use.
    eventually(BOUND, "both are idle", || pool.gauges().idle == 2);
    assert_eq!(closed(&pool, CloseCause::Idle), 4);
}

#[test]
fn contradictory_sizes_are_all_named_in_one_error() {
    let builder = Pool::<ScriptedManager>::builder().max_size(5).base_size(4).max_overflow(2);
    let error = builder.min_size(9).open_concurrency(0).build(ScriptedManager::new()).unwrap_err();
    assert!(error.is_invalid_config());
    let settings: Vec<_> = error.faults().iter().map(|fault| fault.setting.as_str()).collect();
    assert_eq!(settings, ["max_size", "min_size", "open_concurrency"]);
    let text = error.to_string();
    for part in
        ["max_size is 5: must equal base_size + max_overflow, which is 4 + 2", "min_size is 9", "at least 1"]
    {
        assert!(text.contains(part), "no {part:?} in {text:?}");
    }
    for (max, base) in [(0, None), (3, Some(4))] {
        let mut builder = Pool::<ScriptedManager>::builder().max_size(max);
        if let Some(base) = base {
            builder = builder.base_size(base);
        }
        assert!(builder.build(ScriptedManager::new()).unwrap_err().is_invalid_config(), "{max} {base:?}");
    }
}

#[test]
fn the_sizes_can_be_said_in_either_way() {
    let sizes = |builder: Builder<ScriptedManager>| {
        let settings = builder.build_unchecked(ScriptedManager::new()).settings();
        (settings.base_size, settings.max_overflow)
    };
    assert_eq!(sizes(Pool::builder().max_size(7)), (7, 0));
    assert_eq!(sizes(Pool::builder().max_size(7).base_size(5)), (5, 2));
    assert_eq!(sizes(Pool::builder().max_size(7).max_overflow(3)), (4, 3));
    assert_eq!(sizes(Pool::builder().base_size(5).max_overflow(3)), (5, 3));
    assert_eq!(sizes(Pool::builder()), (10, 0));
}

#[test]
fn growing_serves_those_who_wait_at_once() {
    let (_, pool, _hand) = rig(|builder| builder.max_size(1));
    let held = take(&pool, 1);
    let threads = waiters(&pool, 2);
    pool.reconfigure(|settings| settings.base_size = 3).unwrap();
    all_served(threads);
    assert_eq!(pool.max_size(), 3);
    drop(held);
}

#[test]
fn shrinking_closes_idle_ones_now_and_busy_ones_at_checkin() {
    let (manager, pool, _hand) = rig(|builder| builder.max_size(6));
    let mut held = take(&pool, 6);
    held.truncate(4);
    assert_eq!(pool.gauges().idle, 2);
    pool.reconfigure(|settings| settings.base_size = 2).unwrap();
    eventually(BOUND, "the idle ones are closed", || pool.gauges().size() == 4);
    assert!(pool.get_timeout(Duration::from_millis(20)).is_err(), "four are out, two may be");
    let threads = waiters(&pool, 1);
    held.truncate(2);
    assert_eq!(pool.gauges().size(), 2, "closed at checkin, even with a waiter");
    held.truncate(1);
    all_served(threads);
    drop(held);
    eventually(BOUND, "two are left", || manager.live() == 2);
    assert_eq!((pool.gauges().idle, manager.opened()), (2, 6));
}

#[test]
fn a_reconfiguration_with_faults_changes_nothing() {
    let (_, pool, _hand) = rig(|builder| builder.max_size(6).name("kept"));
    let before = pool.settings();
    let change = |settings: &mut tierpool::config::Settings| {
        settings.name = "other".into();
        settings.base_size = 0;
        settings.max_uses = Some(0);
    };
    let error = pool.reconfigure(change).unwrap_err();
    assert_eq!(error.faults().iter().count(), 2, "{error}");
    assert_eq!(pool.settings(), before);
}

#[test]
fn settings_changed_by_two_threads_are_both_changed() {
    let pool = Pool::builder().max_size(4).build(MemoryManager).unwrap();
    for round in 1..=200 {
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                pool.reconfigure(|settings| settings.max_waiting = Some(round)).unwrap();
            });
            barrier.wait();
            pool.reconfigure(|settings| settings.max_uses = Some(u64::from(round))).unwrap();
        });
        let settings = pool.settings();
        assert_eq!((settings.max_waiting, settings.max_uses), (Some(round), Some(u64::from(round))));
    }
}

#[test]
fn threads_are_few_and_gone_after_the_last_handle() {
    let manager = ScriptedManager::new();
    let count = |kind: &str| thread_names().iter().filter(|name| **name == format!("thr-{kind}")).count();
    // Until it has taken its own name a thread bears that of the one which started it.
    #[track_caller]
    fn holds(what: impl FnMut() -> bool) {
        assert!(comes_true(BOUND, what), "{:?}", thread_names());
    }
    let builder = Pool::builder().name("thr").max_size(20).min_idle(Some(0)).open_concurrency(3);
    let pool = builder.build(manager.clone()).unwrap();
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    manager.always(Call::Close, Step::ok().behind(&gate));
    let threads = waiters(&pool, 20);
    eventually(BOUND, "the openers are at work", || manager.running(Call::Connect) == 3);
    holds(|| (count("keeper"), count("open"), count("close")) == (1, 3, 0));
    manager.always(Call::Connect, Step::ok());
    gate.open();
    all_served(threads);
    // Two may have served all while the third is still on its way through the gate.
    eventually(BOUND, "all have passed the gate", || manager.running(Call::Connect) == 0);
    gate.shut();
    let held = take(&pool, 10);
    held.into_iter().for_each(|conn| conn.close());
    eventually(BOUND, "closers are at work", || manager.running(Call::Close) > 0);
    holds(|| count("keeper") == 1 && count("open") <= 3 && count("close") <= 3);
    gate.open();
    eventually(BOUND, "openers and closers end when idle", || count("open") + count("close") == 0);
    assert_eq!(count("keeper"), 1);
    let clone = pool.clone();
    drop(pool);
    assert!(clone.get_timeout(BOUND).is_ok());
    drop(clone);
    let all = || count("keeper") + count("open") + count("close");
    eventually(BOUND, "no thread is left", || all() == 0);
    eventually(BOUND, "no connection is left", || manager.live() == 0);
}
