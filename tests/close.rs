//! The life of a pool: filling, suspending, draining, and closing with a report.

mod support;

use std::error::Error as _;
use std::thread;
use std::time::Duration;

use support::logged;
use support::scripted::{Call, Gate, ScriptedDriver, ScriptedError, ScriptedManager, Step, built, waiters};
use support::wait::{AT_ONCE, BOUND, LONG_BOUND, MS, SLACK, eventually, thread_names, took};
use tierpool::config::WaitMode;
use tierpool::stats::CloseCause;
use tierpool::{Builder, ErrorKind, Pool, TieredPool};

fn builder(size: u32) -> Builder<ScriptedManager> {
    Pool::builder().max_size(size).driver(Box::new(ScriptedDriver::new())).deadlock_detection(false)
}

#[test]
fn build_waits_until_the_pool_is_filled() {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::ok().after(20 * MS));
    let pool = builder(6).build(manager.clone()).unwrap();
    assert_eq!((manager.opened(), pool.gauges().idle), (6, 6));
}

#[test]
fn a_pool_that_is_ready_has_its_connections_at_hand() {
    // Many, for the moment between being open and being at hand is short.
    for _ in 0..1500 {
        let (_, pool) = built(builder(4));
        assert_eq!(pool.gauges().idle, 4, "{:?}", pool.gauges());
    }
}

#[test]
fn a_pool_that_nobody_waits_for_says_once_that_it_is_ready() {
    logged::capture(log::LevelFilter::Info);
    let told = |name: &str| logged::lines(name, log::Level::Info, "ready: ");
    let filled = builder(3).name("unwaited").build_unchecked(ScriptedManager::new());
    eventually(BOUND, "it is told", || !told("unwaited").is_empty());
    filled.drain();
    filled.wait_ready(BOUND).unwrap();
    assert_eq!(told("unwaited").len(), 1);
    assert!(told("unwaited")[0].starts_with("ready: 3 of 3 connections open"), "{:?}", told("unwaited"));

    let empty = builder(3).min_idle(Some(0)).name("unfilled").build_unchecked(ScriptedManager::new());
    drop(empty.get().unwrap());
    eventually(BOUND, "it is told", || !told("unfilled").is_empty());
    assert!(told("unfilled")[0].starts_with("ready: 1 of 3 connections open"), "{:?}", told("unfilled"));
}

#[test]
fn build_reports_a_permanent_cause_at_once() {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::permanent()));
    let (error, time) = took(|| builder(2).build(manager).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::ConnectFailed);
    assert!(time < Duration::from_secs(5), "{time:?}");
    assert_eq!(error.open_failure().and_then(|failure| failure.code()), Some("28P01"));
    assert!(error.source().unwrap().to_string().contains("wrong password"), "{error:#}");
}

#[test]
fn build_gives_up_at_the_connection_timeout_with_the_cause() {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::transient("refused")));
    let limit = 300 * MS;
    let build = || builder(1).connection_timeout(limit).failure_threshold(0).build(manager).unwrap_err();
    let (error, time) = took(build);
    assert!(error.is_timeout() && error.source().unwrap().to_string().contains("refused"), "{error:#}");
    assert!(time >= limit && time < limit + SLACK, "{time:?}");
    let begin = "pool `pool` has not opened what it keeps within its connection_timeout of 300 ms";
    assert!(error.to_string().starts_with(begin), "{error}");
}

#[test]
fn whoever_waits_for_a_pool_to_be_filled_is_told_whose_limit_ran_out_and_of_a_cause_that_may_pass() {
    for cause in [ScriptedError::transient("refused"), ScriptedError::exhausted()] {
        let manager = ScriptedManager::new();
        manager.always(Call::Connect, Step::err(cause.clone()));
        let told = |error: tierpool::Error| {
            assert!(error.is_timeout() && error.source().is_some(), "{error:#}");
            let told = error.to_string();
            assert!(told.contains("within its caller's limit of 100 ms"), "{told}");
        };
        let waiting = || builder(2).connection_timeout(LONG_BOUND).failure_threshold(0);
        told(waiting().build_within(manager.clone(), 100 * MS).unwrap_err());
        told(waiting().build_unchecked(manager.clone()).wait_ready(100 * MS).unwrap_err());
        let tiers = || {
            let driver = || Box::new(ScriptedDriver::new());
            let tiers = TieredPool::builder().automation(|tier| tier.driver(driver()).min_size(1));
            tiers.adhoc(|tier| tier.driver(driver()))
        };
        told(tiers().build_within(|_| manager.clone(), 100 * MS).unwrap_err());
        let short = tiers().automation(|tier| tier.connection_timeout(100 * MS));
        let error = short.build(|_| manager.clone()).unwrap_err().to_string();
        assert!(
            error.contains("`automation` has not opened what it keeps within its connection_timeout"),
            "{error}"
        );
    }
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::permanent()));
    let error = builder(2).build_unchecked(manager).wait_ready(100 * MS).unwrap_err();
    assert!(error.is_connect_failed() && error.waited() >= 100 * MS, "{error:#}");
}

#[test]
fn build_does_not_wait_for_a_hung_connect_beyond_its_timeout() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    let limit = 200 * MS;
    let (error, time) = took(|| builder(1).connection_timeout(limit).build(manager.clone()).unwrap_err());
    assert!(error.is_timeout() && time < limit + AT_ONCE, "{error} after {time:?}");
    gate.open();
    eventually(BOUND, "what it opened in the end is closed", || manager.closed() == 1);
}

#[test]
fn build_unchecked_waits_for_nothing_and_wait_ready_does() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    let (pool, time) = took(|| builder(2).build_unchecked(manager));
    assert!(time < AT_ONCE, "{time:?}");
    let (error, time) = took(|| pool.wait_ready(50 * MS).unwrap_err());
    assert!(error.is_timeout() && time >= 50 * MS && time < 50 * MS + AT_ONCE, "{error} after {time:?}");
    gate.open();
    pool.wait_ready(BOUND).unwrap();
    assert_eq!(pool.gauges().idle, 2);
}

#[test]
fn invalid_settings_are_an_error_or_a_panic_as_the_method_says() {
    assert!(builder(0).try_build_unchecked(ScriptedManager::new()).unwrap_err().is_invalid_config());
    let panic = thread::spawn(|| drop(builder(0).build_unchecked(ScriptedManager::new()))).join();
    assert!(panic.unwrap_err().downcast_ref::<String>().unwrap().contains("base_size is 0"));
}

#[test]
fn a_suspended_pool_lets_callers_wait_within_their_deadline() {
    let (manager, pool) = built(builder(4));
    let held = pool.get().unwrap();
    pool.evict_idle();
    eventually(BOUND, "filled again", || pool.gauges().idle == 3);
    let opened = manager.opened();
    assert!(pool.suspend() && !pool.suspend() && pool.is_suspended());
    drop(held);
    assert!(pool.try_get().is_none());
    let (error, time) = took(|| pool.get_timeout(50 * MS).unwrap_err());
    assert!(error.is_timeout() && time >= 50 * MS && time < 50 * MS + AT_ONCE, "{error} after {time:?}");
    let waiters = waiters(&pool, 2);
    assert!(pool.resume() && !pool.resume() && !pool.is_suspended());
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap().unwrap());
    assert_eq!(manager.opened(), opened, "the idle ones served them");
}

#[test]
fn suspending_a_pool_with_idle_connections_opens_no_others_for_those_who_wait() {
    let (manager, pool) = built(builder(8).min_idle(Some(0)));
    let held: Vec<_> = (0..3).map(|_| pool.get_timeout(BOUND).unwrap()).collect();
    drop(held);
    pool.suspend();
    let waiters = waiters(&pool, 3);
    pool.resume();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap().unwrap());
    assert_eq!(manager.opened(), 3);
}

#[test]
fn drain_replaces_idle_ones_now_and_busy_ones_at_checkin() {
    let (manager, pool) = built(builder(3));
    let held = pool.get().unwrap();
    let old = held.id();
    pool.drain();
    eventually(BOUND, "the idle ones are replaced", || pool.gauges().idle == 2);
    assert_eq!(manager.opened(), 5);
    drop(held);
    eventually(BOUND, "and the busy one", || pool.gauges().idle == 3);
    eventually(BOUND, "the old ones are closed", || manager.live() == 3);
    assert!(!pool.is_closed() && pool.get().unwrap().id() > old);
    assert_eq!(pool.stats().closed.count(CloseCause::Evicted), 3);
}

#[test]
fn a_connection_being_opened_during_a_drain_is_replaced_too() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.script(Call::Connect, [Step::ok().behind(&gate)]);
    let pool = builder(1).build_unchecked(manager.clone());
    eventually(BOUND, "it is being opened", || gate.waiting() == 1);
    pool.drain();
    gate.open();
    let conn = pool.get_timeout(BOUND).unwrap();
    assert_eq!(conn.id(), 2, "the first one led where the drain was to lead away from");
}

#[test]
fn evict_idle_leaves_busy_ones_alone() {
    let (manager, pool) = built(builder(3).min_idle(Some(0)));
    let mut held: Vec<_> = (0..3).map(|_| pool.get_timeout(BOUND).unwrap()).collect();
    let kept = held.pop().unwrap();
    drop(held);
    pool.evict_idle();
    let id = kept.id();
    drop(kept);
    assert_eq!((pool.gauges().idle, pool.get().unwrap().id()), (1, id));
    eventually(BOUND, "the idle ones are closed", || manager.live() == 1);
}

#[test]
fn close_wakes_waiters_and_tells_who_is_out() {
    let (manager, pool) = built(builder(1));
    let mut held = pool.get().unwrap();
    held.tag("report");
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let pool = pool.clone();
            thread::spawn(move || took(|| pool.get_timeout(BOUND).map(drop)))
        })
        .collect();
    eventually(BOUND, "all wait", || pool.gauges().waiting == 3);
    let (report, time) = took(|| pool.close(200 * MS));
    assert!(time >= 200 * MS && time < 200 * MS + AT_ONCE, "{time:?}");
    assert!(!report.is_complete() && report.gauges.in_use == 1, "{report:?}");
    let tags: Vec<_> = report.holders.iter().map(|holder| holder.tag.as_deref()).collect();
    assert_eq!(tags, [Some("report")]);
    for waiter in waiters {
        let (outcome, time) = waiter.join().unwrap();
        assert!(outcome.unwrap_err().is_closed() && time < BOUND, "{time:?}");
    }
    assert!(pool.is_closed() && pool.get().unwrap_err().is_closed() && pool.try_get().is_none());
    drop(held);
    eventually(BOUND, "guards returned later are closed", || manager.live() == 0);
    let stats = pool.stats();
    assert_eq!((stats.closed.count(CloseCause::Closed), stats.gauges.size()), (1, 0));
}

#[test]
fn close_returns_as_soon_as_everything_is_back() {
    let (manager, pool) = built(builder(4));
    let held = pool.get().unwrap();
    let gate = Gate::new();
    let on_gate = gate.clone();
    let worker = thread::spawn(move || {
        assert!(on_gate.pass(Some(BOUND)));
        drop(held);
    });
    let (watched, opener) = (pool.clone(), gate);
    let opener = thread::spawn(move || {
        eventually(BOUND, "it is closing", || watched.is_closed());
        opener.open();
    });
    let (report, time) = took(|| pool.close(BOUND));
    assert!(report.is_complete() && time < Duration::from_secs(5), "{report:?} after {time:?}");
    assert_eq!(manager.live(), 0);
    worker.join().unwrap();
    opener.join().unwrap();
    let (again, time) = took(|| pool.close(BOUND));
    assert!(again.is_complete() && time < AT_ONCE, "closing twice: {again:?} after {time:?}");
    assert!(pool.wait_ready(BOUND).unwrap_err().is_closed());
}

#[test]
fn close_does_not_wait_for_a_hung_connect_and_says_so() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    let pool = builder(2).build_unchecked(manager.clone());
    eventually(BOUND, "both hang", || gate.waiting() == 2);
    let (report, time) = took(|| pool.close(100 * MS));
    assert!(time < 100 * MS + AT_ONCE, "{time:?}");
    assert!(
        !report.is_complete()
            && report.gauges.opening + report.gauges.zombies == 2
            && report.holders.is_empty(),
        "{report:?}"
    );
    gate.open();
    assert!(pool.close(BOUND).is_complete());
    assert_eq!((manager.live(), manager.opened()), (0, 2));
}

#[test]
fn close_does_not_wait_for_a_hung_close_and_says_so() {
    let (manager, pool) = built(builder(2));
    let gate = Gate::new();
    manager.always(Call::Close, Step::ok().behind(&gate));
    let (report, time) = took(|| pool.close(300 * MS));
    assert!(time < 300 * MS + AT_ONCE, "{time:?}");
    assert!(!report.is_complete() && report.gauges.zombies == 2 && report.gauges.size() == 0, "{report:?}");
    gate.open();
    assert!(pool.close(BOUND).is_complete());
}

#[test]
fn close_frees_a_caller_whose_connection_is_being_validated() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    let builder = builder(1).name("cls").test_on_check_out(true).wait_mode(WaitMode::Forever);
    let pool = builder.validation_timeout(1500 * MS).build(manager.clone()).unwrap();
    drop(pool.get().unwrap());
    manager.always(Call::IsValid, Step::ok().behind(&gate));
    let far = pool.clone();
    let caller = thread::spawn(move || far.get().map(drop));
    eventually(BOUND, "it is being validated", || gate.waiting() == 1);
    let report = pool.close(50 * MS);
    assert!(!report.is_complete() && report.gauges.in_use == 1, "{report:?}");
    let (outcome, time) = took(|| caller.join().unwrap());
    assert!(
        outcome.unwrap_err().is_closed() && time < 1000 * MS,
        "told at once and not at the timeout: {time:?}"
    );
    let report = pool.close(3000 * MS);
    assert_eq!((report.gauges.size(), report.gauges.zombies), (0, 1), "given up in time: {report:?}");
    eventually(BOUND, "the keeper ends", || !thread_names().contains(&"cls-keeper".to_owned()));
    gate.open();
    assert!(pool.close(BOUND).is_complete());
}

#[test]
fn dropping_the_last_handle_closes_the_pool_around_its_guards() {
    let (manager, pool) = built(builder(3).name("lst"));
    let held = pool.get().unwrap();
    let clone = pool.clone();
    drop(pool);
    assert_eq!(clone.gauges().idle, 2, "a handle is left");
    drop(clone);
    eventually(BOUND, "the idle ones are closed", || manager.live() == 1);
    drop(held);
    eventually(BOUND, "and the last one", || manager.live() == 0);
    let left = || thread_names().into_iter().filter(|name| name.starts_with("lst-")).count();
    eventually(BOUND, "no thread is left", || left() == 0);
}

#[test]
fn dropping_the_last_handle_does_not_wait_for_anything_hung() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    let pool = builder(2).build(manager.clone()).unwrap();
    manager.always(Call::Close, Step::ok().behind(&gate));
    let (_, time) = took(|| drop(pool));
    // Less than the grace that they have.
    assert!(time < SLACK, "{time:?}");
    gate.open();
    eventually(BOUND, "they are closed", || manager.live() == 0);
}

#[test]
fn no_limit_is_said_to_have_passed_where_a_pool_goes_while_it_opens_a_connection() {
    logged::capture(log::LevelFilter::Debug);
    type End = fn(Pool<ScriptedManager>);
    let ended: [(&str, End); 2] = [("clse", |pool| drop(pool.close(Duration::ZERO))), ("drpe", drop)];
    for (name, end) in ended {
        let manager = ScriptedManager::new();
        let gate = Gate::new();
        manager.always(Call::Connect, Step::ok().behind(&gate));
        let pool = builder(1).name(name).build_unchecked(manager.clone());
        eventually(BOUND, "it is opening", || gate.waiting() == 1);
        end(pool);
        eventually(BOUND, "the keeper ends", || !thread_names().contains(&format!("{name}-keeper")));
        gate.open();
        let told = logged::of(name);
        assert!(!told.iter().any(|(_, text)| text.contains("had no answer within")), "{told:?}");
    }
}
