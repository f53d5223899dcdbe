//! Events and log lines: what is told, to whom, how often, and at which level.

mod support;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use log::{Level, LevelFilter};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use support::logged::{self, capture, lines};
use support::scripted::{Call, Parts, ScriptedError, Step, still};
use support::wait::{BOUND, SECOND, eventually};
use tierpool::config::PrePing;
use tierpool::event::{
    AcquireEvent, BreakerEvent, CheckinEvent, CheckoutEvent, Event, HandleEvent, LongHoldEvent, ReleaseEvent,
    SlowCheckoutEvent, SuspectEvent, TimeoutEvent,
};
use tierpool::stats::{BreakerState, CloseCause};
use tierpool::{MemoryManager, NopErrorHandler, Pool};

/// Held for reading by each test, and for writing by the one that changes the level.
static LEVEL: RwLock<()> = RwLock::new(());

fn logging() -> RwLockReadGuard<'static, ()> {
    let guard = LEVEL.read();
    capture(LevelFilter::Debug);
    guard
}

fn builder(name: &str) -> Parts {
    still(|builder| builder.name(name).max_size(1).error_handler(Box::new(NopErrorHandler)))
}

/// A handler that writes down what it is told.
#[derive(Clone, Debug, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, text: impl Into<String>) {
        self.0.lock().push(text.into());
    }

    fn count(&self, text: &str) -> usize {
        self.0.lock().iter().filter(|line| line.as_str() == text).count()
    }
}

impl HandleEvent for Diary {
    fn handle_acquire(&self, _: AcquireEvent) {
        self.note("opened");
    }

    fn handle_release(&self, event: ReleaseEvent) {
        self.note(format!("closed {}", event.cause().as_str()));
    }

    fn handle_checkout(&self, _: CheckoutEvent) {
        self.note("checked out");
    }

    fn handle_timeout(&self, event: TimeoutEvent) {
        self.note(format!("timed out {:?}", event.timeout()));
    }

    fn handle_checkin(&self, _: CheckinEvent) {
        self.note("checked in");
    }

    fn handle_breaker(&self, event: BreakerEvent) {
        self.note(format!("breaker {:?}", event.state()));
    }

    fn handle_suspect(&self, _: SuspectEvent) {
        self.note("suspect");
    }

    fn handle_slow_checkout(&self, _: SlowCheckoutEvent) {
        self.note("slow checkout");
    }

    fn handle_long_hold(&self, event: LongHoldEvent) {
        self.note(format!("long hold {:?}", event.holder().tag));
    }
}

fn name_of(event: &Event) -> &'static str {
    match event {
        Event::Opened(_) => "opened",
        Event::Closed(_) => "closed",
        Event::CheckedOut(_) => "checked out",
        Event::CheckedIn(_) => "checked in",
        Event::TimedOut(_) => "timed out",
        Event::Breaker(_) => "breaker",
        Event::Suspect(_) => "suspect",
        Event::SlowCheckout(_) => "slow checkout",
        Event::LongHold(_) => "long hold",
        _ => "another",
    }
}

#[test]
fn handler_and_channel_are_told_of_every_kind_of_event() {
    let _level = logging();
    let (builder, hand, manager) = builder("every-kind");
    let diary = Diary::default();
    let pool = builder
        .event_handler(Box::new(diary.clone()))
        .deadlock_detection(false)
        .slow_checkout(Some(Duration::from_nanos(1)))
        .leak_threshold(Some(10 * SECOND))
        .failure_threshold(1)
        .build_unchecked(manager.clone());
    let events = pool.subscribe(100);
    let mut conn = pool.get().unwrap();
    conn.tag("job 7");
    let limit = Duration::from_millis(20);
    assert!(pool.get_timeout(limit).is_err());
    hand.advance(10 * SECOND);
    eventually(BOUND, "the long hold is seen", || diary.count("long hold Some(\"job 7\")") == 1);
    manager.kill_all();
    manager.always(Call::Connect, Step::err(ScriptedError::transient("down")));
    drop(conn);
    assert!(pool.get_timeout(BOUND).is_err());
    eventually(BOUND, "it is closed", || diary.count("closed broken") == 1);
    let told =
        ["opened", "checked out", "slow checkout", "timed out 20ms", "checked in", "suspect", "breaker Open"];
    for text in told {
        eventually(BOUND, text, || diary.count(text) > 0);
        assert_eq!(diary.count(text), 1, "{text}: {:?}", diary.0.lock());
    }
    let mut sent: Vec<_> = events.try_iter().map(|event| name_of(&event)).collect();
    sent.sort_unstable();
    let all = [
        "breaker",
        "checked in",
        "checked out",
        "closed",
        "long hold",
        "opened",
        "slow checkout",
        "suspect",
        "timed out",
    ];
    assert_eq!(sent, all);
}

#[test]
fn a_full_channel_loses_its_oldest_events_and_counts_them() {
    let _level = logging();
    let (builder, _hand, manager) = builder("full-channel");
    let pool = builder.build(manager).unwrap();
    let events = pool.subscribe(4);
    for _ in 0..10 {
        drop(pool.get().unwrap());
    }
    assert_eq!(events.len(), 4);
    eventually(BOUND, "the loss is counted", || pool.stats().events_lost == 21 - 4);
    assert_eq!(events.try_iter().map(|event| name_of(&event)).last(), Some("checked in"), "the newest stays");
    drop(events);
    drop(pool.get().unwrap());
    assert_eq!(pool.stats().events_lost, 17, "nobody listens, nothing is lost");
}

#[test]
fn every_checkout_is_told_to_end_and_every_connection_to_go() {
    let _level = logging();
    let pool = Pool::builder().max_size(2).build(MemoryManager).unwrap();
    let events = pool.subscribe(64);
    pool.get().unwrap().detach();
    pool.get().unwrap().close();
    let (mut out, mut back, mut gone) = (0, 0, Vec::new());
    eventually(BOUND, "both are gone", || {
        for event in events.try_iter() {
            match event {
                Event::CheckedOut(_) => out += 1,
                Event::CheckedIn(_) => back += 1,
                Event::Closed(event) => gone.push(event.cause()),
                _ => {}
            }
        }
        gone.len() == 2
    });
    assert_eq!((out, back), (2, 2));
    assert!(gone.contains(&CloseCause::Detached) && gone.contains(&CloseCause::Evicted), "{gone:?}");
}

#[derive(Debug)]
struct Panicking;

impl HandleEvent for Panicking {
    fn handle_checkout(&self, _: CheckoutEvent) {
        panic!("in a handler");
    }

    fn handle_checkin(&self, _: CheckinEvent) {
        panic!("in a handler");
    }
}

#[test]
fn a_panic_in_a_handler_harms_nobody_and_is_counted_and_logged() {
    let _level = logging();
    let (builder, hand, manager) = builder("panicking");
    let pool = builder.event_handler(Box::new(Panicking)).build(manager).unwrap();
    let logged = || lines("panicking", Level::Error, "the event handler panicked: in a handler").len();
    for turn in 1..=2 {
        for _ in 0..5 {
            drop(pool.get_timeout(BOUND).unwrap());
        }
        assert_eq!((pool.gauges().idle, pool.stats().user_panics), (1, 10 * turn));
        assert_eq!(logged(), turn as usize, "once in a while");
        hand.advance(10 * SECOND);
    }
}

#[test]
fn settings_are_logged_once_at_the_start_and_each_checkout_and_checkin_at_debug() {
    let _level = logging();
    let (builder, _hand, manager) = builder("plain-lines");
    // Of a pool of one a single checkout is all, which the keeper may come to see and warn of.
    let pool = builder.max_size(20).build(manager).unwrap();
    for _ in 0..3 {
        drop(pool.get().unwrap());
    }
    assert_eq!(lines("plain-lines", Level::Info, "validation_timeout: 5s").len(), 1);
    assert_eq!(lines("plain-lines", Level::Debug, "lent").len(), 3);
    assert_eq!(lines("plain-lines", Level::Debug, "returned").len(), 3);
    assert_eq!(lines("plain-lines", Level::Debug, "opened").len(), 1);
    assert!(lines("plain-lines", Level::Warn, "").is_empty());
}

#[test]
fn with_the_level_off_a_checkout_does_not_come_near_the_logger() {
    let _alone = LEVEL.write();
    capture(LevelFilter::Info);
    let (builder, _hand, manager) = builder("level-off");
    // Of a pool of one the keeper may come to see a checkout as all, and warn of it.
    let pool = builder.max_size(20).build(manager).unwrap();
    drop(pool.get().unwrap());
    // Threads of pools that other tests have dropped may still log.
    let mine = || logged::of("level-off").len();
    let before = mine();
    for _ in 0..100 {
        drop(pool.get().unwrap());
    }
    assert_eq!(mine(), before);
    assert!(pool.stats().checkouts.direct >= 100);
}

#[test]
fn a_pool_nearly_used_up_is_warned_of_once_until_it_is_over() {
    let _level = logging();
    let (builder, hand, manager) = builder("crowded");
    let pool = builder.max_size(10).build(manager).unwrap();
    let mut held: Vec<_> = (0..9).map(|_| pool.get().unwrap()).collect();
    hand.advance(SECOND);
    held.push(pool.get().unwrap());
    let warned = || lines("crowded", Level::Warn, "10 of 10 connections in use").len();
    eventually(BOUND, "a warning", || {
        hand.advance(SECOND);
        warned() == 1
    });
    for _ in 0..5 {
        hand.advance(SECOND);
    }
    held.clear();
    eventually(BOUND, "the end of it is told", || {
        hand.advance(SECOND);
        lines("crowded", Level::Info, "in use again").len() == 1
    });
    assert_eq!((warned(), lines("crowded", Level::Warn, "").len()), (1, 1), "nine of ten are not above 90 %");
}

#[test]
fn a_long_hold_is_warned_of_once_and_its_return_is_told() {
    let _level = logging();
    for (name, closes) in [("leak-returned", false), ("leak-closed", true)] {
        let (builder, hand, manager) = builder(name);
        let pool = builder.max_size(20).leak_threshold(Some(60 * SECOND)).build(manager).unwrap();
        let mut conn = pool.get().unwrap();
        conn.tag("forgotten");
        hand.advance(59 * SECOND);
        let quick = pool.get().unwrap();
        hand.advance(SECOND);
        eventually(BOUND, "a warning", || lines(name, Level::Warn, "[forgotten] for 60.0 s").len() == 1);
        for _ in 0..5 {
            hand.advance(SECOND);
        }
        drop(quick);
        assert!(lines(name, Level::Info, "came back").is_empty());
        if closes {
            conn.close();
        } else {
            drop(conn);
        }
        assert_eq!(lines(name, Level::Info, "came back after 65.0 s").len(), 1, "{name}");
        assert_eq!((lines(name, Level::Warn, "").len(), pool.stats().long_holds), (1, 1));
    }
}

#[test]
fn the_breaker_is_one_error_line_and_a_warning_when_it_closes() {
    let _level = logging();
    let (builder, hand, manager) = builder("breaker");
    manager.script(Call::Connect, vec![Step::err(ScriptedError::transient("connection refused")); 6]);
    let pool = builder.max_size(8).failure_threshold(3).build_unchecked(manager);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| pool.get_timeout(BOUND).err());
        }
        eventually(BOUND, "it opens", || {
            hand.advance(Duration::from_millis(100));
            pool.stats().breaker_openings == 1
        });
    });
    eventually(BOUND, "it closes", || {
        hand.advance(SECOND);
        pool.breaker() == BreakerState::Closed
    });
    eventually(BOUND, "that is told", || lines("breaker", Level::Warn, "circuit breaker closed").len() == 1);
    let opened = lines("breaker", Level::Error, "");
    assert!(opened.len() == 1 && opened[0].contains("connection refused"), "{opened:?}");
}

#[test]
fn no_line_is_repeated_for_each_worker() {
    let _level = logging();
    let (builder, _hand, manager) = builder("chorus");
    let pool = builder
        .max_size(20)
        .slow_checkout(Some(Duration::from_nanos(1)))
        .pre_ping(PrePing::Never)
        .build(manager.clone())
        .unwrap();
    let held: Vec<_> = (0..20).map(|_| pool.get().unwrap()).collect();
    manager.kill_all();
    manager.always(Call::Connect, Step::err(ScriptedError::transient("down")));
    drop(held);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| pool.get_timeout(Duration::from_millis(50)).err());
        }
    });
    assert_eq!(pool.stats().closed.count(CloseCause::Broken), 20);
    for text in ["is dead", "could not open", "a checkout took"] {
        assert_eq!(lines("chorus", Level::Warn, text).len(), 1, "{text}");
    }
}
