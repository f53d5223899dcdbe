//! Failing to open: back-off, permanent causes, the circuit breaker and its end.

mod support;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use support::scripted::{Call, Gate, Parts, ScriptedDriver, ScriptedError, ScriptedManager, Step, still};
use support::wait::{A_MOMENT, AT_ONCE, BOUND, SECOND, comes_true, eventually, took};
use tierpool::event::Event;
use tierpool::stats::BreakerState;
use tierpool::{ClockHand, Error, ErrorKind, FailureClass, Pool};

/// A pool that opens what is asked for and nothing besides, whose clock stands still.
fn builder() -> Parts {
    still(|builder| builder.max_size(8).failure_threshold(3).driver(Box::new(ScriptedDriver::new())))
}

fn refused() -> Step {
    Step::err(ScriptedError::transient("connection refused"))
}

/// Fails attempts, moving the clock past each back-off, until the breaker is open.
fn trip(pool: &Pool<ScriptedManager>, hand: &ClockHand, manager: &ScriptedManager) {
    manager.always(Call::Connect, refused());
    let waited = thread::scope(|scope| {
        let waiter = scope.spawn(|| pool.get_timeout(BOUND));
        eventually(BOUND, "the breaker opens", || {
            hand.advance(Duration::from_millis(50));
            pool.breaker() != BreakerState::Closed
        });
        waiter.join().unwrap()
    });
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::CircuitOpen, "waiters hear of it");
}

fn fails_at_once(pool: &Pool<ScriptedManager>) -> Error {
    let (error, time) = took(|| pool.get_timeout(BOUND).unwrap_err());
    assert!(time < AT_ONCE, "{time:?}");
    error
}

#[test]
fn the_third_failure_in_a_row_opens_it_and_callers_are_told_all_about_it() {
    let (builder, hand, manager) = builder();
    let pool = builder.build_unchecked(manager.clone());
    let events = pool.subscribe(64);
    trip(&pool, &hand, &manager);
    assert_eq!(manager.calls(Call::Connect), 3);
    let error = fails_at_once(&pool);
    assert_eq!(error.kind(), ErrorKind::CircuitOpen);
    let cause = error.open_failure().expect("the cause comes with it");
    assert_eq!((cause.class(), cause.attempts()), (FailureClass::Transient, 3));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("connection refused"));
    let line = error.to_string();
    assert!(line.contains("since ") && line.contains("next attempt in "), "{line}");
    let stats = pool.stats();
    assert_eq!(
        (stats.breaker, stats.breaker_openings, stats.open_failures.transient),
        (BreakerState::Open, 1, 3)
    );
    assert!(stats.checkouts.rejected >= 2);
    let mut told = vec![];
    eventually(BOUND, "it is told", || {
        told.extend(events.try_iter().filter(|event| matches!(event, Event::Breaker(_))));
        !told.is_empty()
    });
    match &told[..] {
        [Event::Breaker(event)] => {
            assert_eq!(event.state(), BreakerState::Open);
            assert!(event.cause().unwrap().contains("connection refused"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn failures_short_of_the_threshold_do_not_open_it_and_a_success_forgets_them() {
    let (builder, hand, manager) = builder();
    let pool = builder.build_unchecked(manager.clone());
    let mut held = vec![];
    for round in 1..=5 {
        manager.script(Call::Connect, [refused(), refused()]);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| pool.get_timeout(BOUND).unwrap());
            eventually(BOUND, "both have failed and one came", || {
                hand.advance(Duration::from_millis(50));
                manager.opened() == round
            });
            held.push(waiter.join().unwrap());
        });
        assert_eq!((pool.breaker(), pool.stats().last_open_failure), (BreakerState::Closed, None));
    }
    assert_eq!(pool.stats().open_failures.transient, 10);
}

#[test]
fn while_it_is_open_idle_connections_are_lent_and_held_ones_work_on() {
    let (builder, hand, manager) = builder();
    let pool = builder.max_size(3).build_unchecked(manager.clone());
    let mut held = pool.get().unwrap();
    drop(pool.get().unwrap());
    trip_beside(&pool, &hand, &manager);
    assert!(held.work().is_ok());
    for _ in 0..3 {
        let mut conn = pool.get_timeout(BOUND).expect("an idle one is healthy");
        assert!(conn.work().is_ok());
        assert_eq!(fails_at_once(&pool).kind(), ErrorKind::CircuitOpen, "and there is no other");
    }
    drop(held);
    assert_eq!(pool.gauges().idle, 2, "what comes back is kept");
}

/// As `trip`, in a pool that has an idle connection: it is held meanwhile.
fn trip_beside(pool: &Pool<ScriptedManager>, hand: &ClockHand, manager: &ScriptedManager) {
    let idle = pool.get().unwrap();
    trip(pool, hand, manager);
    drop(idle);
}

#[test]
fn the_pool_itself_probes_once_at_a_time_and_starts_slowly_when_it_succeeds() {
    let (builder, hand, manager) = builder();
    let pool = builder.build_unchecked(manager.clone());
    let events = pool.subscribe(64);
    trip(&pool, &hand, &manager);
    let before = manager.calls(Call::Connect);
    hand.advance(Duration::from_millis(400));
    assert_eq!(fails_at_once(&pool).kind(), ErrorKind::CircuitOpen);
    assert_eq!(manager.calls(Call::Connect), before, "callers make no attempts");
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    hand.advance(SECOND);
    eventually(BOUND, "a probe, though nobody asks", || gate.waiting() == 1);
    assert_eq!(pool.breaker(), BreakerState::Probing);
    hand.advance(60 * SECOND);
    assert_eq!(fails_at_once(&pool).kind(), ErrorKind::CircuitOpen);
    assert_eq!(gate.waiting(), 1, "a single one");

    // Recovery: each success lets twice as many be opened at a time, up to `open_concurrency`.
    let next = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&next));
    gate.open();
    eventually(BOUND, "the breaker closes", || pool.breaker() == BreakerState::Closed);
    let mut told = Vec::new();
    eventually(BOUND, "both changes are told", || {
        told.extend(events.try_iter().filter(|event| matches!(event, Event::Breaker(_))));
        told.len() == 2
    });
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let conn = pool.get_timeout(BOUND).unwrap();
                next.pass(Some(BOUND));
                drop(conn);
            });
        }
        eventually(BOUND, "all but the one served wait", || pool.gauges().waiting == 7);
        eventually(BOUND, "one is opened at first, beside the holder", || {
            (next.waiting(), pool.gauges().opening) == (2, 1)
        });
        next.open();
    });
    assert!(manager.most_running(Call::Connect) <= 4);
}

#[test]
fn it_is_off_unless_asked_for_and_can_be_switched_off_while_it_is_open() {
    let (pools, hand, manager) = still(|builder| builder.max_size(8));
    manager.always(Call::Connect, refused());
    let pool = pools.build_unchecked(manager.clone());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pool.get_timeout(SECOND).unwrap_err());
        eventually(BOUND, "ten attempts", || {
            hand.advance(SECOND);
            manager.calls(Call::Connect) >= 10
        });
        let error = waiter.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.open_failure().is_some(), "a timeout names the cause too");
    });
    assert_eq!((pool.breaker(), pool.stats().breaker_openings), (BreakerState::Closed, 0));

    let (pools, hand, manager) = builder();
    let pool = pools.build_unchecked(manager.clone());
    trip(&pool, &hand, &manager);
    pool.reconfigure(|settings| settings.failure_threshold = 0).unwrap();
    assert_eq!(pool.breaker(), BreakerState::Closed);
    manager.always(Call::Connect, Step::ok());
    hand.advance(BOUND);
    assert!(pool.get_timeout(BOUND).is_ok(), "nobody is refused any more");
}

#[test]
fn a_server_out_of_connections_has_callers_wait_and_never_opens_it() {
    let (builder, hand, manager) = builder();
    let pool = builder.build_unchecked(manager.clone());
    let held = pool.get().unwrap();
    manager.always(Call::Connect, Step::err(ScriptedError::exhausted()));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pool.get_timeout(BOUND).unwrap().id());
        eventually(BOUND, "ten attempts", || {
            hand.advance(SECOND);
            manager.calls(Call::Connect) >= 10
        });
        let error = pool.get_timeout(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.open_failure().unwrap().code(), Some("53300"));
        drop(held);
        assert_eq!(waiter.join().unwrap(), 1, "it waits for a returned one");
    });
    let stats = pool.stats();
    assert_eq!((stats.breaker_openings, stats.open_failures.transient), (0, 0));
    assert!(stats.open_failures.exhausted >= 8, "{:?}", stats.open_failures);
}

#[test]
fn a_probe_told_that_there_are_no_connections_left_closes_it_since_the_server_is_there() {
    let (builder, hand, manager) = builder();
    let pool = builder.build_unchecked(manager.clone());
    let held = pool.get().unwrap();
    trip(&pool, &hand, &manager);
    manager.always(Call::Connect, Step::err(ScriptedError::exhausted()));
    hand.advance(2 * SECOND);
    eventually(BOUND, "it closes", || pool.breaker() == BreakerState::Closed);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pool.get_timeout(BOUND).unwrap().id());
        eventually(BOUND, "it waits", || pool.gauges().waiting == 1);
        drop(held);
        assert_eq!(waiter.join().unwrap(), 1);
    });
}

#[test]
fn a_permanent_cause_fails_all_waiters_at_once_and_is_tried_once_in_30_s_until_it_heals() {
    let (builder, hand, manager) = builder();
    let pool = builder.build_unchecked(manager.clone());
    let gate = Gate::new();
    manager.always(Call::Connect, Step::err(ScriptedError::permanent()).behind(&gate));
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..20).map(|_| scope.spawn(|| pool.get_timeout(BOUND).unwrap_err())).collect();
        eventually(BOUND, "all wait", || pool.gauges().waiting == 20 && gate.waiting() >= 1);
        let start = Instant::now();
        gate.open();
        for waiter in waiters {
            let error = waiter.join().unwrap();
            assert_eq!(error.kind(), ErrorKind::ConnectFailed);
            assert_eq!(error.open_failure().unwrap().code(), Some("28P01"));
        }
        assert!(start.elapsed() < SECOND);
    });
    manager.always(Call::Connect, Step::err(ScriptedError::permanent()));
    eventually(BOUND, "no attempt is under way", || pool.gauges().opening == 0);
    let before = manager.calls(Call::Connect);
    for _ in 0..29 {
        hand.advance(SECOND);
        assert_eq!(fails_at_once(&pool).kind(), ErrorKind::ConnectFailed);
        let tried = comes_true(A_MOMENT, || manager.calls(Call::Connect) > before);
        assert!(!tried, "no account is locked by wrong passwords");
    }
    for more in 1..=3 {
        hand.advance(31 * SECOND);
        eventually(BOUND, "one more attempt", || {
            assert_eq!(fails_at_once(&pool).kind(), ErrorKind::ConnectFailed);
            manager.calls(Call::Connect) == before + more
        });
        // Else its failure would count from the next moment on.
        eventually(BOUND, "it is over", || pool.gauges().opening == 0);
    }
    manager.always(Call::Connect, Step::ok());
    hand.advance(31 * SECOND);
    eventually(BOUND, "it heals", || pool.get_timeout(BOUND).is_ok());
    assert_eq!(pool.stats().breaker_openings, 0);
}

#[test]
fn a_password_found_wrong_by_a_probe_is_not_tried_more_often_either() {
    let (builder, hand, manager) = builder();
    let pool = builder.open_for(SECOND).build_unchecked(manager.clone());
    trip(&pool, &hand, &manager);
    manager.always(Call::Connect, Step::err(ScriptedError::permanent()));
    let before = manager.calls(Call::Connect);
    eventually(BOUND, "a probe fails", || {
        hand.advance(Duration::from_millis(50));
        pool.stats().open_failures.permanent == 1
    });
    for _ in 0..29 {
        hand.advance(SECOND);
        let error = fails_at_once(&pool);
        assert_eq!(error.open_failure().unwrap().code(), Some("28P01"), "the newest cause is told");
        let tried = comes_true(A_MOMENT, || manager.calls(Call::Connect) > before + 2);
        assert!(!tried, "more often than the end of the outage explains");
    }
}

#[test]
fn fifty_threads_hammering_make_at_most_twenty_attempts_a_second() {
    let errors =
        [ScriptedError::transient("refused"), ScriptedError::exhausted(), ScriptedError::permanent()];
    for (error, threshold) in errors.into_iter().flat_map(|error| [(error.clone(), 0), (error, 3)]) {
        let manager = ScriptedManager::new();
        manager.always(Call::Connect, Step::err(error.clone()));
        let pool = Pool::builder()
            .max_size(50)
            .failure_threshold(threshold)
            .error_handler(Box::new(tierpool::NopErrorHandler))
            .driver(Box::new(ScriptedDriver::new()))
            .build_unchecked(manager.clone());
        let end = Instant::now() + SECOND;
        thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    while Instant::now() < end {
                        assert!(pool.get_timeout(Duration::from_millis(1)).is_err());
                        pool.try_get();
                    }
                });
            }
        });
        let attempts = manager.calls(Call::Connect);
        assert!((1..=20).contains(&attempts), "{attempts} of {error:?} with threshold {threshold}");
    }
}

#[test]
fn validations_without_an_answer_count_and_errors_of_queries_do_not() {
    let (builder, hand, manager) = builder();
    let limit = Duration::from_millis(30);
    let pool = builder.max_size(4).test_on_check_out(true).validation_timeout(limit);
    let pool = pool.build_unchecked(manager.clone());
    let mut four: Vec<_> = (0..4).map(|_| pool.get().unwrap()).collect();
    for conn in &mut four {
        manager.kill(conn.id());
        assert!(conn.work().is_err());
    }
    drop(four);
    assert_eq!(pool.breaker(), BreakerState::Closed, "errors of queries never count");
    let four: Vec<_> = (0..4).map(|_| pool.get_timeout(BOUND).unwrap()).collect();
    drop(four);

    // Nothing can be opened either, or each success in between would start the count again.
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    manager.always(Call::IsValid, Step::ok().behind(&gate));
    let error = pool.get_timeout(BOUND).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CircuitOpen);
    assert!(error.open_failure().unwrap().to_string().contains("no answer"));
    gate.open();
    manager.always(Call::Connect, Step::ok());
    hand.advance(2 * SECOND);
    eventually(BOUND, "it recovers", || pool.get_timeout(BOUND).is_ok());
}

#[test]
fn the_keeper_sleeps_through_a_back_off() {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::permanent()));
    let pool = Pool::builder()
        .name("sleepy")
        .error_handler(Box::new(tierpool::NopErrorHandler))
        .driver(Box::new(ScriptedDriver::new()))
        .build_unchecked(manager.clone());
    eventually(BOUND, "the first attempt has failed", || pool.stats().open_failures.permanent > 0);
    // A thread gives itself its name, so it is there before it has one.
    eventually(BOUND, "the keeper runs", || ticks_of("sleepy-keeper").is_some());
    let before = ticks_of("sleepy-keeper");
    // Not a synchronisation but the time over which is measured.
    assert!(!comes_true(Duration::from_millis(500), || manager.calls(Call::Connect) > 4));
    let used = ticks_of("sleepy-keeper").zip(before).map(|(after, before)| after - before);
    assert!(
        used.is_some_and(|used| used <= 3),
        "the keeper used {used:?} ticks of processor time for nothing"
    );
}

/// The processor time of the thread of that name, in ticks of 10 ms.
fn ticks_of(name: &str) -> Option<u64> {
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
        let (head, tail) = stat.rsplit_once(')').expect("a name in parentheses");
        if head.ends_with(name) {
            // Those of the thread in user and in system mode.
            return Some(tail.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum());
        }
    }
    None
}
