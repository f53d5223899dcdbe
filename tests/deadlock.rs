//! Self-deadlock: waiting that could not end is told, and refused where the settings say so or it cannot be wrong.

mod support;

use std::thread;
use std::time::Duration;

use support::logged;
use support::scripted::{Call, Gate, ScriptedManager, Step, built, pool_of};
use support::wait::{BOUND, eventually, took};
use tierpool::{Pool, PooledConnection};

const SOON: Duration = Duration::from_secs(1);

/// A pool of so many connections that refuses what looks like a deadlock.
fn strict(size: u32) -> Pool<ScriptedManager> {
    built(Pool::builder().max_size(size).deadlock_refusal(true)).1
}

/// Starts a thread that takes a connection, does what it is told, and waits for a second one.
fn nester(pool: &Pool<ScriptedManager>, go: &Gate) -> thread::JoinHandle<Result<(), tierpool::Error>> {
    let (pool, go) = (pool.clone(), go.clone());
    thread::spawn(move || {
        let mut first = pool.get_timeout(BOUND)?;
        first.tag("outer");
        assert!(go.pass(Some(BOUND)));
        pool.get_timeout(BOUND).map(drop)
    })
}

/// Does something in another thread once a caller waits.
fn once_one_waits<T: Send + 'static>(
    pool: &Pool<ScriptedManager>,
    act: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let pool = pool.clone();
    thread::spawn(move || {
        eventually(BOUND, "one waits", || pool.gauges().waiting == 1);
        act()
    })
}

#[test]
fn one_thread_that_waits_for_itself_is_told_at_once() {
    let pool = strict(1);
    let mut held = pool.get().unwrap();
    held.tag("outer");
    let (error, time) = took(|| pool.get_timeout(BOUND).unwrap_err());
    assert!(error.is_would_deadlock(), "{error}");
    assert!(time < SOON, "{time:?}");
    let text = error.to_string();
    for part in ["[outer]", file!(), "this thread already holds 1 connection", "would not end"] {
        assert!(text.contains(part), "no {part:?} in {text:?}");
    }
    assert_eq!(error.holders().len(), 1);
    drop(held);
    assert!(pool.get().is_ok());
    assert_eq!(pool.stats().checkouts.rejected, 1);
}

#[test]
fn the_last_of_a_ring_of_threads_is_told_and_the_others_go_on() {
    let pool = strict(3);
    let gates = [Gate::new(), Gate::new(), Gate::new()];
    let threads: Vec<_> = gates.iter().map(|gate| nester(&pool, gate)).collect();
    eventually(BOUND, "all have their first", || pool.gauges().in_use == 3);
    for (i, gate) in gates[..2].iter().enumerate() {
        gate.open();
        eventually(BOUND, "it waits", || pool.gauges().waiting as usize == i + 1);
    }
    gates[2].open();
    let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let told: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(told.len(), 1, "{outcomes:?}");
    assert!(told[0].is_would_deadlock() && told[0].holders().len() == 3, "{}", told[0]);
    assert_eq!(pool.gauges().idle, 3);
}

#[test]
fn among_guards_it_is_a_warning_once_and_a_line_in_the_error_unless_refusal_is_asked_for() {
    logged::capture(log::LevelFilter::Warn);
    let (_, pool) = built(Pool::builder().name("circle").max_size(1));
    let _held = pool.get().unwrap();
    let limit = Duration::from_millis(200);
    for _ in 0..2 {
        let (error, time) = took(|| pool.get_timeout(limit).unwrap_err());
        assert!(error.is_timeout() && time >= limit, "{error} after {time:?}");
        let line = "every connection was taken by a thread that waits for another";
        assert!(error.to_string().contains(line) && format!("{error:#}").contains(line), "{error:#}");
    }
    let told = logged::lines("circle", log::Level::Warn, "a deadlock, unless one of them was passed on");
    assert!(told.len() == 1 && told[0].contains(file!()), "{told:?}");
}

#[test]
fn a_timeout_that_was_no_deadlock_says_nothing_of_one() {
    let (_, pool) = pool_of(2);
    let far = pool.clone();
    // Taken by one that does not wait, while this thread has the other: nothing but that speaks against a deadlock.
    let others = thread::spawn(move || far.get().unwrap()).join().unwrap();
    let own = pool.get().unwrap();
    let error = pool.get_timeout(Duration::from_millis(200)).unwrap_err();
    assert!(error.is_timeout() && !error.to_string().contains("a deadlock"), "{error}");
    drop((others, own));
}

#[test]
fn it_can_be_switched_off() {
    let (_, pool) = built(Pool::builder().max_size(1).deadlock_detection(false));
    let _held = pool.get().unwrap();
    let limit = Duration::from_millis(200);
    let (error, time) = took(|| pool.get_timeout(limit).unwrap_err());
    assert!(error.is_timeout() && time >= limit && !error.to_string().contains("a deadlock"), "{error}");

    let both = Pool::builder().deadlock_detection(false).deadlock_refusal(true);
    let error = both.build(ScriptedManager::new()).unwrap_err();
    assert!(error.is_invalid_config() && error.to_string().contains("deadlock_refusal"), "{error}");
}

#[test]
fn a_connection_being_opened_is_no_deadlock() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.script(Call::Connect, [Step::ok(), Step::ok().behind(&gate)]);
    let pool =
        Pool::builder().max_size(2).min_idle(Some(0)).deadlock_refusal(true).build(manager.clone()).unwrap();
    let first = pool.get().unwrap();
    let opener = once_one_waits(&pool, move || gate.open());
    let second = pool.get_timeout(BOUND).expect("the second is on its way");
    opener.join().unwrap();
    drop((first, second));
}

#[test]
fn an_idle_connection_of_a_suspended_pool_is_no_deadlock() {
    let pool = strict(2);
    let _held = pool.get().unwrap();
    pool.suspend();
    let resumed = pool.clone();
    let resumer = once_one_waits(&pool, move || resumed.resume());
    drop(pool.get_timeout(BOUND).expect("the idle one serves it"));
    assert!(resumer.join().unwrap());
}

#[test]
fn a_holder_that_does_not_wait_is_no_deadlock() {
    let pool = strict(2);
    let (go, done) = (Gate::new(), Gate::new());
    let nested = nester(&pool, &go);
    eventually(BOUND, "it has its first", || pool.gauges().in_use == 1);
    let (far, on_done) = (pool.clone(), done.clone());
    let worker = thread::spawn(move || {
        let _conn = far.get_timeout(BOUND).unwrap();
        on_done.pass(Some(BOUND))
    });
    eventually(BOUND, "both are out", || pool.gauges().in_use == 2);
    go.open();
    eventually(BOUND, "it waits", || pool.gauges().waiting == 1);
    done.open();
    assert!(worker.join().unwrap());
    nested.join().unwrap().expect("the other one came back");
}

#[test]
fn a_connection_in_a_helpers_hands_is_no_deadlock() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    let builder = Pool::builder().max_size(2).test_on_check_out(true).deadlock_refusal(true);
    let pool = builder.build(manager.clone()).unwrap();
    // Used once each: a new connection is not validated.
    drop((pool.get().unwrap(), pool.get().unwrap()));
    let held = pool.get().unwrap();
    manager.script(Call::IsValid, [Step::ok().behind(&gate)]);
    let far = pool.clone();
    let other = thread::spawn(move || far.get_timeout(BOUND).map(drop));
    eventually(BOUND, "it is being validated", || manager.running(Call::IsValid) == 1);
    let opener = once_one_waits(&pool, move || gate.open());
    drop(pool.get_timeout(BOUND).expect("the helper gives it back"));
    other.join().unwrap().unwrap();
    opener.join().unwrap();
    drop(held);
}

#[test]
fn a_guard_used_by_another_thread_counts_for_that_one() {
    let pool = strict(1);
    let mut conn = pool.get().unwrap();
    let (used, done) = (Gate::new(), Gate::new());
    let (on_used, on_done) = (used.clone(), done.clone());
    let worker = thread::spawn(move || {
        conn.work().unwrap();
        on_used.open();
        on_done.pass(Some(BOUND))
    });
    assert!(used.pass(Some(BOUND)));
    let opener = once_one_waits(&pool, move || done.open());
    drop(pool.get_timeout(BOUND).expect("the worker gives it back"));
    assert!(worker.join().unwrap());
    opener.join().unwrap();
}

#[test]
fn a_guard_of_another_pool_is_no_deadlock() {
    let (one, two) = (strict(1), strict(1));
    let _held: PooledConnection<_> = one.get().unwrap();
    assert!(two.get().is_ok());
    let gate = Gate::new();
    let (far, on_gate) = (two.clone(), gate.clone());
    let worker = thread::spawn(move || {
        let _conn = far.get().unwrap();
        on_gate.pass(Some(BOUND))
    });
    eventually(BOUND, "the other pool is used up", || two.gauges().in_use == 1);
    let opener = once_one_waits(&two, move || gate.open());
    drop(two.get_timeout(BOUND).expect("the worker gives it back"));
    assert!(worker.join().unwrap());
    opener.join().unwrap();
}

#[cfg(feature = "postgres")]
mod sessions {
    use tierpool::{PgError, PgPool, Tier};

    use super::*;
    use crate::support::cluster::cluster;
    use crate::support::pools;

    /// Takes a second connection within a session, once `go` is open.
    fn nested(pool: &PgPool, go: &Gate, limit: Duration) -> Result<(), PgError> {
        pool.session(|tx| {
            tx.batch_execute("SELECT 1")?;
            assert!(go.pass(Some(BOUND)));
            pool.automation().get_timeout(limit).map(drop).map_err(PgError::from)
        })
    }

    fn opened() -> Gate {
        let gate = Gate::new();
        gate.open();
        gate
    }

    fn waiting(pool: &PgPool) -> u32 {
        pool.automation().gauges().waiting
    }

    #[test]
    fn a_session_within_the_last_session_is_refused_at_once() {
        let cluster = cluster();
        let pool = pools::pool_of(1, "nested", cluster.url(), |builder| builder);
        let inner = || pool.session(|tx| tx.batch_execute("SELECT 1"));
        let outer = || {
            pool.session(|tx| {
                tx.batch_execute("SELECT 1")?;
                inner()
            })
        };
        let (error, time) = took(|| outer().unwrap_err());
        let error = error.as_checkout().unwrap_or_else(|| panic!("{error}"));
        assert!(error.is_would_deadlock(), "{error}");
        assert!(time < SOON && error.waited() < support::wait::SLACK, "{time:?}, {:?}", error.waited());
        assert!(error.holders()[0].location.file() == file!(), "{error:#}");
        inner().expect("it is over with the outer session");
    }

    #[test]
    fn the_newest_of_a_ring_of_sessions_is_refused_only_where_no_other_gives_up_before() {
        let cluster = cluster();
        let pool = pools::pool_of(2, "ring", cluster.url(), |builder| builder);
        for (first, is_refused) in [(BOUND * 2, true), (SOON, false)] {
            let gates = [Gate::new(), Gate::new()];
            let (one, other) = thread::scope(|scope| {
                let one = scope.spawn(|| nested(&pool, &gates[0], first));
                let other = scope.spawn(|| nested(&pool, &gates[1], BOUND));
                eventually(BOUND, "both have one", || pool.automation().gauges().in_use == 2);
                gates[0].open();
                eventually(BOUND, "the first waits", || waiting(&pool) == 1);
                gates[1].open();
                (one.join().unwrap(), other.join().unwrap())
            });
            let (gives_up, goes_on) = if is_refused { (other, one) } else { (one, other) };
            let error = gives_up.unwrap_err();
            let error = error.as_checkout().unwrap_or_else(|| panic!("{error}"));
            assert_eq!((error.is_would_deadlock(), error.is_timeout()), (is_refused, !is_refused), "{error}");
            goes_on.expect("what the other gave back");
        }
    }

    #[test]
    fn of_sessions_that_wait_for_each_other_at_the_same_time_one_alone_is_refused() {
        let cluster = cluster();
        let pool = pools::pool_of(2, "together", cluster.url(), |builder| builder);
        for round in 0..50 {
            let gate = Gate::new();
            let ended = thread::scope(|scope| {
                // Without a deadline, so that neither gives up before the other.
                let both = [(); 2].map(|()| scope.spawn(|| nested(&pool, &gate, Duration::MAX)));
                eventually(BOUND, "both have one", || pool.automation().gauges().in_use == 2);
                gate.open();
                both.map(|thread| thread.join().unwrap())
            });
            let refused: Vec<_> = ended.iter().filter_map(|ended| ended.as_ref().err()).collect();
            assert_eq!(refused.len(), 1, "round {round}: {refused:?}");
            assert!(
                refused
                    .iter()
                    .all(|error| error.as_checkout().is_some_and(tierpool::Error::is_would_deadlock))
            );
        }
    }

    #[test]
    fn where_the_keeper_ends_long_holds_a_ring_of_sessions_is_waited_out() {
        let cluster = cluster();
        let pool = pools::pool_of(1, "ended", cluster.url(), |builder| {
            builder.automation(|tier| tier.terminate_stuck_after(Some(BOUND * 6)))
        });
        let error = nested(&pool, &opened(), SOON).unwrap_err();
        let error = error.as_checkout().unwrap_or_else(|| panic!("{error}"));
        assert!(error.is_timeout(), "{error}");
    }

    #[test]
    fn a_guard_beside_the_sessions_may_come_back_and_is_waited_for() {
        let cluster = cluster();
        let pool = pools::pool_of(2, "beside", cluster.url(), |builder| builder);
        let guard = pool.get(Tier::Automation).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                eventually(BOUND, "the session waits", || waiting(&pool) == 1);
                // Longer than what is only apparent is looked at.
                thread::sleep(Duration::from_millis(300));
                drop(guard);
            });
            nested(&pool, &opened(), BOUND).expect("the guard came back");
        });
    }
}
