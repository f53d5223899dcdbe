//! Checkout: who gets a connection, how long a caller waits, and what an error says.

mod support;

use std::error::Error as _;
use std::thread;

use support::scripted::{
    Call, Gate, ScriptedDriver, ScriptedError, ScriptedManager, Step, built, pool_of, waiters,
};
use support::wait::{AT_ONCE, BOUND, MS, SECOND, SLACK, eventually, took};
use tierpool::config::WaitMode;
use tierpool::{Condition, ErrorKind, OpenFailure, Pool, PrePing};

#[test]
fn a_connection_goes_round_without_queueing() {
    let (manager, pool) = pool_of(2);
    assert_eq!(manager.live(), 2);
    for _ in 0..100 {
        drop(pool.get().unwrap());
    }
    let stats = pool.stats();
    assert_eq!((stats.checkouts.direct, stats.checkouts.waited, stats.wait.count()), (100, 0, 100));
    assert_eq!((stats.gauges.idle, stats.gauges.in_use, manager.opened()), (2, 0, 2));
}

#[test]
fn a_thread_gets_back_the_connection_it_used_last() {
    let (_, pool) = pool_of(4);
    let others = [pool.get().unwrap(), pool.get().unwrap()];
    let mine = pool.get().unwrap().id();
    for _ in 0..10 {
        assert_eq!(pool.get().unwrap().id(), mine);
    }
    drop(others);
    assert_eq!(pool.get().unwrap().id(), mine);
}

#[test]
fn a_timeout_names_wait_place_gauges_and_holders() {
    let (_, pool) = built(Pool::builder().name("autumn").max_size(2).deadlock_detection(false));
    let mut held = pool.get().unwrap();
    let line = line!() - 1;
    held.tag("job 42");
    let (far, done) = (pool.clone(), Gate::new());
    let on_done = done.clone();
    let importer = thread::Builder::new().name("importer".into());
    let importer = importer.spawn(move || {
        let _conn = far.get().unwrap();
        on_done.pass(None)
    });
    eventually(BOUND, "both are out", || pool.gauges().in_use == 2);
    let error = pool.get_timeout(50 * MS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.is_timeout() && error.source().is_none() && error.open_failure().is_none());
    assert!(error.waited() >= 50 * MS && error.waited() < 50 * MS + SLACK, "{:?}", error.waited());
    assert_eq!((error.gauges().in_use, error.gauges().idle, error.gauges().waiting), (2, 0, 0));
    let holders = error.holders();
    assert_eq!(holders.len(), 2);
    let mine = holders.iter().find(|holder| holder.tag.as_deref() == Some("job 42")).expect("the tagged one");
    assert_eq!((mine.location.line(), mine.location.file()), (line, file!()));
    assert_eq!(mine.thread, "a_timeout_names_wait_place_gauges_and_holders");

    let text = error.to_string();
    let wanted = [
        "no connection of pool `autumn` within ",
        "2 of 2 connections: 0 idle, 2 in use, 0 opening; 0 waiting",
        "place 1 in the queue",
        "importer at ",
        "[job 42]",
        &format!("{}:{line}", file!()),
        "this thread already holds 1 connection of this pool",
    ];
    for part in wanted {
        assert!(text.contains(part), "no {part:?} in {text:?}");
    }
    assert!(!text.contains('\n'), "one line for a log: {text:?}");
    let full = format!("{error:#}");
    assert!(full.lines().count() > 4, "{full}");
    for part in ["[job 42]", "importer at ", "already holds 1 connection of", "place 1 in the queue"] {
        assert!(full.contains(part), "no {part:?} in {full:?}");
    }
    done.open();
    assert!(importer.unwrap().join().unwrap());
}

#[test]
fn every_waiter_gets_the_cause_with_its_code() {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::exhausted()));
    let builder = Pool::builder().max_size(2).driver(Box::new(ScriptedDriver::new()));
    let pool = builder.build_unchecked(manager.clone());
    eventually(BOUND, "an attempt fails", || pool.stats().open_failures.exhausted > 0);
    let waiters: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            thread::spawn(move || pool.get_timeout(100 * MS).unwrap_err())
        })
        .collect();
    for waiter in waiters {
        let error = waiter.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout, "a full server is waited for: {error}");
        let cause = error.source().expect("a source").downcast_ref::<OpenFailure>().expect("an open failure");
        assert_eq!(cause.code(), Some("53300"));
        assert!(cause.to_string().contains("too many connections"), "{cause}");
        let text = error.to_string();
        assert!(text.contains("53300") && text.contains("failed attempt"), "{text}");
        assert!(text.contains("too many connections"), "a log line names the cause by itself: {text}");
        assert!(format!("{error:#}").contains("too many connections"), "{error:#}");
    }
}

#[test]
fn a_permanent_cause_reaches_every_waiter_at_once() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.always(Call::Connect, Step::err(ScriptedError::permanent()).behind(&gate));
    let builder = Pool::builder().max_size(1).driver(Box::new(ScriptedDriver::new()));
    let pool = builder.build_unchecked(manager);
    let waiters = waiters(&pool, 8);
    gate.open();
    for waiter in waiters {
        let error = waiter.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectFailed);
        assert_eq!(error.open_failure().and_then(OpenFailure::code), Some("28P01"), "{error}");
    }
    let (error, time) = took(|| pool.get_timeout(BOUND).unwrap_err());
    assert!(error.is_connect_failed() && time < AT_ONCE, "a later caller as well: {error} after {time:?}");
}

#[test]
fn a_full_queue_refuses_the_next_at_once() {
    let (_, pool) = built(Pool::builder().max_size(1).max_waiting(Some(2)));
    let held = pool.get().unwrap();
    let waiters = waiters(&pool, 2);
    let far = pool.clone();
    let (error, time) = thread::spawn(move || took(|| far.get_timeout(BOUND).unwrap_err())).join().unwrap();
    assert!(error.is_queue_full(), "{error}");
    assert!(time < AT_ONCE, "{time:?}");
    assert!(error.to_string().contains("2 callers wait, max_waiting is 2"), "{error}");
    assert_eq!(pool.stats().checkouts.rejected, 1);
    drop(held);
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap().unwrap());
}

#[test]
fn try_get_does_not_barge_and_lets_the_pool_grow() {
    let (manager, pool) = built(Pool::builder().max_size(2).min_idle(Some(0)));
    assert_eq!(manager.opened(), 0);
    assert!(pool.try_get().is_none(), "nothing is open yet");
    eventually(BOUND, "the pool has grown by one for it", || pool.gauges().idle == 1);
    let first = pool.try_get().expect("the one opened");
    assert!(pool.try_get().is_none());
    eventually(BOUND, "and by one more", || pool.gauges().idle == 1);
    let second = pool.try_get().expect("the second");
    assert!(pool.try_get().is_none(), "the ceiling");
    let waiting = pool.clone();
    let (served, checked) = (Gate::new(), Gate::new());
    let (on_served, on_checked) = (served.clone(), checked.clone());
    let waiter = thread::spawn(move || {
        let conn = waiting.get_timeout(BOUND).unwrap();
        on_served.open();
        assert!(on_checked.pass(None));
        drop(conn);
    });
    eventually(BOUND, "one waits", || pool.gauges().waiting == 1);
    drop(first);
    assert!(pool.try_get().is_none(), "it went to the waiter");
    assert!(served.pass(Some(BOUND)));
    checked.open();
    waiter.join().unwrap();
    drop(second);
    assert_eq!(manager.opened(), 2);
}

#[test]
fn a_pool_that_does_not_wait_answers_at_once() {
    let builder = Pool::builder().max_size(1).wait_mode(WaitMode::NoWait).deadlock_detection(false);
    let (_, pool) = built(builder);
    let held = pool.get().unwrap();
    let (error, time) = took(|| pool.get().unwrap_err());
    assert!(error.is_exhausted() && !error.is_timeout() && time < AT_ONCE, "{error} after {time:?}");
    assert!(error.to_string().starts_with("pool `pool` is exhausted"), "{error}");
    assert!(pool.get_timeout(20 * MS).unwrap_err().waited() >= 20 * MS, "a timeout of one's own still waits");
    drop(held);
    assert!(pool.get().is_ok());
}

#[test]
fn a_caller_that_does_not_wait_for_others_gets_a_connection_of_its_own() {
    let builder = Pool::builder().max_size(5).min_idle(Some(1)).wait_mode(WaitMode::NoWait);
    let (manager, pool) = built(builder);
    let held: Vec<_> = (0..5).map(|_| pool.get().expect("there is room")).collect();
    assert_eq!(manager.opened(), 5);
    assert!(pool.get().unwrap_err().is_exhausted());
    assert!(pool.try_get().is_none());
    drop(held);
    // Dead, all of them: closing one makes the room for another.
    manager.kill_all();
    pool.reconfigure(|settings| settings.pre_ping = PrePing::Always).unwrap();
    assert!(pool.get().is_ok());
}

#[test]
fn a_caller_that_does_not_wait_overtakes_nobody_and_is_no_more_than_there_is_room_for() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    let builder = Pool::builder().max_size(2).min_idle(Some(0)).wait_mode(WaitMode::NoWait);
    let pool = builder.build_unchecked(manager.clone());
    let spawn = || {
        let before = pool.gauges().waiting;
        let waiting = pool.clone();
        let waiter = thread::spawn(move || waiting.get());
        eventually(BOUND, "it stands in line", || pool.gauges().waiting == before + 1);
        waiter
    };
    let waiters = [spawn(), spawn()];
    let (error, time) = took(|| pool.get().unwrap_err());
    assert!(error.is_exhausted() && time < AT_ONCE, "{error} after {time:?}");
    assert_eq!(error.gauges().waiting, 2);
    gate.open();
    let held = waiters.map(|waiter| waiter.join().unwrap().unwrap());
    assert_eq!((manager.opened(), pool.stats().checkouts.timed_out), (2, 0));
    drop(held);
}

#[test]
fn a_caller_that_does_not_wait_for_others_waits_for_what_the_pool_has_in_hand() {
    let builder = Pool::builder().max_size(1).wait_mode(WaitMode::NoWait).connection_timeout(2 * SECOND);
    let (manager, pool) = built(builder.driver(Box::new(ScriptedDriver::new())).validation_timeout(BOUND));
    for round in 0..200 {
        manager.conditions([Condition::Dirty]);
        let conn = pool.get();
        drop(conn.unwrap_or_else(|error| panic!("round {round}: {error}")));
    }
    eventually(BOUND, "the last reset is done", || pool.gauges().idle == 1);
    let gate = Gate::new();
    manager.script(Call::Reset, [Step::ok().behind(&gate)]);
    manager.conditions([Condition::Dirty]);
    drop(pool.get().unwrap());
    let far = pool.clone();
    let first = thread::spawn(move || took(|| far.get().unwrap_err()));
    eventually(BOUND, "one waits for it", || pool.gauges().waiting == 1);
    let (error, time) = took(|| pool.get().unwrap_err());
    assert!(error.is_exhausted() && time < AT_ONCE, "{error} after {time:?}");
    let (error, time) = first.join().unwrap();
    assert!(
        error.is_timeout() && time >= 2 * SECOND && time < 2 * SECOND + AT_ONCE,
        "{error} after {time:?}"
    );
    assert!(error.to_string().contains("within its connection_timeout of 2 s"), "{error}");
    gate.open();
    eventually(BOUND, "it is back", || pool.gauges().idle == 1);
    let held = pool.get().unwrap();
    assert!(pool.get().unwrap_err().is_exhausted(), "a borrower has it");
    drop(held);
}

#[test]
fn a_validation_that_its_caller_has_left_is_one_that_the_pool_has_in_hand() {
    let builder = Pool::builder().max_size(1).wait_mode(WaitMode::NoWait).test_on_check_out(true);
    let (manager, pool) = built(builder);
    drop(pool.get().unwrap());
    let gate = Gate::new();
    manager.script(Call::IsValid, [Step::ok().behind(&gate)]);
    assert!(pool.get_timeout(20 * MS).unwrap_err().is_timeout());
    thread::scope(|scope| {
        let next = scope.spawn(|| pool.get());
        eventually(BOUND, "another waits for it", || pool.gauges().waiting == 1 || next.is_finished());
        gate.open();
        drop(next.join().unwrap().unwrap());
    });
}

#[test]
fn an_opening_is_waited_for_until_the_first_of_two_limits() {
    for (own, connect, named) in [
        (100 * MS, None, "connection_timeout of 100 ms"),
        (100 * MS, Some(BOUND), "connection_timeout of 100 ms"),
        (BOUND, Some(100 * MS), "connect_timeout of 100 ms"),
    ] {
        let manager = ScriptedManager::new();
        let gate = Gate::new();
        manager.always(Call::Connect, Step::ok().behind(&gate));
        let builder = Pool::builder().max_size(1).min_idle(Some(0)).wait_mode(WaitMode::NoWait);
        let pool = builder.connection_timeout(own).connect_timeout(connect).build_unchecked(manager);
        let (error, time) = took(|| pool.get().unwrap_err());
        assert!(
            error.is_timeout() && time >= 100 * MS && time < 100 * MS + AT_ONCE,
            "{error} after {time:?}"
        );
        assert!(error.to_string().contains(&format!("within its {named}")), "{error}");
        gate.open();
    }
}

#[test]
fn a_caller_that_does_not_wait_is_told_of_a_full_server_at_once() {
    let manager = ScriptedManager::new();
    let builder = Pool::builder().max_size(2).min_idle(Some(1)).wait_mode(WaitMode::NoWait);
    let builder = builder.driver(Box::new(ScriptedDriver::new()));
    let pool = builder.build(manager.clone()).unwrap();
    let held = pool.get().unwrap();
    manager.always(Call::Connect, Step::err(ScriptedError::exhausted()));
    for whoever in ["finds out", "comes later"] {
        let (error, time) = took(|| pool.get().unwrap_err());
        assert!(error.is_exhausted() && time < AT_ONCE, "{whoever}: {error} after {time:?}");
        assert_eq!(error.open_failure().and_then(OpenFailure::code), Some("53300"), "{error}");
    }
    drop(held);
}

#[test]
fn a_caller_that_does_not_wait_is_told_of_a_closed_pool_and_of_a_full_queue_as_any_other() {
    let manager = ScriptedManager::new();
    let builder = Pool::builder().max_size(2).min_idle(Some(1)).wait_mode(WaitMode::NoWait);
    let builder = builder.driver(Box::new(ScriptedDriver::new())).max_size(9).max_waiting(Some(1));
    let pool = builder.build(manager.clone()).unwrap();
    let held = pool.get().unwrap();
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    thread::scope(|scope| {
        scope.spawn(|| pool.get_timeout(BOUND).map(drop).unwrap());
        eventually(BOUND, "it waits", || pool.gauges().waiting == 1);
        assert!(pool.get().unwrap_err().is_queue_full(), "there is room for others");
        gate.open();
    });
    manager.always(Call::Connect, Step::err(ScriptedError::exhausted()));
    let mut held = vec![held];
    eventually(BOUND, "the server is found full", || match pool.get() {
        Ok(conn) => {
            held.push(conn);
            false
        }
        Err(error) => error.is_exhausted(),
    });
    pool.close(MS);
    let error = pool.get().unwrap_err();
    assert!(error.is_closed(), "{error}");
    drop(held);
}

#[test]
fn a_pool_that_does_not_wait_names_an_open_breaker() {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::transient("refused")));
    let builder = Pool::builder().max_size(1).wait_mode(WaitMode::NoWait).failure_threshold(1);
    let pool = builder.build_unchecked(manager);
    eventually(BOUND, "the breaker is open", || pool.stats().breaker_openings == 1);
    let error = pool.get().unwrap_err();
    assert!(error.is_circuit_open(), "{error}");
    assert!(error.source().unwrap().to_string().contains("refused"), "{error:#}");
}

#[test]
fn a_pool_that_waits_for_ever_outlasts_its_connection_timeout() {
    let builder = Pool::builder().max_size(1).wait_mode(WaitMode::Forever).connection_timeout(100 * MS);
    let (_, pool) = built(builder);
    let held = pool.get().unwrap();
    let far = pool.clone();
    let waiter = thread::spawn(move || took(|| far.get().map(drop)));
    eventually(BOUND, "it waits past the timeout", || {
        pool.waiters().first().is_some_and(|waiter| waiter.waited > 200 * MS)
    });
    drop(held);
    let (outcome, time) = waiter.join().unwrap();
    assert!(outcome.is_ok() && time > 200 * MS, "{time:?}");
}

#[test]
fn holders_and_waiters_are_listed_with_their_place() {
    let (_, pool) = pool_of(1);
    let mut held = pool.get().unwrap();
    held.tag("first");
    let waiters: Vec<_> = (0..3)
        .map(|i| {
            let pool_of_it = pool.clone();
            let thread = thread::Builder::new().name(format!("w{i}"));
            let waiter = thread.spawn(move || drop(pool_of_it.get_timeout(BOUND).unwrap())).unwrap();
            eventually(BOUND, "it waits", || pool.waiters().len() == i + 1);
            waiter
        })
        .collect();
    let names: Vec<_> = pool.waiters().into_iter().map(|waiter| waiter.thread).collect();
    assert_eq!(names, ["w0", "w1", "w2"]);
    assert_eq!(pool.waiters()[0].location.file(), file!());
    let first = &pool.waiters()[0];
    assert!(first.time_left.is_some_and(|left| left < BOUND) && pool.holders()[0].backend_pid.is_none());
    assert_eq!(pool.holders()[0].tag.as_deref(), Some("first"));
    drop(held);
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert!(pool.holders().is_empty() && pool.waiters().is_empty());
    assert_eq!(pool.stats().checkouts.waited, 3);
    assert_eq!(pool.stats().peak_waiting, 3);
    let held = pool.get().unwrap();
    assert_eq!(pool.holders()[0].tag, None, "a tag ends with its checkout");
    drop(held);
}
