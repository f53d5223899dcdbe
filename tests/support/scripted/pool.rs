//! Pools on a scripted manager.

use std::thread;

use tierpool::config::PrePing;
use tierpool::stats::CloseCause;
use tierpool::{Builder, Clock, ClockHand, Error, ManageConnection, Pool};

use super::ScriptedManager;
use crate::support::wait::{BOUND, SECOND, eventually};

/// A builder, the hand of its clock, and a manager to build with.
pub type Parts = (Builder<ScriptedManager>, ClockHand, ScriptedManager);

/// The parts of a pool that does nothing unasked, but for `change`: its clock stands still, it keeps nothing open or
/// alive, and nothing ages.
pub fn still(change: impl FnOnce(Builder<ScriptedManager>) -> Builder<ScriptedManager>) -> Parts {
    let (clock, hand) = Clock::manual();
    let builder =
        Pool::builder().clock(clock).min_idle(Some(0)).keepalive(None).idle_timeout(None).max_lifetime(None);
    (change(builder), hand, ScriptedManager::new())
}

/// Builds a pool on a manager of its own.
///
/// # Panics
///
/// When the settings have faults.
#[track_caller]
pub fn built(builder: Builder<ScriptedManager>) -> (ScriptedManager, Pool<ScriptedManager>) {
    let manager = ScriptedManager::new();
    let pool = builder.build(manager.clone()).unwrap();
    (manager, pool)
}

/// Has so many connections in use at once, and returns them.
///
/// # Panics
///
/// When one is not to be had.
#[track_caller]
pub fn use_together(pool: &Pool<ScriptedManager>, count: usize) {
    let conns: Vec<_> = (0..count).map(|_| pool.get().unwrap()).collect();
    drop(conns);
}

/// A [`still`] pool that trusts connections for a second, `count` of which were met when they had rested for that long:
/// so from now on they are validated ahead.
#[track_caller]
pub fn met_at_rest(max_size: u32, count: usize) -> (Pool<ScriptedManager>, ClockHand, ScriptedManager) {
    let (builder, hand, manager) =
        still(|builder| builder.max_size(max_size).pre_ping(PrePing::IfIdleFor(SECOND)));
    let pool = builder.build(manager.clone()).unwrap();
    use_together(&pool, count);
    hand.advance(SECOND);
    use_together(&pool, count);
    (pool, hand, manager)
}

/// A pool of so many connections, all open.
pub fn pool_of(size: u32) -> (ScriptedManager, Pool<ScriptedManager>) {
    built(Pool::builder().max_size(size))
}

/// Starts threads that wait for a connection and give it back, and returns when all of them stand in line.
///
/// # Panics
///
/// When they do not within [`BOUND`].
#[track_caller]
pub fn waiters<M: ManageConnection>(
    pool: &Pool<M>,
    count: u32,
) -> Vec<thread::JoinHandle<Result<(), Error>>> {
    let before = pool.gauges().waiting;
    let one = |_| {
        let pool = pool.clone();
        thread::spawn(move || pool.get_timeout(BOUND).map(drop))
    };
    let threads = (0..count).map(one).collect();
    eventually(BOUND, "all wait", || pool.gauges().waiting == before + count);
    threads
}

/// Returns how many connections of the pool were closed for this cause.
pub fn closed<M: ManageConnection>(pool: &Pool<M>, cause: CloseCause) -> u64 {
    pool.stats().closed.count(cause)
}
