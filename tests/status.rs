//! The status box to the letter, and its last line by state.

mod support;

use support::scripted::{Call, ScriptedError, ScriptedManager, Step};
use support::wait::{BOUND, eventually};
use tierpool::{BreakerState, MemoryManager, Tier, TieredPool};

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

fn last_line(pool: &TieredPool<impl tierpool::ManageConnection>) -> String {
    let text = pool.get_database_stats().to_string();
    text.lines().rev().nth(1).expect("a box of several lines").to_owned()
}

#[test]
fn the_box_of_an_idle_pool_is_the_documented_one() {
    let pool = TieredPool::builder().build(|_| MemoryManager).unwrap();
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
    assert!(pool.get_database_stats().to_string().contains("Overflow Active: 1"));
    let adhoc = [pool.get(Tier::Adhoc).unwrap(), pool.get(Tier::Adhoc).unwrap()];
    assert_eq!(last_line(&pool), "❌ EXHAUSTED: no connection left for ad-hoc work");
    assert!(!pool.get_database_stats().is_healthy);
    drop((out, adhoc));
    assert!(pool.get_database_stats().is_healthy);
}

#[test]
fn an_open_breaker_is_told_with_its_cause() {
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::transient("connection refused")));
    let pool = TieredPool::builder().build_unchecked(|_| manager.clone()).unwrap();
    eventually(BOUND, "the ad-hoc tier's breaker opens", || pool.adhoc().breaker() == BreakerState::Open);
    let line = last_line(&pool);
    assert_eq!(line, "⛔ Circuit open: connection refused");
}
