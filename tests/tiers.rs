//! Two tiers in one budget: what the one does never reaches the other.

mod support;

use std::thread;
use std::time::Duration;

use support::scripted::{Call, Gate, ScriptedDriver, ScriptedError, ScriptedManager, Step};
use support::wait::{LONG_BOUND, SECOND, eventually, took};
use tierpool::stats::CloseCause;
use tierpool::{BreakerState, Clock, ClockHand, ErrorKind, MemoryManager, Tier, TieredBuilder, TieredPool};

/// What "at once" may mean on a machine under load.
const AT_ONCE: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(120);

fn builder() -> TieredBuilder<ScriptedManager> {
    TieredPool::builder()
        .total_connections(10)
        .reserved(2)
        .automation(|tier| tier.base_size(6).max_overflow(2).connection_timeout(LONG))
        .adhoc(|tier| tier.connection_timeout(LONG))
}

#[test]
fn a_budget_that_does_not_suffice_is_refused_with_the_sum_and_all_other_faults() {
    let error = TieredPool::builder()
        .total_connections(50)
        .reserved(5)
        .automation(|tier| tier.base_size(50).max_overflow(5))
        .build(|_| ScriptedManager::new())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert_eq!(
        error.to_string(),
        "invalid configuration: total_connections is 50: must be at least 60: automation 50 + overflow 5 + reserved 5"
    );

    let error = TieredPool::builder()
        .total_connections(0)
        .reserved(0)
        .open_concurrency(1)
        .automation(|tier| tier.base_size(4).max_overflow(0).min_size(9))
        .build(|_| ScriptedManager::new())
        .unwrap_err();
    let text = error.to_string();
    for expected in
        ["reserved is 0", "open_concurrency is 1", "automation.min_size is 9", "must be at least 4"]
    {
        assert!(text.contains(expected), "{expected:?} is missing in: {text}");
    }
    // Sizes whose sum is beyond u32 do not wrap around into the budget.
    let error = TieredPool::builder()
        .automation(|tier| tier.base_size(u32::MAX).max_overflow(0))
        .build(|_| ScriptedManager::new())
        .unwrap_err();
    assert!(error.to_string().contains("4294967300"), "{error}");
}

#[test]
fn a_budget_holds_at_run_time_too() {
    let builder = TieredPool::builder().total_connections(6).reserved(2);
    let pool = builder.automation(|tier| tier.base_size(3).max_overflow(0)).build(|_| MemoryManager).unwrap();
    pool.automation().reconfigure(|settings| settings.base_size = 4).unwrap();
    let error = pool.automation().reconfigure(|settings| settings.base_size = 5).unwrap_err();
    assert!(error.to_string().contains("must not exceed 4, this pool's part of the budget"), "{error}");
    assert!(pool.adhoc().reconfigure(|settings| settings.base_size = 3).is_err());
    assert_eq!((pool.automation().max_size(), pool.reserved()), (4, 2));
}

#[test]
fn each_tier_has_a_manager_and_settings_of_its_own() {
    let (automation, adhoc) = (ScriptedManager::new(), ScriptedManager::new());
    let pool = builder()
        .adhoc(|tier| tier.test_on_check_out(true))
        .build(|tier| if tier == Tier::Adhoc { adhoc.clone() } else { automation.clone() })
        .unwrap();
    assert_eq!((automation.opened(), adhoc.opened()), (0, 0), "nothing is kept unless somebody says so");
    assert!(pool.adhoc().test_on_check_out() && !pool.automation().test_on_check_out());
    assert_eq!((pool.tier(Tier::Automation).max_size(), pool.tier(Tier::Adhoc).max_size()), (8, 2));
    assert_eq!((pool.total_connections(), pool.reserved()), (10, 2));
    drop(pool.get(Tier::Automation).unwrap());
    assert_eq!(adhoc.opened(), 0);
    eventually(LONG_BOUND, "automation has opened one", || automation.opened() > 0);
}

#[test]
fn what_waiting_will_not_cure_in_one_tier_ends_the_wait_for_both() {
    let keeps_one = |tier: tierpool::Builder<_>| {
        tier.min_idle(Some(1)).connection_timeout(LONG).driver(Box::new(ScriptedDriver::new()))
    };
    for broken in [Tier::Automation, Tier::Adhoc] {
        let gate = Gate::new();
        let manager = |tier| {
            let manager = ScriptedManager::new();
            let refused = Step::err(ScriptedError::permanent());
            manager.always(Call::Connect, if tier == broken { refused } else { Step::ok().behind(&gate) });
            manager
        };
        let (error, time) =
            took(|| builder().automation(keeps_one).adhoc(keeps_one).build(manager).unwrap_err());
        gate.open();
        assert!(time < AT_ONCE, "{time:?}");
        assert_eq!(error.kind(), ErrorKind::ConnectFailed);
        assert!(error.to_string().contains(&format!("pool `{broken}` cannot open connections")), "{error}");
    }
}

#[test]
fn each_tier_is_waited_for_as_long_as_its_own_checkouts_may_take() {
    let (short, gate) = (Duration::from_millis(50), Gate::new());
    let manager = |tier| {
        let manager = ScriptedManager::new();
        if tier == Tier::Adhoc {
            manager.always(Call::Connect, Step::ok().behind(&gate));
        }
        manager
    };
    let builder = builder()
        .automation(|tier| tier.min_idle(Some(1)))
        .adhoc(|tier| tier.min_idle(Some(1)).connection_timeout(short));
    let (error, time) = took(|| builder.build(manager).unwrap_err());
    gate.open();
    assert!(short <= time && time < AT_ONCE, "{time:?}");
    assert!(error.is_timeout() && error.to_string().contains("pool `adhoc`"), "{error}");
}

/// A reserve of three on a clock moved by hand, all of it and an automation connection idle.
fn idle_reserve(
    change: impl FnOnce(tierpool::Builder<ScriptedManager>) -> tierpool::Builder<ScriptedManager>,
) -> (ScriptedManager, TieredPool<ScriptedManager>, ClockHand) {
    let (clock, hand) = Clock::manual();
    let manager = ScriptedManager::new();
    let builder = builder().total_connections(11).reserved(3).clock(clock);
    let pool = builder
        .automation(|tier| tier.keepalive(None).leak_threshold(Some(5 * SECOND)))
        .adhoc(|tier| change(tier.keepalive(None)))
        .build(|_| manager.clone())
        .unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    drop((0..3).map(|_| pool.get(Tier::Adhoc).unwrap()).collect::<Vec<_>>());
    assert_eq!(pool.adhoc().gauges().idle, 3);
    (manager, pool, hand)
}

fn sizes(pool: &TieredPool<ScriptedManager>) -> (u32, u32) {
    (pool.automation().gauges().size(), pool.adhoc().gauges().size())
}

#[test]
fn ad_hoc_gives_back_what_it_does_not_use_and_automation_keeps_it() {
    let (_, pool, hand) = idle_reserve(|tier| tier);
    let guaranteed = || pool.get_database_stats().guaranteed;
    hand.advance(9 * SECOND);
    drop(pool.get(Tier::Adhoc).unwrap());
    assert_eq!((sizes(&pool), guaranteed()), ((1, 3), 3), "what is idle can be had");
    hand.advance(2 * SECOND);
    eventually(LONG_BOUND, "but for the one used since", || sizes(&pool) == (1, 1));
    hand.advance(9 * SECOND);
    eventually(LONG_BOUND, "all of the reserve is given back", || sizes(&pool) == (1, 0));
    assert_eq!(guaranteed(), 3, "and what is not open can be had as well");
    hand.advance(500 * SECOND);
    assert_eq!(pool.automation().gauges().size(), 1);
    assert_eq!(pool.adhoc().stats().closed.count(CloseCause::Idle), 3);
    drop(pool.get(Tier::Adhoc).unwrap());
}

#[test]
fn what_is_asked_for_of_the_reserve_stays_and_is_not_opened_again_and_again() {
    let (manager, pool, hand) = idle_reserve(|tier| tier.min_idle(Some(1)));
    hand.advance(11 * SECOND);
    eventually(LONG_BOUND, "one is left", || sizes(&pool) == (1, 1));
    let opened = manager.opened();
    for round in 1..=4 {
        let held = pool.get(Tier::Automation).unwrap();
        hand.advance(11 * SECOND);
        // By the keeper, which looks at both tiers.
        let warned = || pool.automation().stats().long_holds == round;
        eventually(LONG_BOUND, "the long hold is warned of", warned);
        drop(held);
    }
    assert_eq!((manager.opened(), sizes(&pool)), (opened, (1, 1)));
}

#[test]
fn an_idle_timeout_that_is_set_wins_over_the_linger_of_the_reserve() {
    let minute = Some(60 * SECOND);
    let by_builder = idle_reserve(|tier| tier.idle_timeout(minute));
    let at_run_time = idle_reserve(|tier| tier);
    at_run_time.1.adhoc().reconfigure(|settings| settings.idle_timeout = minute).unwrap();
    let of_both = idle_reserve(|tier| tier);
    of_both.1.reconfigure(|settings| settings.adhoc.idle_timeout = minute).unwrap();
    for (_, pool, hand) in [by_builder, at_run_time, of_both] {
        assert!(!pool.adhoc().settings().base_lingers);
        hand.advance(59 * SECOND);
        drop(pool.get(Tier::Adhoc).unwrap());
        assert_eq!(sizes(&pool), (1, 3));
        hand.advance(2 * SECOND);
        eventually(LONG_BOUND, "only then", || sizes(&pool) == (1, 1));
    }
    // Whoever sets both means both, in any order, and a time of its own for the linger is one.
    for (_, pool, hand) in [
        idle_reserve(|tier| tier.base_lingers(true).idle_timeout(minute)),
        idle_reserve(|tier| tier.overflow_linger(10 * SECOND)),
        idle_reserve(|tier| tier.idle_timeout(minute).base_lingers(true)),
    ] {
        assert!(pool.adhoc().settings().base_lingers);
        hand.advance(11 * SECOND);
        eventually(LONG_BOUND, "all are given back", || sizes(&pool) == (1, 0));
    }
}

#[test]
fn without_a_linger_the_reserve_is_given_back_at_the_checkin() {
    let (clock, _hand) = Clock::manual();
    let builder = builder().clock(clock).adhoc(|tier| tier.overflow_linger(Duration::ZERO));
    let pool = builder.build(|_| ScriptedManager::new()).unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    eventually(LONG_BOUND, "it is closed", || sizes(&pool) == (0, 0));
}

#[test]
fn ad_hoc_is_served_at_once_while_thousands_wait_for_automation() {
    const WAITERS: usize = 2_000;
    let pool = builder()
        .automation(|tier| tier.deadlock_detection(false))
        .build(|_| ScriptedManager::new())
        .unwrap();
    let held: Vec<_> = (0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    thread::scope(|scope| {
        for _ in 0..WAITERS {
            let pool = pool.clone();
            thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn_scoped(scope, move || drop(pool.get(Tier::Automation).unwrap()))
                .unwrap();
        }
        eventually(LONG_BOUND, "all wait", || pool.automation().gauges().waiting == WAITERS as u32);
        for _ in 0..200 {
            let (conns, time) = took(|| [pool.get(Tier::Adhoc).unwrap(), pool.get(Tier::Adhoc).unwrap()]);
            assert!(time < AT_ONCE, "{time:?}");
            drop(conns);
        }
        assert!(pool.automation().try_get().is_none(), "a newcomer overtook {WAITERS} waiters");
        assert_eq!(pool.automation().gauges().waiting, WAITERS as u32);
        drop(held);
    });
    let stats = pool.automation().stats();
    assert_eq!(
        stats.checkouts.waited,
        WAITERS as u64 + 8,
        "the waiters, and the holders for whom was opened: {stats:?}"
    );
    // The newcomer.
    assert_eq!((stats.checkouts.timed_out, stats.checkouts.rejected), (1, 0));
    assert_eq!(pool.automation().gauges().in_use, 0);
}

#[test]
fn f13_an_exhausted_tier_names_holders_and_gauges() {
    let pool = builder().build(|_| ScriptedManager::new()).unwrap();
    let mut held: Vec<_> = (0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    held[0].tag("nightly import");
    let timed_out = |pool: &TieredPool<ScriptedManager>| {
        thread::scope(|scope| {
            let get = || pool.automation().get_timeout(Duration::from_millis(50)).unwrap_err();
            scope.spawn(get).join().unwrap()
        })
    };
    let error = timed_out(&pool);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!((error.gauges().in_use, error.holders().len()), (8, 8));
    let (line, full) = (error.to_string(), format!("{error:#}"));
    assert!(line.contains("8 of 8 connections: 0 idle, 8 in use, 0 opening"), "{line}");
    assert!(full.contains("nightly import") && full.contains("tests/tiers.rs:"), "{full}");
    drop(pool.get(Tier::Adhoc).unwrap());
}

#[test]
fn only_with_leave_and_only_when_its_own_are_out_does_ad_hoc_borrow() {
    for may_borrow in [false, true] {
        let pool = builder().adhoc_may_borrow(may_borrow).build(|_| ScriptedManager::new()).unwrap();
        let soon = Duration::from_millis(50);
        // Both tiers have all their connections, idle.
        drop((0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect::<Vec<_>>());
        let own = [pool.get(Tier::Adhoc).unwrap(), pool.get(Tier::Adhoc).unwrap()];
        assert_eq!(pool.automation().gauges().in_use, 0, "its own come first");

        pool.adhoc().reconfigure(|settings| settings.connection_timeout = soon).unwrap();
        let third = thread::scope(|scope| scope.spawn(|| pool.get(Tier::Adhoc)).join().unwrap());
        assert_eq!((third.is_ok(), pool.automation().gauges().in_use), (may_borrow, u32::from(may_borrow)));
        drop(third);
        assert_eq!(pool.automation().gauges().in_use, 0);
        // Never the other way round, and not from automation that has none left.
        drop(own);
        let all: Vec<_> = (0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect();
        assert!(pool.automation().get_timeout(soon).is_err());
        let own = [pool.get(Tier::Adhoc).unwrap(), pool.get(Tier::Adhoc).unwrap()];
        let none = thread::scope(|scope| scope.spawn(|| pool.get(Tier::Adhoc).err()).join().unwrap());
        assert_eq!(none.map(|error| error.kind()), Some(ErrorKind::Timeout));
        drop((all, own));
    }
}

#[test]
fn borrowing_counts_as_nobodys_timeout() {
    let builder = TieredPool::builder().reserved(1).adhoc_may_borrow(true);
    let pool = builder.automation(|tier| tier.min_idle(Some(3))).build(|_| MemoryManager).unwrap();
    let own = pool.get(Tier::Adhoc).unwrap();
    let borrowed: Vec<_> = (0..3).map(|_| pool.get(Tier::Adhoc).unwrap()).collect();
    assert_eq!(pool.adhoc().stats().checkouts.timed_out, 0);
    assert_eq!(pool.automation().stats().gauges.in_use, 3);
    drop((own, borrowed));
}

#[test]
fn an_open_breaker_of_automation_does_not_touch_ad_hoc() {
    let (automation, adhoc) = (ScriptedManager::new(), ScriptedManager::new());
    automation.always(Call::Connect, Step::err(ScriptedError::transient("refused")));
    let pool =
        builder().build(|tier| if tier == Tier::Adhoc { adhoc.clone() } else { automation.clone() }).unwrap();
    let error = pool.get(Tier::Automation).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CircuitOpen);
    assert_eq!(pool.adhoc().breaker(), BreakerState::Closed);
    for _ in 0..20 {
        let (conns, time) = took(|| [pool.get(Tier::Adhoc).unwrap(), pool.get(Tier::Adhoc).unwrap()]);
        assert!(time < AT_ONCE, "{time:?}");
        drop(conns);
    }
    assert_eq!(pool.adhoc().stats().checkouts.rejected, 0);
}

#[test]
fn a_change_within_a_change_is_refused_and_does_not_go_on_for_ever() {
    let pool = TieredPool::builder().total_connections(12).reserved(2);
    let pool = pool.automation(|tier| tier.base_size(8).max_overflow(0)).build(|_| MemoryManager).unwrap();
    let refused = |outcome: Result<(), tierpool::Error>| {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("reconfigure is called within its own closure"), "{error}");
    };
    let tier = pool.automation();
    tier.reconfigure(|settings| {
        refused(tier.reconfigure(|settings| settings.base_size = 4));
        refused(pool.reconfigure(|settings| settings.reserved = 3));
        pool.adhoc().reconfigure(|_| ()).unwrap();
        settings.base_size = 7;
    })
    .unwrap();
    pool.reconfigure(|_| {
        refused(pool.reconfigure(|settings| settings.reserved = 3));
        refused(tier.reconfigure(|settings| settings.base_size = 4));
    })
    .unwrap();
    assert_eq!(tier.max_size(), 7);
    tier.reconfigure(|settings| settings.base_size = 8).unwrap();
}

#[test]
fn no_pool_is_ready_before_its_server_was_seen() {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::transient("refused")));
    let pool = TieredPool::builder().total_connections(4).reserved(1);
    let pool = pool
        .automation(|tier| tier.base_size(3).max_overflow(0))
        .build_unchecked(|_| manager.clone())
        .unwrap();
    let limit = std::time::Duration::from_millis(100);
    assert!(pool.wait_ready(limit).is_err() && pool.automation().wait_ready(limit).is_err());
    manager.always(Call::Connect, Step::ok());
    pool.wait_ready(LONG_BOUND).unwrap();
    for tier in [pool.automation(), pool.adhoc()] {
        assert!(tier.gauges().idle >= 1 && tier.breaker() == BreakerState::Closed);
    }
}
