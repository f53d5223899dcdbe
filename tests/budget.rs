//! A budget that changes at run time: as a whole or not at all, and never passed on the way.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use support::scripted::ScriptedManager;
use support::stress::{length, seed};
use support::wait::{BOUND, LONG_BOUND, Over, eventually};
use tierpool::{Driver, ErrorKind, ManageConnection, Tier, TieredBuilder, TieredPool, TieredSettings};

const TOTAL: u32 = 10;
const SHORT: Duration = Duration::from_millis(50);

/// Eight for automation, two for people.
fn builder<M: ManageConnection>() -> TieredBuilder<M> {
    TieredPool::builder()
        .total_connections(TOTAL)
        .reserved(2)
        .automation(|tier| tier.base_size(8).max_overflow(0))
        .adhoc(|tier| tier.min_idle(Some(0)))
}

type Change = fn(&mut TieredSettings);

/// Gives automation so many, and the rest to people.
fn split(settings: &mut TieredSettings, automation: u32) {
    settings.automation.base_size = automation;
    settings.reserved = settings.total_connections - automation;
}

fn ceilings<M: ManageConnection>(pool: &TieredPool<M>) -> (u32, u32, u32) {
    (pool.total_connections(), pool.automation().max_size(), pool.reserved())
}

#[test]
fn a_change_of_the_budget_is_refused_as_a_whole_or_applied_as_a_whole() {
    let pool = builder().build(|_| ScriptedManager::new()).unwrap();
    let before = [pool.automation().settings(), pool.adhoc().settings()];
    let error = pool
        .reconfigure(|settings| {
            settings.total_connections = 9;
            settings.automation.connection_timeout = SHORT;
            settings.adhoc.validation_timeout = Duration::ZERO;
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let text = error.to_string();
    for part in ["total_connections is 9: must be at least 10: automation 8", "adhoc.validation_timeout"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    assert_eq!([pool.automation().settings(), pool.adhoc().settings()], before);
    let faulty: [(Change, &str); 3] = [
        (|settings| settings.reserved = 0, "reserved is 0"),
        (|settings| settings.adhoc.base_size = 1, "reserved is 2: must be the ceiling of the ad-hoc"),
        (|settings| settings.automation.base_size = 11, "automation 11"),
    ];
    for (change, part) in faulty {
        let change = |settings: &mut TieredSettings| {
            settings.total_connections = 12;
            change(settings);
        };
        let text = pool.reconfigure(change).unwrap_err().to_string();
        assert!(text.contains(part), "{part:?} is missing in: {text}");
        assert_eq!(ceilings(&pool), (TOTAL, 8, 2));
    }

    pool.reconfigure(|settings| {
        settings.total_connections = 12;
        settings.automation.name = "other".to_owned();
        settings.automation.connection_timeout = SHORT;
        split(settings, 5);
    })
    .unwrap();
    assert_eq!(ceilings(&pool), (12, 5, 7));
    let settings = pool.automation().settings();
    assert_eq!((settings.connection_timeout, settings.name.as_str()), (SHORT, "automation"));
    // Each tier by itself stays within its part, which is another one now.
    pool.automation().reconfigure(|settings| settings.base_size = 4).unwrap();
    let error = pool.automation().reconfigure(|settings| settings.base_size = 6).unwrap_err();
    assert!(error.to_string().contains("must not exceed 5"), "{error}");
    assert_eq!(pool.clone().total_connections(), 12, "a clone is the same pool");
}

#[test]
fn a_division_of_the_reserve_stays_unless_the_reserve_is_changed() {
    let pool = builder().build(|_| ScriptedManager::new()).unwrap();
    let sizes = || {
        let settings = pool.adhoc().settings();
        (settings.base_size, settings.max_overflow)
    };
    pool.adhoc().reconfigure(|settings| (settings.base_size, settings.max_overflow) = (1, 1)).unwrap();
    pool.reconfigure(|settings| settings.automation.connection_timeout = SHORT).unwrap();
    assert_eq!(sizes(), (1, 1), "an unrelated change");
    let text = pool
        .reconfigure(|settings| {
            settings.total_connections = 12;
            settings.reserved = 4;
            (settings.adhoc.base_size, settings.adhoc.max_overflow) = (2, 0);
        })
        .unwrap_err()
        .to_string();
    assert!(text.contains("reserved is 4: must be the ceiling of the ad-hoc tier, which is 2"), "{text}");
    pool.reconfigure(|settings| {
        settings.total_connections = 12;
        settings.reserved = 4;
        (settings.adhoc.base_size, settings.adhoc.max_overflow) = (3, 1);
    })
    .unwrap();
    assert_eq!(sizes(), (3, 1), "both changed, and they agree");
    pool.reconfigure(|settings| settings.reserved = 3).unwrap();
    assert_eq!(sizes(), (3, 0));
}

#[test]
fn a_tier_grows_only_as_the_excess_of_the_other_is_closed() {
    let pool = builder().build(|_| ScriptedManager::new()).unwrap();
    let mut automation: Vec<_> = (0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    let mut people: Vec<_> = (0..2).map(|_| pool.get(Tier::Adhoc).unwrap()).collect();
    pool.reconfigure(|settings| split(settings, 3)).unwrap();
    assert_eq!(ceilings(&pool), (TOTAL, 3, 7));
    let refused = || pool.adhoc().get_timeout(SHORT).is_err_and(|error| error.is_timeout());
    assert!(thread::scope(|scope| scope.spawn(refused).join().unwrap()), "all ten are there still");
    // Somebody waits, and is served as soon as one is closed; another one is not.
    while automation.len() > 3 {
        thread::scope(|scope| {
            let waiter = scope.spawn(|| pool.adhoc().get_timeout(BOUND).unwrap());
            eventually(BOUND, "somebody waits", || pool.adhoc().gauges().waiting == 1);
            drop(automation.pop());
            people.push(waiter.join().unwrap());
            assert!(scope.spawn(refused).join().unwrap(), "with {} out", automation.len());
        });
    }
    assert_eq!((pool.automation().gauges().size(), pool.adhoc().gauges().size()), (3, 7));
    // And back.
    drop((automation, people));
    pool.reconfigure(|settings| split(settings, 8)).unwrap();
    let all: Vec<_> = (0..8).map(|_| pool.automation().get_timeout(BOUND).unwrap()).collect();
    assert_eq!(pool.adhoc().gauges().size(), 2);
    drop(all);
}

#[test]
fn a_timeout_says_that_growth_waits_for_the_other_tier_and_only_where_it_does() {
    let pool = builder().build(|_| ScriptedManager::new()).unwrap();
    let refused = || thread::scope(|scope| scope.spawn(|| pool.adhoc().get_timeout(SHORT)).join().unwrap());
    let told = || {
        let error = refused().unwrap_err();
        let waits = "5 of the 7 cannot be opened before the other tier has closed as many";
        [error.to_string(), format!("{error:#}")].map(|text| text.contains(waits))
    };
    let mut automation: Vec<_> = (0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    let mut people: Vec<_> = (0..2).map(|_| pool.get(Tier::Adhoc).unwrap()).collect();
    assert_eq!(told(), [false, false], "they are all that it is to have");
    pool.reconfigure(|settings| split(settings, 3)).unwrap();
    assert_eq!(told(), [true, true]);
    automation.truncate(3);
    people.extend((0..5).map(|_| pool.adhoc().get_timeout(BOUND).unwrap()));
    assert!(!refused().unwrap_err().to_string().contains("other tier"));
}

#[test]
fn idle_connections_of_the_shrinking_tier_are_closed_for_the_other() {
    let pool = builder().build(|_| ScriptedManager::new()).unwrap();
    drop((0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect::<Vec<_>>());
    assert_eq!(pool.automation().gauges().idle, 8);
    pool.reconfigure(|settings| split(settings, 1)).unwrap();
    let people: Vec<_> = (0..9).map(|_| pool.adhoc().get_timeout(LONG_BOUND).unwrap()).collect();
    assert_eq!(pool.automation().gauges().size(), 1);
    drop(people);
    // A larger budget is room at once, a smaller one closes what is idle.
    pool.reconfigure(|settings| {
        settings.total_connections = 12;
        settings.automation.base_size = 3;
    })
    .unwrap();
    let automation: Vec<_> = (0..3).map(|_| pool.automation().get_timeout(BOUND).unwrap()).collect();
    pool.reconfigure(|settings| {
        settings.total_connections = 5;
        settings.automation.base_size = 3;
        settings.reserved = 2;
    })
    .unwrap();
    eventually(BOUND, "the excess is closed", || pool.adhoc().gauges().size() == 2);
    drop(automation);
}

/// Counts what is there from the call that opens it to the end of the connection, over both tiers, and opens badly
/// now and then.
#[derive(Clone, Default)]
struct Counting(Arc<Counts>);

#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    live: AtomicUsize,
    most: AtomicUsize,
}

struct Live(Arc<Counts>);

impl Drop for Live {
    fn drop(&mut self) {
        thread::yield_now();
        self.0.live.fetch_sub(1, SeqCst);
    }
}

impl ManageConnection for Counting {
    type Connection = Live;
    type Error = std::fmt::Error;

    fn connect(&self) -> Result<Live, std::fmt::Error> {
        let live = self.0.live.fetch_add(1, SeqCst) + 1;
        self.0.most.fetch_max(live, SeqCst);
        let conn = Live(Arc::clone(&self.0));
        thread::yield_now();
        if self.0.opened.fetch_add(1, SeqCst) % 16 == 15 { Err(std::fmt::Error) } else { Ok(conn) }
    }

    fn is_valid(&self, _: &mut Live) -> Result<(), std::fmt::Error> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Live) -> bool {
        fastrand::u8(..16) == 0
    }
}

/// Has every connection count until it is gone: none becomes a zombie, which the budget does not count.
struct Patient;

impl Driver<Counting> for Patient {
    fn close_grace(&self) -> Duration {
        10 * LONG_BOUND
    }
}

#[test]
fn whatever_moves_between_the_tiers_open_and_opening_never_pass_the_budget() {
    let manager = Counting::default();
    let builder = builder()
        .automation(|tier| tier.failure_threshold(0).driver(Box::new(Patient)))
        .adhoc(|tier| tier.failure_threshold(0).driver(Box::new(Patient)));
    let pool = builder.build_unchecked(|_| manager.clone()).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Over(&over);
        for tier in [Tier::Automation, Tier::Adhoc] {
            for _ in 0..6 {
                let (pool, over) = (&pool, &over);
                scope.spawn(move || {
                    while !over.load(SeqCst) {
                        let held = pool.tier(tier).get_timeout(SHORT);
                        thread::yield_now();
                        drop(held);
                    }
                });
            }
        }
        // Two that change it at the same time, so that no change is half of each.
        let movers = [seed(), seed()].map(|seed| {
            let pool = &pool;
            scope.spawn(move || {
                let (mut choices, begun) = (fastrand::Rng::with_seed(seed), Instant::now());
                while begun.elapsed() < length(2) {
                    let automation = choices.u32(1..TOTAL);
                    pool.reconfigure(|settings| split(settings, automation)).unwrap();
                    assert_eq!(pool.total_connections(), TOTAL);
                    thread::yield_now();
                }
            })
        });
        movers.into_iter().for_each(|mover| mover.join().unwrap());
    });
    let (opened, most) = (manager.0.opened.load(SeqCst), manager.0.most.load(SeqCst));
    assert!(most <= TOTAL as usize, "{most} at once, of {opened}");
    assert!(opened > 100, "only {opened} were opened");
    assert_eq!(pool.automation().max_size() + pool.reserved(), TOTAL);
    // Nothing is lost by it: each tier can have all of its part.
    for tier in [Tier::Automation, Tier::Adhoc] {
        let size = pool.tier(tier).max_size();
        let all: Vec<_> = (0..size).map(|_| pool.tier(tier).get_timeout(LONG_BOUND).unwrap()).collect();
        assert_eq!(all.len(), size as usize);
    }
}

#[test]
fn a_change_in_the_middle_of_another_is_no_fault() {
    let pool = builder().build_unchecked(|_| ScriptedManager::new()).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ends = Over(&over);
            for round in 0..12_000_u32 {
                pool.reconfigure(|settings| split(settings, if round % 2 == 0 { 3 } else { 8 })).unwrap();
            }
        });
        scope.spawn(|| {
            while !over.load(SeqCst) {
                pool.reconfigure(|settings| settings.automation.connection_timeout += SHORT).unwrap();
            }
        });
        // Faults are told of one moment, and these hold nothing that would keep others from changing it meanwhile.
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let refused = pool.reconfigure(|settings| settings.adhoc.min_size = 99).unwrap_err();
                    assert!(!refused.to_string().contains("total_connections"), "{refused}");
                }
            });
        }
        while !over.load(SeqCst) {
            pool.automation().reconfigure(|settings| settings.connection_timeout += SHORT).unwrap();
        }
    });
    assert_eq!(ceilings(&pool), (TOTAL, 8, 2));
}

#[test]
fn what_a_tier_will_get_is_not_promised_before_the_other_has_closed_it() {
    let pool = builder().build_unchecked(|_| ScriptedManager::new()).unwrap();
    let held: Vec<_> = (0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    pool.reconfigure(|settings| split(settings, 3)).unwrap();
    let stats = pool.get_database_stats();
    assert_eq!((stats.reserved, stats.guaranteed, stats.adhoc.ceiling), (7, 2, 2));
    let people: Vec<_> = (0..2).map(|_| pool.get(Tier::Adhoc).unwrap()).collect();
    let error = pool.adhoc().get_timeout(SHORT).unwrap_err().to_string();
    assert!(error.contains("(2 of 2 connections: 0 idle, 2 in use"), "{error}");
    drop(people);
    drop(held);
    eventually(BOUND, "the room is free", || pool.get_database_stats().guaranteed == 7);
}
