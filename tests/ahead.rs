//! What validating ahead costs nobody: a connection that somebody wants, one more that is open, an end.

mod support;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use r2d2::ManageConnection;
use support::scripted::{Call, Gate, Step, met_at_rest, still, use_together};
use support::wait::{A_MOMENT, BOUND, MS, SECOND, comes_true, eventually};
use tierpool::Pool;
use tierpool::config::PrePing;

#[test]
fn the_last_idle_connection_is_left_to_callers() {
    let (builder, hand, manager) = still(|builder| builder.max_size(1).pre_ping(PrePing::IfIdleFor(SECOND)));
    let pool = builder.build(manager.clone()).unwrap();
    drop(pool.get().unwrap());
    hand.advance(SECOND);
    drop(pool.get().unwrap());
    let gate = Gate::new();
    manager.script(Call::IsValid, [Step::ok().behind(&gate)]);
    hand.advance(700 * MS);
    assert!(!comes_true(10 * A_MOMENT, || gate.waiting() == 1), "it was taken ahead");
    assert!(pool.try_get().is_some());
    gate.open();
}

#[test]
fn none_is_opened_in_the_place_of_one_that_is_validated_ahead() {
    let (pool, hand, manager) = met_at_rest(10, 3);
    // Only now: before, a checkout would have one opened in its connection's place.
    pool.reconfigure(|settings| settings.min_idle = Some(3)).unwrap();
    let (gate, opened) = (Gate::new(), manager.opened());
    manager.script(Call::IsValid, [Step::ok().behind(&gate)]);
    hand.advance(700 * MS);
    eventually(BOUND, "one is validated ahead", || gate.waiting() == 1);
    assert!(!comes_true(10 * A_MOMENT, || manager.opened() > opened), "opened to be idle");
    gate.open();
    eventually(BOUND, "it is back", || pool.gauges().idle == 3);
}

#[test]
fn a_caller_in_line_is_served_the_one_that_is_validated_ahead() {
    let (pool, hand, manager) = met_at_rest(10, 2);
    let gate = Gate::new();
    manager.script(Call::IsValid, [Step::ok().behind(&gate)]);
    let before = manager.opened();
    hand.advance(700 * MS);
    eventually(BOUND, "one is validated ahead", || gate.waiting() == 1);
    let other = pool.get().unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| pool.get_timeout(BOUND).map(drop));
        eventually(BOUND, "it stands in line", || pool.gauges().waiting == 1);
        assert!(!comes_true(5 * A_MOMENT, || manager.opened() > before), "one more is open");
        // For the second there is none that will be back.
        let second = scope.spawn(|| pool.get_timeout(BOUND).map(drop));
        eventually(BOUND, "one is opened for the second", || manager.opened() == before + 1);
        gate.open();
        assert!(waits.join().unwrap().is_ok() && second.join().unwrap().is_ok());
    });
    drop(other);
}

#[test]
fn checkouts_that_would_have_met_a_trusted_connection_do_not_keep_it_up() {
    let (pool, hand, manager) = met_at_rest(2, 2);
    let pings = || manager.calls(Call::IsValid);
    let rounds = |count: u32| {
        for _ in 0..count {
            hand.advance(750 * MS);
            comes_true(2 * A_MOMENT, || false);
            hand.advance(50 * MS);
            use_together(&pool, 2);
        }
    };
    rounds(5);
    assert!(pings() > 2, "it has begun");
    rounds(12);
    let before = pings();
    rounds(10);
    assert_eq!(pings(), before, "it goes on though none was needed");
}

/// Closes its pool amid a validation that hangs from then on.
#[derive(Clone, Default)]
struct Closing(Arc<(OnceLock<Pool<Closing>>, AtomicBool, Gate)>);

impl ManageConnection for Closing {
    type Connection = ();
    type Error = Infallible;

    fn connect(&self) -> Result<(), Infallible> {
        Ok(())
    }

    fn is_valid(&self, (): &mut ()) -> Result<(), Infallible> {
        let (pool, is_armed, gate) = &*self.0;
        if is_armed.swap(false, Ordering::Relaxed) {
            pool.get().expect("it is set").close(Duration::ZERO);
            gate.pass(None);
        }
        Ok(())
    }

    fn has_broken(&self, (): &mut ()) -> bool {
        false
    }
}

#[test]
fn a_validation_whose_caller_waits_awake_is_given_up_also_where_the_pool_closes_meanwhile() {
    for _ in 0..20 {
        let manager = Closing::default();
        let builder = Pool::builder().max_size(1).test_on_check_out(true).validation_timeout(100 * MS);
        let pool = builder.build(manager.clone()).unwrap();
        manager.0.0.set(pool.clone()).ok();
        // From the second on there is a helper that is awake.
        (0..20).for_each(|_| drop(pool.get().unwrap()));
        manager.0.1.store(true, Ordering::Relaxed);
        assert!(pool.get_timeout(BOUND).is_err());
        eventually(BOUND, "it is given up", || pool.gauges().zombies == 1);
        manager.0.2.open();
        eventually(BOUND, "it is gone", || pool.gauges().zombies == 0);
    }
}
