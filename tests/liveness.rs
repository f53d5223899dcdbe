//! A pool outlives what hangs in it: helpers stuck in a database layer are replaced, within bounds.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use support::scripted::{Call, Gate, ScriptedManager, Step, built};
use support::wait::{BOUND, eventually, took};
use tierpool::{BreakerState, ManageConnection, Pool};

const LIMIT: Duration = Duration::from_millis(200);

#[test]
fn validations_that_hang_on_every_helper_cost_the_pool_those_connections_and_no_more() {
    let builder = Pool::builder().max_size(8).test_on_check_out(true).validation_timeout(LIMIT);
    let (manager, pool) = built(builder.failure_threshold(0));
    // All have been lent once, so that all are validated from now on.
    let held: Vec<_> = (0..8).map(|_| pool.get_timeout(BOUND).unwrap()).collect();
    drop(held);
    let gate = Gate::new();
    manager.script(Call::IsValid, (0..4).map(|_| Step::ok().behind(&gate)));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| drop(pool.get_timeout(BOUND).unwrap()));
        }
    });
    for _ in 0..20 {
        let (got, time) = took(|| pool.get_timeout(BOUND));
        assert!(got.is_ok() && time < LIMIT * 5, "after {time:?}: {:?}", got.err());
    }
    gate.open();
    eventually(BOUND, "nothing is left over", || pool.gauges().zombies == 0);
}

#[test]
fn connects_that_hang_on_every_opener_are_given_up_and_told() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.script(Call::Connect, (0..4).map(|_| Step::ok().behind(&gate)));
    let pool = Pool::builder().max_size(8).connect_timeout(Some(LIMIT)).build_unchecked(manager.clone());
    eventually(BOUND, "the openers hang", || gate.waiting() == 4);
    eventually(BOUND, "the pool has opened others", || pool.get_timeout(LIMIT).is_ok());
    assert!(pool.stats().open_failures.transient > 0);
    gate.open();
    eventually(BOUND, "what came late is closed", || {
        let gauges = pool.gauges();
        gauges.zombies == 0 && manager.live() == gauges.size() as usize
    });
}

#[test]
fn a_close_that_hangs_in_a_crew_of_one_does_not_keep_others_from_being_validated() {
    let builder = Pool::builder().max_size(4).open_concurrency(1).test_on_check_out(true);
    let (manager, pool) = built(builder.validation_timeout(LIMIT));
    let gate = Gate::new();
    manager.script(Call::Close, [Step::ok().behind(&gate)]);
    pool.get_timeout(BOUND).unwrap().close();
    for _ in 0..20 {
        assert!(pool.get_timeout(BOUND).is_ok());
    }
    gate.open();
    eventually(BOUND, "nothing is left over", || pool.gauges().zombies == 0);
}

/// Its errors panic when they are printed.
#[derive(Debug)]
struct Evil;

impl std::fmt::Display for Evil {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no text for you")
    }
}

impl std::error::Error for Evil {}

/// Fails in `connect` for as many calls as it is told.
struct Failing(Arc<AtomicUsize>);

impl ManageConnection for Failing {
    type Connection = ();
    type Error = Evil;

    fn connect(&self) -> Result<(), Evil> {
        let less = |left: usize| left.checked_sub(1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(_) => Err(Evil),
            Err(_) => Ok(()),
        }
    }

    fn is_valid(&self, _: &mut ()) -> Result<(), Evil> {
        Err(Evil)
    }

    fn has_broken(&self, _: &mut ()) -> bool {
        false
    }
}

#[test]
fn an_error_that_panics_when_it_is_printed_costs_nothing() {
    let failures = Arc::new(AtomicUsize::new(4));
    let builder = Pool::builder().max_size(2).failure_threshold(3).open_for(Duration::from_millis(300));
    let pool = builder.test_on_check_out(true).validation_timeout(LIMIT).build_unchecked(Failing(failures));
    eventually(BOUND, "the breaker has opened", || pool.stats().breaker_openings == 1);
    eventually(BOUND, "a probe closes it", || pool.breaker() == BreakerState::Closed);
    // Every idle connection fails its validation with such an error; those handed over new are not validated.
    for _ in 0..10 {
        assert!(pool.get_timeout(BOUND).is_ok());
    }
    eventually(BOUND, "nothing is left over", || pool.gauges().zombies == 0);
}
