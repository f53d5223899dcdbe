//! Self-deadlock: waiting that could not end is told at once, and no other waiting is.

mod support;

use std::thread;
use std::time::Duration;

use support::scripted::{Call, Gate, ScriptedManager, Step, pool_of};
use support::wait::{BOUND, eventually, took};
use tierpool::{Pool, PooledConnection};

const SOON: Duration = Duration::from_secs(1);

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
    let (_, pool) = pool_of(1);
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
    let (_, pool) = pool_of(3);
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
fn it_can_be_switched_off() {
    let builder = Pool::builder().max_size(1).deadlock_detection(false);
    let pool = builder.build(ScriptedManager::new()).unwrap();
    let _held = pool.get().unwrap();
    let limit = Duration::from_millis(100);
    let (error, time) = took(|| pool.get_timeout(limit).unwrap_err());
    assert!(error.is_timeout() && time >= limit, "{error}");
}

#[test]
fn a_connection_being_opened_is_no_deadlock() {
    let manager = ScriptedManager::new();
    let gate = Gate::new();
    manager.script(Call::Connect, [Step::ok(), Step::ok().behind(&gate)]);
    let pool = Pool::builder().max_size(2).min_idle(Some(0)).build(manager.clone()).unwrap();
    let first = pool.get().unwrap();
    let opener = once_one_waits(&pool, move || gate.open());
    let second = pool.get_timeout(BOUND).expect("the second is on its way");
    opener.join().unwrap();
    drop((first, second));
}

#[test]
fn an_idle_connection_of_a_suspended_pool_is_no_deadlock() {
    let (_, pool) = pool_of(2);
    let _held = pool.get().unwrap();
    pool.suspend();
    let resumed = pool.clone();
    let resumer = once_one_waits(&pool, move || resumed.resume());
    drop(pool.get_timeout(BOUND).expect("the idle one serves it"));
    assert!(resumer.join().unwrap());
}

#[test]
fn a_holder_that_does_not_wait_is_no_deadlock() {
    let (_, pool) = pool_of(2);
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
    let builder = Pool::builder().max_size(2).test_on_check_out(true);
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
    let (_, pool) = pool_of(1);
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
    let ((_, one), (_, two)) = (pool_of(1), pool_of(1));
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
