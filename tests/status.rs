//! The status box to the letter, and its last line by state.

mod support;

use std::time::Duration;

use support::scripted::{Call, ScriptedDriver, ScriptedError, ScriptedManager, Step};
use support::wait::{BOUND, SECOND, eventually};
use tierpool::report::{Load, Verdict};
use tierpool::{
    BreakerState, Builder, Clock, DatabaseStats, ManageConnection, MemoryManager, Tier, TieredBuilder,
    TieredPool, print_connection_status,
};

const IDLE: &str = "\
🔌 DATABASE CONNECTION STATUS
============================================================
📊 Total Connection Limit: 60 connections
   └─ Reserved for Ad-hoc: 5 (always available)
   └─ Automation Pool: 50 + 5 overflow

🤖 Automation (Scraping/Monitoring):
   ├─ In Use: 0/55
   ├─ Available: 55
   └─ Overflow Active: 0

👤 Ad-hoc (Development/Manual):
   └─ Guaranteed Available: 5 connections

✅ Healthy: 5 connections always available for ad-hoc work
============================================================";

fn last_line(pool: &TieredPool<impl ManageConnection>) -> String {
    let text = pool.get_database_stats().to_string();
    text.lines().rev().nth(1).expect("a box of several lines").to_owned()
}

#[test]
fn the_box_of_an_idle_pool_is_the_documented_one() {
    let pool = TieredPool::builder().build(|_| MemoryManager).unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    assert_eq!(pool.get_database_stats().to_string(), IDLE);
}

#[test]
fn the_last_line_tells_high_load_and_exhaustion() {
    let pool = TieredPool::builder()
        .total_connections(12)
        .reserved(2)
        .automation(|tier| tier.base_size(8).max_overflow(2))
        .build(|_| MemoryManager)
        .unwrap();
    let mut out: Vec<_> = (0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    assert_eq!(last_line(&pool), "✅ Healthy: 2 connections always available for ad-hoc work");
    out.push(pool.get(Tier::Automation).unwrap());
    assert_eq!(last_line(&pool), "⚠️ High Load: 9 of 10 automation connections in use");
    let stats = pool.get_database_stats();
    assert!(stats.to_string().contains("Overflow Active: 1"));
    assert_eq!((stats.load, stats.verdict, stats.is_healthy), (Load::High, Verdict::Healthy, true));
    let adhoc = [pool.get(Tier::Adhoc).unwrap(), pool.get(Tier::Adhoc).unwrap()];
    assert_eq!(last_line(&pool), "❌ EXHAUSTED: no connection left for ad-hoc work");
    let stats = pool.get_database_stats();
    assert_eq!((stats.guaranteed, stats.verdict, stats.is_healthy), (0, Verdict::Exhausted, false));
    drop((out, adhoc));
    assert!(pool.get_database_stats().is_healthy);
}

#[test]
fn an_open_breaker_is_told_with_its_cause() {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::transient("connection refused")));
    let builder = TieredPool::builder().adhoc(|tier| tier.min_idle(Some(1)));
    let pool = builder.build_unchecked(|_| manager.clone()).unwrap();
    eventually(BOUND, "the ad-hoc tier's breaker opens", || pool.adhoc().breaker() == BreakerState::Open);
    assert_eq!(last_line(&pool), "⛔ Circuit open: connection refused");
    let stats = print_connection_status(&pool);
    assert_nothing_is_promised(&stats);
    assert_eq!((stats.available, stats.guaranteed), (0, 0), "{stats}");
    let text = stats.to_string();
    assert!(
        text.contains("Available: 0\n") && text.contains("Guaranteed Available: 0 connections\n"),
        "{text}"
    );
}

#[test]
fn what_is_idle_counts_for_nothing_while_the_circuit_is_open() {
    let manager = ScriptedManager::new();
    let pool = TieredPool::builder().build(|_| manager.clone()).unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    assert_eq!(pool.get_database_stats().guaranteed, 5);
    manager.always(Call::Connect, Step::err(ScriptedError::transient("connection refused")));
    assert!(pool.automation().get_timeout(BOUND).unwrap_err().is_circuit_open());
    let stats = pool.get_database_stats();
    assert_eq!((stats.available, stats.guaranteed, stats.adhoc.gauges.idle), (0, 0, 1), "{stats}");
    assert_eq!(pool.check_pool_health().pool_stats.available, 0);
}

#[test]
fn the_reserve_is_promised_as_a_whole_and_what_is_left_of_it_is_told() {
    let pool = TieredPool::builder().build(|_| MemoryManager).unwrap();
    let person = pool.get(Tier::Adhoc).unwrap();
    let stats = pool.get_database_stats();
    assert_eq!(last_line(&pool), "✅ Healthy: 5 connections always available for ad-hoc work, 4 free now");
    let text = stats.to_string();
    assert!(text.contains("Reserved for Ad-hoc: 5 (always available)\n"), "{text}");
    assert!(text.contains("Guaranteed Available: 5 connections, 4 free now\n"), "{text}");
    assert_eq!((stats.reserved, stats.guaranteed), (5, 4));
    drop(person);
    assert_eq!(pool.get_database_stats().to_string(), IDLE);
}

#[test]
fn every_way_to_ask_gives_one_verdict() {
    let (clock, hand) = Clock::manual();
    let manager = ScriptedManager::new();
    let pool = passive(clock).build(|_| manager.clone()).unwrap();
    let verdict = || {
        let (stats, health) = (pool.get_database_stats(), pool.check_pool_health());
        assert_eq!((stats.verdict, stats.is_healthy), (health.verdict, health.is_healthy()), "{stats}");
        assert_eq!(health.healthy, health.is_healthy());
        health.verdict
    };
    assert_eq!(verdict(), Verdict::Unknown);
    let held: Vec<_> = (0..5).map(|_| pool.get(Tier::Adhoc).unwrap()).collect();
    assert_eq!(verdict(), Verdict::Exhausted);
    assert_eq!(pool.check_pool_health().message, "EXHAUSTED: no connection left for ad-hoc work");
    drop(held);
    assert_eq!(verdict(), Verdict::Healthy);
    hand.advance(61 * SECOND);
    assert_eq!(verdict(), Verdict::Unknown);
}

#[cfg(feature = "serde")]
#[test]
fn json_is_as_endpoints_document_it() {
    let pool = TieredPool::builder().build(|_| MemoryManager).unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    let health = serde_json::to_string(&pool.check_pool_health()).unwrap();
    assert_eq!(
        health,
        "{\"healthy\":true,\"message\":\"Pool healthy\",\"pool_stats\":{\"pool_size\":50,\"checked_out\":0,\
         \"overflow\":0,\"total_connections\":0,\"available\":55,\"utilization_percent\":0.0}}"
    );
    let mut first = pool.get(Tier::Automation).unwrap();
    let stats = serde_json::to_value(pool.get_pool_stats()).unwrap();
    assert_eq!((&stats["checked_out"], &stats["utilization_percent"]), (&1.into(), &1.8.into()));
    assert_eq!(
        serde_json::to_value(pool.get_pool_status(Tier::Automation)).unwrap()["utilization_percent"],
        1.8
    );
    first.mark_broken();
    drop(first);
    let closed = serde_json::to_value(pool.automation().stats()).unwrap()["closed"].clone();
    let names = ["broken", "invalid", "expired", "idle", "overflow", "evicted", "closed", "detached"];
    assert_eq!(closed.as_object().map(|causes| causes.len()), Some(names.len()));
    assert_eq!(names.map(|name| closed[name].as_u64()), [1, 0, 0, 0, 0, 0, 0, 0].map(Some));
}

#[test]
fn load_is_told_apart_from_health() {
    let pool = TieredPool::builder()
        .total_connections(22)
        .reserved(2)
        .automation(|tier| tier.base_size(5).max_overflow(15))
        .build(|_| MemoryManager)
        .unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    let mut out = vec![];
    let mut load_with = |count: usize| {
        out.resize_with(count, || pool.get(Tier::Automation).unwrap());
        let stats = pool.get_database_stats();
        assert!(stats.is_healthy, "with {count}: {stats}");
        stats.load
    };
    assert_eq!([0, 5].map(&mut load_with), [Load::Normal; 2]);
    assert_eq!([6, 17].map(&mut load_with), [Load::Overflow; 2]);
    assert_eq!([18, 20].map(&mut load_with), [Load::High; 2]);
}

#[track_caller]
fn assert_nothing_is_promised(stats: &DatabaseStats) {
    assert!(!stats.is_healthy);
    for text in [stats.to_string(), stats.plain().to_string()] {
        assert!(!text.contains("Healthy") && !text.contains("always available"), "{text}");
    }
}

/// A tier that does nothing by itself: no connection is kept or validated, and no breaker opens.
fn still<M: ManageConnection>(tier: Builder<M>) -> Builder<M> {
    tier.min_idle(Some(0)).keepalive(None).failure_threshold(0)
}

/// Two of them, with their clock in the caller's hand.
fn passive<M: ManageConnection>(clock: Clock) -> TieredBuilder<M> {
    TieredPool::builder().clock(clock).automation(still).adhoc(still)
}

#[test]
fn a_server_is_healthy_only_where_it_was_seen_and_unknown_else() {
    let (clock, hand) = Clock::manual();
    let pool = passive(clock).build(|_| MemoryManager).unwrap();
    let stats = print_connection_status(&pool);
    assert_eq!((stats.verdict, stats.contact.last_seen), (Verdict::Unknown, None));
    assert_eq!(last_line(&pool), "❓ Unknown: the server was not seen yet");
    let text = stats.plain().to_string();
    assert!(text.contains("[unknown] Unknown: ") && text.is_ascii(), "{text}");
    assert!(text.contains("Guaranteed Available: 5 connections, once the server answers"), "{text}");
    assert_nothing_is_promised(&stats);

    for tier in [Tier::Adhoc, Tier::Automation] {
        drop(pool.get(tier).unwrap());
        assert_eq!(last_line(&pool), "✅ Healthy: 5 connections always available for ad-hoc work");
        hand.advance(60 * SECOND);
        assert!(pool.get_database_stats().is_healthy, "opened a minute ago");
        hand.advance(SECOND);
        assert_eq!(last_line(&pool), "❓ Unknown: the server was last seen 61.0 s ago");
        assert_nothing_is_promised(&pool.get_database_stats());
    }
    // Idle for long, it is validated.
    drop(pool.get(Tier::Adhoc).unwrap());
    assert!(pool.get_database_stats().is_healthy, "validated just now");
}

#[test]
fn a_direct_checkout_is_no_sight_of_the_server() {
    let (clock, hand) = Clock::manual();
    let pool = passive(clock).build(|_| MemoryManager).unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    for _ in 0..610 {
        hand.advance(Duration::from_millis(100));
        drop(pool.get(Tier::Automation).unwrap());
    }
    assert_eq!(pool.get_database_stats().verdict, Verdict::Unknown);
}

#[test]
fn what_fails_after_the_server_was_seen_counts_until_it_is_seen_again() {
    let (clock, hand) = Clock::manual();
    let manager = ScriptedManager::new();
    let pool = passive(clock).build(|_| manager.clone()).unwrap();
    let held = pool.get(Tier::Automation).unwrap();
    assert!(pool.get_database_stats().is_healthy);

    manager.always(Call::Connect, Step::err(ScriptedError::transient("connection refused")));
    hand.advance(2 * SECOND);
    assert!(pool.automation().get_timeout(Duration::from_millis(100)).is_err());
    hand.advance(3 * SECOND);
    assert_eq!(last_line(&pool), "⛔ Unreachable: connection refused, 3.0 s ago");
    let stats = print_connection_status(&pool);
    assert_eq!((stats.verdict, stats.contact.last_seen), (Verdict::Unreachable, Some(5 * SECOND)));
    assert_nothing_is_promised(&stats);

    manager.always(Call::Connect, Step::ok());
    drop(pool.get(Tier::Adhoc).unwrap());
    assert_eq!(last_line(&pool), "✅ Healthy: 5 connections always available for ad-hoc work");
    drop(held);
}

#[test]
fn a_validation_without_an_answer_speaks_against_the_server() {
    let (clock, hand) = Clock::manual();
    let manager = ScriptedManager::new();
    let limit = Duration::from_millis(50);
    let builder = passive(clock).adhoc(|tier| still(tier).validation_timeout(limit));
    let pool = builder.build(|_| manager.clone()).unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    manager.always(Call::IsValid, Step::ok().after(20 * limit));
    manager.always(Call::Connect, Step::ok().after(20 * limit));
    hand.advance(SECOND);
    assert!(pool.adhoc().get_timeout(4 * limit).is_err());
    let stats = pool.get_database_stats();
    assert_eq!(stats.verdict, Verdict::Unreachable, "{stats}");
    assert!(stats.message.contains("a validation had no answer within 50 ms"), "{stats}");
}

#[test]
fn a_reserve_that_the_server_does_not_give_is_short() {
    let (clock, _hand) = Clock::manual();
    let manager = ScriptedManager::new();
    let builder = passive(clock).adhoc(|tier| still(tier).driver(Box::new(ScriptedDriver::new())));
    let pool = builder.build(|_| manager.clone()).unwrap();
    let held = pool.get(Tier::Automation).unwrap();
    manager.always(Call::Connect, Step::err(ScriptedError::exhausted()));
    assert!(pool.adhoc().get_timeout(Duration::from_millis(100)).is_err());
    let stats = pool.get_database_stats();
    assert_eq!((stats.verdict, stats.guaranteed, stats.reserved), (Verdict::Exhausted, 0, 5), "{stats}");
    let told = stats.message.strip_prefix("EXHAUSTED: no connection for ad-hoc work can be opened: ");
    assert_eq!(told, stats.adhoc.last_open_failure.as_deref(), "{stats}");
    assert_nothing_is_promised(&stats);
    drop(held);
}
