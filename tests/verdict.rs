//! The verdict on a tiered pool where it is not the server's state alone that decides: closed, suspended, growing,
//! waiting for an answer.

mod support;

use std::thread;
use std::time::Duration;

use support::scripted::{Call, Gate, ScriptedDriver, ScriptedError, ScriptedManager, Step};
use support::wait::{BOUND, SECOND, eventually};
use tierpool::report::Verdict;
use tierpool::{
    Builder, Clock, Condition, DatabaseStats, ManageConnection, MemoryManager, Pool, Tier, TieredPool,
};

const SHORT: Duration = Duration::from_millis(50);

/// What every way to ask says, which is the same.
#[track_caller]
fn asked(pool: &TieredPool<impl ManageConnection>) -> DatabaseStats {
    let (stats, health) = (pool.get_database_stats(), pool.check_pool_health());
    assert_eq!((stats.verdict, stats.is_healthy), (health.verdict, health.healthy), "{stats}");
    if !stats.is_healthy {
        assert_eq!((&stats.message, health.http_status()), (&health.message, 503));
        assert!(!stats.to_string().contains("always available"), "{stats}");
    }
    stats
}

/// One that both tiers have seen its server from.
fn seen() -> TieredPool<MemoryManager> {
    let pool = TieredPool::builder().build(|_| MemoryManager).unwrap();
    drop((pool.get(Tier::Automation).unwrap(), pool.get(Tier::Adhoc).unwrap()));
    assert!(asked(&pool).is_healthy);
    pool
}

#[test]
fn what_the_pool_itself_puts_back_in_order_is_nobodys_and_exhausts_nothing() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.always(Call::Reset, Step::ok().behind(&gate));
    manager.conditions([Condition::Dirty]);
    let builder = TieredPool::builder().reserved(1).total_connections(2);
    let builder = builder.automation(|tier| tier.base_size(1).max_overflow(0));
    let builder = builder.adhoc(|tier| tier.driver(Box::new(ScriptedDriver::new())));
    let pool = builder.build(|_| manager.clone()).unwrap();
    let person = pool.get(Tier::Adhoc).unwrap();
    assert_eq!(asked(&pool).verdict, Verdict::Exhausted);
    drop(person);
    eventually(BOUND, "it is put back in order", || manager.running(Call::Reset) == 1);
    let stats = asked(&pool);
    assert_eq!((stats.verdict, stats.adhoc.gauges.in_use, stats.adhoc.lent), (Verdict::Healthy, 1, 0));
    assert_eq!(stats.guaranteed, 1);
    gate.open();
}

type Act = fn(&TieredPool<MemoryManager>);

#[test]
fn a_pool_that_is_closed_is_not_healthy_and_says_what_is_closed() {
    let acts: [(&str, Act, [u32; 2]); 3] = [
        ("Closed: the pool has been closed", |pool| drop(pool.close(SECOND)), [0, 0]),
        ("Closed: the ad-hoc tier has been closed", |pool| drop(pool.adhoc().close(SECOND)), [55, 0]),
        ("Closed: the automation tier has been closed", |pool| drop(pool.automation().close(SECOND)), [0, 5]),
    ];
    for (message, act, left) in acts {
        let pool = seen();
        act(&pool);
        let stats = asked(&pool);
        assert_eq!((stats.is_healthy, stats.message.as_str()), (false, message));
        assert_eq!([stats.available, stats.guaranteed], left, "{stats}");
        assert_eq!(pool.get_pool_status(Tier::Adhoc).available, left[1]);
    }
}

#[test]
fn a_pool_whose_lending_is_suspended_is_not_healthy_until_it_is_resumed() {
    let acts: [(&str, Act, [u32; 2]); 3] = [
        ("lending of the ad-hoc tier is suspended", |pool| assert!(pool.adhoc().suspend()), [55, 0]),
        ("lending of the automation tier is suspended", |pool| assert!(pool.automation().suspend()), [0, 5]),
        (
            "lending of both tiers is suspended",
            |pool| assert!(pool.automation().suspend() && pool.adhoc().suspend()),
            [0, 0],
        ),
    ];
    for (reason, act, left) in acts {
        let pool = seen();
        act(&pool);
        let stats = asked(&pool);
        assert_eq!((stats.is_healthy, stats.message), (false, format!("Suspended: {reason}")));
        assert_eq!([stats.available, stats.guaranteed], left);
        pool.automation().resume();
        pool.adhoc().resume();
        assert!(asked(&pool).is_healthy);
    }
}

#[test]
fn the_timeout_of_a_suspended_pool_says_that_it_is_suspended() {
    let pool = Pool::builder().max_size(2).build(MemoryManager).unwrap();
    pool.suspend();
    let error = pool.get_timeout(SHORT).unwrap_err();
    let (line, report) = (error.to_string(), format!("{error:#}"));
    assert!(error.is_timeout() && line.contains(" of 50 ms; lending is suspended (2 of 2"), "{line}");
    assert!(report.contains("\n  lending is suspended\n"), "{report}");
    pool.resume();
    assert!(pool.get_timeout(SHORT).is_ok());
}

#[test]
fn a_reserve_that_is_still_growing_is_not_called_always_available() {
    let builder = TieredPool::builder().total_connections(12).reserved(2);
    let builder = builder.automation(|tier| tier.base_size(10).max_overflow(0));
    let pool = builder.build(|_| MemoryManager).unwrap();
    let held: Vec<_> = (0..10).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    pool.reconfigure(|settings| {
        settings.reserved = 7;
        settings.automation.base_size = 5;
    })
    .unwrap();
    let stats = pool.get_database_stats();
    assert_eq!((stats.verdict, stats.reserved, stats.guaranteed), (Verdict::Healthy, 7, 2));
    let (text, message) = (stats.to_string(), &stats.message);
    assert!(!text.contains("always"), "{text}");
    assert!(
        text.contains("Reserved for Ad-hoc: 7 (2 for now, 5 more as automation closes its own)\n"),
        "{text}"
    );
    assert!(text.contains("Guaranteed Available: 2 connections\n"), "{text}");
    let to_come = "5 more as automation closes its own";
    assert_eq!(*message, format!("Healthy: 2 connections available for ad-hoc work, {to_come}"));
    let person = pool.get(Tier::Adhoc).unwrap();
    let stats = pool.get_database_stats();
    assert!(stats.to_string().contains("Guaranteed Available: 2 connections, 1 free now\n"), "{stats}");
    assert_eq!(
        stats.message,
        format!("Healthy: 2 connections available for ad-hoc work, 1 free now, {to_come}")
    );
    drop((held, person));
    let whole = "Healthy: 7 connections always available for ad-hoc work";
    eventually(BOUND, "the reserve is whole", || pool.get_database_stats().message == whole);
}

/// A tier that does nothing by itself: no connection is kept, and no breaker opens.
fn still<M: ManageConnection>(tier: Builder<M>) -> Builder<M> {
    tier.min_idle(Some(0)).keepalive(None).failure_threshold(0)
}

#[test]
fn a_server_of_which_errors_say_that_it_does_not_answer_is_not_healthy_meanwhile() {
    let manager = ScriptedManager::new();
    let builder = TieredPool::builder().automation(still);
    let builder = builder.adhoc(|tier| still(tier).test_on_check_out(true).validation_timeout(20 * SECOND));
    let pool = builder.reserved(1).build(|_| manager.clone()).unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    assert!(asked(&pool).is_healthy);
    manager.always(Call::IsValid, Step::ok().after(3 * SECOND));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.adhoc().get_timeout(BOUND).map(drop));
        let told = || pool.adhoc().get_timeout(SHORT).unwrap_err().to_string();
        eventually(BOUND, "it is said", || told().contains("the server does not answer"));
        let stats = asked(&pool);
        assert_eq!(stats.verdict, Verdict::Unreachable, "{stats}");
        let cause = "Unreachable: a validation has had no answer for 1.";
        assert!(stats.message.starts_with(cause) && !stats.message.contains("ago"), "{stats}");
        waiting.join().unwrap().unwrap();
    });
    assert!(asked(&pool).is_healthy, "it has answered");
}

#[test]
fn a_server_that_was_heard_since_is_not_said_to_be_silent() {
    let manager = ScriptedManager::new();
    let builder = TieredPool::builder().automation(still);
    let builder = builder.adhoc(|tier| still(tier).test_on_check_out(true).validation_timeout(20 * SECOND));
    let pool = builder.reserved(3).build(|_| manager.clone()).unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    manager.always(Call::IsValid, Step::ok().after(3 * SECOND));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.adhoc().get_timeout(BOUND).map(drop));
        eventually(BOUND, "it is silent", || !asked(&pool).is_healthy);
        // Another one is opened.
        let other = pool.adhoc().get_timeout(BOUND).unwrap();
        assert!(asked(&pool).is_healthy);
        let last = pool.adhoc().get_timeout(BOUND).unwrap();
        let error = pool.adhoc().get_timeout(SHORT).unwrap_err().to_string();
        assert!(error.contains("1 being validated for ") && !error.contains("does not answer"), "{error}");
        waiting.join().unwrap().unwrap();
        drop((other, last));
    });
}

#[test]
fn a_failure_is_of_one_age_in_the_box_and_in_an_error() {
    let manager = ScriptedManager::new();
    let refused = Step::err(ScriptedError::transient("connection refused")).after(SECOND);
    manager.always(Call::Connect, refused);
    let pool = TieredPool::builder().automation(still).adhoc(still).build(|_| manager.clone()).unwrap();
    let error = pool.adhoc().get_timeout(SECOND + SECOND / 2).unwrap_err();
    let failure = pool.get_database_stats().contact.failure.expect("it was refused");
    let age = error.open_failure().expect("it was refused").age();
    assert!(failure.ago.abs_diff(age) < SECOND / 2, "{:?} and {age:?}", failure.ago);
}

#[test]
fn a_connection_found_dead_is_no_failure_to_reach_the_server_and_takes_no_sign_of_life_back() {
    let (clock, hand) = Clock::manual();
    let manager = ScriptedManager::new();
    let builder = TieredPool::builder().clock(clock).automation(still);
    let pool = builder.adhoc(|tier| still(tier).test_on_check_out(true)).build(|_| manager.clone()).unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    hand.advance(SECOND);
    // What takes its place is not there before the end of the test.
    manager.always(Call::IsValid, Step::err(ScriptedError::transient("terminated by an administrator")));
    manager.always(Call::Connect, Step::ok().after(2 * SECOND));
    assert!(pool.adhoc().try_get().is_none());
    let stats = asked(&pool);
    assert_eq!((stats.verdict, stats.contact.last_seen), (Verdict::Healthy, Some(SECOND)), "{stats}");
    assert_eq!(stats.contact.failure, None);
}
