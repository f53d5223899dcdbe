//! Age: lifetimes, uses, and the order in which a connection and its replacement are closed and opened.

mod support;

use std::thread;
use std::time::Duration;

use support::scripted::{Call, Gate, Parts, ScriptedManager, Step, closed, still};
use support::wait::{BOUND, eventually};
use tierpool::config::PrePing;
use tierpool::event::Event;
use tierpool::stats::CloseCause;
use tierpool::{Clock, ClockHand, Driver, Pool};

const LIFE: Duration = Duration::from_secs(1000);
/// Keepers by a clock moved by hand look when it moves; this lets one move be far from everything else's due time.
const NEVER_BY_ITSELF: Duration = Duration::from_secs(100_000);

fn builder() -> Parts {
    still(|builder| builder.pre_ping(PrePing::Never).max_lifetime(Some(LIFE)).lifetime_jitter(0.0))
}

#[test]
fn an_idle_connection_past_its_lifetime_is_closed_by_the_keeper() {
    let (builder, hand, manager) = builder();
    let pool = builder.max_size(1).build(manager.clone()).unwrap();
    drop(pool.get().unwrap());
    hand.advance(LIFE - Duration::from_secs(1));
    drop(pool.get().unwrap());
    assert_eq!((manager.opened(), closed(&pool, CloseCause::Expired)), (1, 0), "it is a second too young");
    hand.advance(Duration::from_secs(1));
    eventually(BOUND, "the keeper closes it", || manager.closed() == 1);
    assert_eq!((closed(&pool, CloseCause::Expired), pool.gauges().size()), (1, 0));
}

/// Waits for as long as it takes until a connection is closed.
struct Patient;

impl Driver<ScriptedManager> for Patient {
    fn close_grace(&self) -> Duration {
        NEVER_BY_ITSELF
    }
}

#[test]
fn the_age_that_is_told_is_that_at_which_a_connection_left() {
    let (builder, hand, manager) = builder();
    let pool =
        builder.max_size(8).open_concurrency(1).driver(Box::new(Patient)).build(manager.clone()).unwrap();
    let events = pool.subscribe(64);
    let held: Vec<_> = (0..8).map(|_| pool.get().unwrap()).collect();
    let gate = Gate::new();
    manager.always(Call::Close, Step::ok().behind(&gate));
    hand.advance(Duration::from_secs(30));
    held.into_iter().for_each(|conn| conn.close());
    eventually(BOUND, "all threads are busy with closing", || gate.waiting() > 0);
    hand.advance(Duration::from_secs(60));
    gate.open();
    let ages = std::iter::from_fn(|| events.recv_timeout(BOUND).ok());
    let ages =
        ages.filter_map(|event| if let Event::Closed(event) = event { Some(event.age()) } else { None });
    assert_eq!(ages.take(8).collect::<Vec<_>>(), [Duration::from_secs(30); 8]);
}

#[test]
fn a_connection_past_its_lifetime_is_closed_at_its_checkin() {
    let (builder, hand, manager) = builder();
    let pool = builder.max_size(1).build(manager.clone()).unwrap();
    let conn = pool.get().unwrap();
    hand.advance(LIFE);
    assert_eq!(closed(&pool, CloseCause::Expired), 0, "it is in use");
    drop(conn);
    assert_eq!((closed(&pool, CloseCause::Expired), pool.gauges().idle), (1, 0));
    eventually(BOUND, "it is closed", || manager.closed() == 1);
}

#[test]
fn a_connection_past_its_lifetime_is_never_lent() {
    let (builder, hand, manager) = builder();
    // Of the checkout that follows each move only one of the two, keeper or checkout, can be the closer; whichever
    // it is, the caller never gets the old one.
    let pool = builder.max_size(1).build(manager.clone()).unwrap();
    for round in 1..=20 {
        assert_eq!(pool.get().unwrap().id(), round);
        hand.advance(LIFE);
    }
    eventually(BOUND, "all are closed", || manager.closed() == 20);
    assert_eq!(closed(&pool, CloseCause::Expired), 20);
}

#[test]
fn a_lifetime_counts_from_opening_and_not_from_use() {
    let (builder, hand, manager) = builder();
    let pool = builder.max_size(1).build(manager.clone()).unwrap();
    for _ in 0..9 {
        drop(pool.get().unwrap());
        hand.advance(LIFE / 10);
    }
    assert_eq!(manager.opened(), 1);
    let conn = pool.get().unwrap();
    hand.advance(LIFE / 10);
    drop(conn);
    assert_eq!(closed(&pool, CloseCause::Expired), 1);
}

#[test]
fn lifetimes_end_within_the_jitter_and_not_together() {
    let (builder, hand, manager) = builder();
    let pool = builder.max_size(40).min_idle(Some(40)).lifetime_jitter(0.5).build(manager.clone()).unwrap();
    pool.reconfigure(|settings| settings.min_idle = Some(0)).unwrap();
    hand.advance(LIFE / 2 - Duration::from_secs(1));
    let mut held: Vec<_> = (0..40).map(|_| pool.get().unwrap()).collect();
    assert_eq!(
        (manager.opened(), closed(&pool, CloseCause::Expired)),
        (40, 0),
        "none ends before half of it"
    );
    hand.advance(LIFE / 4);
    held.clear();
    let half_way = closed(&pool, CloseCause::Expired);
    assert!((5..=35).contains(&half_way), "{half_way} of 40 have ended half-way through the jitter");
    hand.advance(LIFE / 4 + Duration::from_secs(1));
    eventually(BOUND, "all have ended", || closed(&pool, CloseCause::Expired) == 40);
}

#[test]
fn a_connection_is_replaced_after_max_uses() {
    let (builder, _hand, manager) = builder();
    let pool = builder.max_size(1).max_uses(Some(3)).build(manager.clone()).unwrap();
    let ids: Vec<_> = (0..7).map(|_| pool.get().unwrap().id()).collect();
    assert_eq!(ids, [1, 1, 1, 2, 2, 2, 3]);
    assert_eq!(closed(&pool, CloseCause::Expired), 2);
}

/// Has one thread wait for a connection that falls due in the hands of another. Returns which one it got, and how
/// many had expired by then.
fn relay(pool: &Pool<ScriptedManager>, hand: &ClockHand, gate: &Gate) -> (u64, u64) {
    let conn = pool.get().unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let conn = pool.get_timeout(BOUND).unwrap();
            (conn.id(), closed(pool, CloseCause::Expired))
        });
        let opening = || pool.gauges().waiting == 1 && gate.waiting() == 1;
        eventually(BOUND, "it waits, and one is being opened for it", opening);
        hand.advance(LIFE);
        drop(conn);
        let seen = waiter.join().unwrap();
        gate.open();
        seen
    })
}

#[test]
fn with_callers_waiting_and_room_the_replacement_is_opened_before_the_due_one_is_closed() {
    for by_uses in [false, true] {
        let (builder, hand, manager) = builder();
        let (builder, gate) = (builder.reaper_rate(NEVER_BY_ITSELF), Gate::new());
        let builder = if by_uses { builder.max_uses(Some(2)).max_lifetime(None) } else { builder };
        let pool = builder.max_size(2).build(manager.clone()).unwrap();
        drop(pool.get().unwrap());
        // All that is opened from now on waits for the gate.
        manager.always(Call::Connect, Step::ok().behind(&gate));
        assert_eq!(relay(&pool, &hand, &gate), (1, 0), "the due one works on");
        eventually(BOUND, "the replacement is open", || pool.stats().opened == 2);
        eventually(BOUND, "the due one is closed", || {
            drop(pool.get().unwrap());
            manager.closed() >= 1
        });
        let calls: Vec<_> = manager.events().into_iter().map(|event| (event.call, event.id)).collect();
        let at = |call, id| calls.iter().position(|made| *made == (call, id)).expect("the call was made");
        assert!(at(Call::Connect, 2) < at(Call::Close, 1), "{calls:?}");
        assert!(manager.most_live() <= 2 + 1, "one beyond the ceiling while it is being closed");
    }
}

/// With the default jitter: how far from `max_lifetime` a connection's end may be, as README and `Settings` have it.
#[test]
fn a_life_ends_up_to_5_percent_early_and_up_to_10_percent_late_where_callers_wait_for_the_replacement() {
    let percent = |percent: u32| LIFE * percent / 100;
    let second = Duration::from_secs(1);
    let still = || {
        still(|builder| {
            let builder = builder.pre_ping(PrePing::Never).reaper_rate(NEVER_BY_ITSELF);
            builder.max_lifetime(Some(LIFE)).max_size(2)
        })
    };
    // Nobody waits: between 95 and 100 %.
    let (builder, hand, manager) = still();
    let pool = builder.build(manager.clone()).unwrap();
    drop(pool.get().unwrap());
    hand.advance(percent(95) - second);
    drop(pool.get().unwrap());
    assert_eq!(closed(&pool, CloseCause::Expired), 0, "it is not yet due");
    let conn = pool.get().unwrap();
    hand.advance(percent(5) + second);
    drop(conn);
    assert_eq!(closed(&pool, CloseCause::Expired), 1, "its life is over");

    // Callers wait for the replacement, which does not come: a tenth more and no longer.
    let (builder, hand, manager) = still();
    let pool = builder.build(manager.clone()).unwrap();
    drop(pool.get().unwrap());
    let gate = Gate::new();
    manager.always(Call::Connect, Step::ok().behind(&gate));
    let (mut conn, mut now) = (pool.get().unwrap(), Duration::ZERO);
    thread::scope(|scope| {
        for (age, works_on) in [(percent(101), true), (percent(104), true), (percent(110) + second, false)] {
            let waiter = scope.spawn(|| pool.get_timeout(BOUND).unwrap());
            eventually(BOUND, "it waits", || pool.gauges().waiting == 1 && gate.waiting() == 1);
            hand.advance(age - now);
            now = age;
            drop(conn);
            if !works_on {
                assert_eq!(closed(&pool, CloseCause::Expired), 1, "closed at its checkin, at {age:?}");
                gate.open();
            }
            conn = waiter.join().unwrap();
            assert_eq!(closed(&pool, CloseCause::Expired), u64::from(!works_on), "at {age:?}");
        }
    });
}

#[test]
fn at_the_ceiling_the_due_one_is_closed_before_its_replacement_is_opened() {
    let (builder, hand, manager) = builder();
    let gate = Gate::new();
    let pool = builder.max_size(1).build(manager.clone()).unwrap();
    drop(pool.get().unwrap());
    manager.always(Call::Connect, Step::ok().behind(&gate));
    let conn = pool.get().unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pool.get_timeout(BOUND).unwrap().id());
        eventually(BOUND, "it waits", || pool.gauges().waiting == 1);
        hand.advance(LIFE);
        assert_eq!(manager.calls(Call::Connect), 1, "nothing is opened above the ceiling");
        drop(conn);
        eventually(BOUND, "the replacement is on its way", || gate.waiting() == 1);
        assert_eq!((closed(&pool, CloseCause::Expired), pool.gauges().size()), (1, 1));
        gate.open();
        assert_eq!(waiter.join().unwrap(), 2);
    });
}

#[test]
fn a_storm_of_expiries_never_passes_the_ceiling() {
    let (builder, hand, manager) = builder();
    let pool = builder.max_size(4).lifetime_jitter(0.5).max_zombies(Some(2)).build(manager.clone()).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..400 {
                    drop(pool.get_timeout(BOUND).unwrap());
                    hand.advance(LIFE / 100);
                    let gauges = pool.gauges();
                    assert!(gauges.size() <= 4, "{gauges:?}");
                }
            });
        }
    });
    assert!(closed(&pool, CloseCause::Expired) > 10, "{}", closed(&pool, CloseCause::Expired));
    assert!(manager.most_live() <= 4 + 2, "{} at once", manager.most_live());
}

#[test]
fn settings_as_long_as_can_be_and_none_at_all_do_not_overflow() {
    for long in [None, Some(Duration::MAX)] {
        let (clock, hand) = Clock::manual();
        let always = Duration::MAX;
        let manager = ScriptedManager::new();
        let pool = Pool::builder()
            .clock(clock)
            .max_size(2)
            .max_lifetime(long)
            .idle_timeout(long)
            .keepalive(long)
            .leak_threshold(long)
            .slow_checkout(long)
            .max_uses(long.map(|_| u64::MAX))
            .validation_timeout(always)
            .connection_timeout(always)
            .overflow_linger(always)
            .open_for(always)
            .reaper_rate(always)
            .pre_ping(PrePing::IfIdleFor(Duration::ZERO))
            .build(manager.clone())
            .unwrap();
        for _ in 0..3 {
            hand.advance(Duration::from_secs(u64::from(u32::MAX)));
            drop(pool.get().unwrap());
            drop(pool.get_timeout(Duration::MAX).unwrap());
            drop(pool.try_get().expect("one is idle"));
        }
        manager.script(Call::Reset, [Step::ok()]);
        assert_eq!(pool.gauges().size(), 2);
        assert!(pool.close(Duration::MAX).is_complete());
    }
}
