//! The status box of a PostgreSQL pool: healthy only where the server was seen, and asked before it is printed.
#![cfg(feature = "postgres")]

mod support;

use std::time::Duration;

use support::cluster::cluster;
use support::pools::pool_of;
use support::port::free_port;
use support::wait::{LONG_BOUND, SECOND, SLACK, eventually, within};
use tierpool::report::Verdict;
use tierpool::{Clock, DatabaseStats, PgBuilder, PgPool, Tier};

const LIMIT: Duration = Duration::from_millis(500);

/// One ad-hoc connection, and no background validation.
fn quiet(url: &str, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    pool_of(2, "status", url, |builder| {
        let builder = builder.reserved(1).inquiry_timeout(LIMIT);
        change(builder.automation(|tier| tier.keepalive(None)).adhoc(|tier| tier.keepalive(None)))
    })
}

#[track_caller]
fn assert_nothing_is_promised(stats: &DatabaseStats) {
    let text = stats.to_string();
    assert!(!stats.is_healthy && !text.contains("Healthy") && !text.contains("always available"), "{text}");
}

#[test]
fn a_dead_port_is_never_healthy() {
    let url = format!("postgresql://app@127.0.0.1:{}/news", free_port().unwrap());
    for threshold in [0, 3] {
        let builder = PgPool::builder().url(url.as_str()).inquiry_timeout(LIMIT);
        let change = move |tier: tierpool::Builder<_>| tier.min_idle(Some(0)).failure_threshold(threshold);
        let pool = builder.automation(change).adhoc(change).build_unchecked().unwrap();
        let fresh = pool.get_database_stats();
        assert_eq!(fresh.verdict, Verdict::Unknown, "nobody has tried yet");
        assert_nothing_is_promised(&fresh);
        // By either name; on the second look there is nothing left to try.
        let looks: [fn(&PgPool) -> DatabaseStats; 3] = [
            |pool| pool.print_connection_status(),
            |pool| tierpool::print_connection_status(pool),
            |pool| pool.print_verbose_connection_status().stats,
        ];
        for look in looks {
            let stats = within(LIMIT + SLACK, "the status", || look(&pool));
            assert_nothing_is_promised(&stats);
            assert!(stats.message.contains("refused"), "{stats}");
        }
    }
}

#[test]
fn the_server_is_asked_before_the_box_is_printed_and_not_for_the_numbers() {
    let cluster = cluster();
    let (clock, hand) = Clock::manual();
    // Over a Unix socket nobody reads along, so that what the pool has noted is all.
    let pool = quiet(&cluster.url_unix(), |builder| builder.clock(clock));
    assert!(pool.get_database_stats().is_healthy, "built, so it was seen");
    hand.advance(61 * SECOND);
    for _ in 0..3 {
        assert_eq!(pool.get_database_stats().verdict, Verdict::Unknown);
    }
    let stats = pool.print_connection_status();
    assert_eq!((stats.verdict, stats.guaranteed), (Verdict::Healthy, 1), "{stats}");
    assert!(pool.get_database_stats().contact.last_seen < Some(SECOND));
}

#[test]
fn a_reply_to_a_borrower_is_a_sight_of_the_server() {
    let cluster = cluster();
    let (clock, hand) = Clock::manual();
    let pool = quiet(&cluster.url(), |builder| builder.clock(clock));
    let mut held = pool.get(Tier::Automation).unwrap();
    hand.advance(61 * SECOND);
    held.batch_execute("SELECT 1").unwrap();
    assert!(pool.get_database_stats().is_healthy);
    // What a connection has heard stays known when it is gone.
    hand.advance(61 * SECOND);
    held.batch_execute("SELECT 1").unwrap();
    held.close();
    pool.adhoc().evict_idle();
    eventually(LONG_BOUND, "all are closed", || {
        pool.automation().gauges().size() + pool.adhoc().gauges().size() == 0
    });
    assert!(pool.get_database_stats().is_healthy);
}

#[test]
fn an_outage_is_told_and_so_is_its_end() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = quiet(&url, |builder| builder);
        assert!(pool.print_connection_status().is_healthy);
        cluster.stop_fast();
        eventually(LONG_BOUND, "it is noticed", || !pool.verbose_connection_status().stats.is_healthy);
        let stats = pool.print_connection_status();
        assert!(matches!(stats.verdict, Verdict::Unreachable | Verdict::CircuitOpen), "{stats}");
        assert_nothing_is_promised(&stats);
        cluster.start();
        eventually(LONG_BOUND, "it is back", || pool.verbose_connection_status().stats.is_healthy);
    }
}

#[test]
fn a_frozen_server_is_unreachable_within_the_limit() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = quiet(&url, |builder| builder);
        assert!(pool.verbose_connection_status().stats.is_healthy);
        // What the pool has in hand, to open it or to put it in order, may have its last answer already, which is a
        // sign of life when it is read.
        eventually(LONG_BOUND, "the pool is at rest", || {
            [pool.automation(), pool.adhoc()]
                .iter()
                .all(|tier| tier.gauges().opening + tier.gauges().in_use == 0)
        });
        cluster.freeze_all();
        let stats = within(LIMIT + SLACK, "the status", || pool.verbose_connection_status().stats);
        cluster.thaw_all();
        assert_eq!(stats.verdict, Verdict::Unreachable, "{stats}");
        assert_nothing_is_promised(&stats);
        eventually(LONG_BOUND, "it is back", || pool.verbose_connection_status().stats.is_healthy);
    }
}

#[test]
fn borrowers_who_have_the_whole_reserve_say_nothing_against_the_server() {
    let cluster = cluster();
    let pool = quiet(&cluster.url(), |builder| builder);
    let held = pool.get(Tier::Adhoc).unwrap();
    let stats =
        std::thread::scope(|scope| scope.spawn(|| pool.verbose_connection_status().stats).join().unwrap());
    assert_eq!((stats.verdict, stats.contact.failure), (Verdict::Exhausted, None));
    drop(held);
    assert!(pool.get_database_stats().is_healthy);
}

#[test]
fn borrowers_who_have_all_that_the_reserve_comes_to_so_far_say_nothing_against_the_server() {
    let cluster = cluster();
    let pool = quiet(&cluster.url(), |builder| builder.base_size(3).max_overflow(0));
    let held: Vec<_> = (0..3).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    let person = pool.get(Tier::Adhoc).unwrap();
    // Automation holds what the reserve is to grow by.
    pool.reconfigure(|settings| {
        settings.reserved = 3;
        settings.automation.base_size = 1;
    })
    .unwrap();
    let asked = || std::thread::scope(|scope| scope.spawn(|| pool.print_connection_status()).join().unwrap());
    assert!(pool.check_health(true).message.contains("no connection of pool"));
    let stats = asked();
    assert_eq!((stats.verdict, stats.contact.failure), (Verdict::Exhausted, None));
    drop((held, person));
}

#[test]
fn a_question_that_suspended_lending_holds_up_says_nothing_against_the_server() {
    let cluster = cluster();
    let pool = quiet(&cluster.url(), |builder| builder);
    assert!(pool.adhoc().suspend());
    let stats = pool.verbose_connection_status().stats;
    assert!(!stats.is_healthy && stats.contact.failure.is_none(), "{stats}");
    assert_eq!(stats.message, "Suspended: lending of the ad-hoc tier is suspended");
    let health = pool.check_health(true);
    assert!(!health.healthy && health.message.contains("; lending is suspended ("), "{health}");
    assert!(pool.adhoc().resume());
    assert!(pool.print_connection_status().is_healthy);
}

/// An automation tier and an ad-hoc one that each have an address of their own.
fn apart(automation: &str, adhoc: &str) -> PgPool {
    let change = |tier: tierpool::Builder<_>| tier.min_idle(Some(0)).keepalive(None).failure_threshold(0);
    let builder = PgPool::builder().url(automation).adhoc_url(adhoc).inquiry_timeout(LIMIT);
    builder.automation(change).adhoc(change).build_unchecked().unwrap()
}

#[test]
fn a_reply_to_automation_says_nothing_of_another_server_that_adhoc_work_leads_to() {
    let cluster = cluster();
    let dead = format!("postgresql://app@127.0.0.1:{}/news", free_port().unwrap());
    let pool = apart(&cluster.url(), &dead);
    let reply = || pool.get(Tier::Automation).unwrap().batch_execute("SELECT 1").unwrap();
    reply();
    let stats = pool.get_database_stats();
    assert_eq!(stats.message, "Unknown: the server for ad-hoc work was not seen yet");
    assert_eq!(pool.check_pool_health().verdict, Verdict::Unknown);
    assert_nothing_is_promised(&pool.print_connection_status());
    reply();
    for stats in [pool.get_database_stats(), pool.print_connection_status()] {
        assert_eq!(stats.verdict, Verdict::Unreachable, "{stats}");
        assert!(stats.message.starts_with("Unreachable for ad-hoc work: "), "{stats}");
        assert_nothing_is_promised(&stats);
    }
    for tier in [Tier::Automation, Tier::Adhoc] {
        assert_eq!(pool.check_pool_health_with(tier, Default::default()).verdict, Verdict::Unreachable);
    }
}

#[test]
fn an_answer_to_adhoc_work_says_nothing_of_another_server_that_automation_leads_to() {
    let cluster = cluster();
    let dead = format!("postgresql://app@127.0.0.1:{}/news", free_port().unwrap());
    let pool = apart(&dead, &cluster.url());
    let stats = pool.print_connection_status();
    let unseen = ", automation's server was not seen yet";
    assert!(stats.is_healthy && stats.message.ends_with(unseen), "the reserve is there: {stats}");
    assert!(pool.automation().get_timeout(LIMIT).is_err());
    assert!(pool.check_health(true).healthy);
    let stats = pool.get_database_stats();
    assert_eq!(stats.verdict, Verdict::Unreachable, "{stats}");
    assert!(stats.message.starts_with("Unreachable for automation: "), "{stats}");
}
