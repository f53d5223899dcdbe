//! The thread that has idle connections of the ad-hoc tier given back where the fleet has no free slot for people.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use super::adhoc::Adhoc;
use super::threads;
use crate::event::FleetNews;
use crate::postgres::PgError;

/// The one that was asked is idle again within this, as a rule; else the next look is as good.
const WITHIN: Duration = Duration::from_millis(200);
/// How often it is tried meanwhile.
const EVERY: Duration = Duration::from_millis(20);

/// Starts it with the first opening; it ends with the pool.
pub(super) fn see_to_it(adhoc: &Arc<Adhoc>) -> Result<(), PgError> {
    threads::see_to_it(adhoc, "tierpool-adhoc", |adhoc| &adhoc.is_tended, run)
}

fn run(adhoc: &Adhoc) {
    let mut hurried: Option<Instant> = None;
    loop {
        // Outside of the lock: where this is the last handle, the pool closes with it, and tells of its end.
        let waits = adhoc.pool().is_some_and(|pool| pool.gauges().waiting > 0);
        let mut state = adhoc.lock();
        if state.is_over {
            return;
        }
        if adhoc.has_joined() && std::mem::take(&mut state.is_refused) {
            drop(state);
            if let Some(pool) = adhoc.pool() {
                pool.tell_of_fleet(&adhoc.name, FleetNews::NoSlot);
            }
            continue;
        }
        let is_held_up = state.is_held_up();
        // P2 says when it is tried again; the pool's own pause after a refusal would only add to that.
        let hurries = is_held_up && waits && state.not_before().is_none();
        if hurries && hurried.is_none_or(|at| at.elapsed() >= WITHIN) {
            hurried = Some(Instant::now());
            drop(state);
            if let Some(pool) = adhoc.pool() {
                pool.forget_fullness();
            }
            continue;
        }
        if state.held.is_empty() || !adhoc.has_joined() {
            state.is_full = false;
            match is_held_up {
                true => _ = adhoc.changed.wait_for(&mut state, WITHIN),
                false => adhoc.changed.wait(&mut state),
            }
            continue;
        }
        if std::mem::take(&mut state.is_full) {
            drop(state);
            give_back(adhoc);
            continue;
        }
        let (now, look_at) = (Instant::now(), state.look_at);
        if now < look_at {
            let until = if is_held_up { look_at.min(now + WITHIN) } else { look_at };
            adhoc.changed.wait_until(&mut state, until);
            continue;
        }
        state.look_later();
        drop(state);
        look(adhoc);
    }
}

/// Has an idle connection asked; where none is, the next that comes back.
fn look(adhoc: &Adhoc) {
    let Some(pool) = adhoc.pool() else { return };
    adhoc.is_due.store(true, Relaxed);
    let mut is_sent = false;
    pool.visit(|conn| conn.pass().is_some() && !std::mem::replace(&mut is_sent, true));
}

/// Closes one that is idle. Where the turn is over and none is, as where each goes from hand to hand, the next one that
/// comes back is closed.
fn give_back(adhoc: &Adhoc) {
    let end = Instant::now() + WITHIN;
    while Instant::now() < end && !adhoc.lock().is_over {
        // No handle is kept over the pause: it might be the last.
        let rest = adhoc.lock().rest();
        if adhoc.pool().is_some_and(|pool| pool.give_up_one(rest)) {
            return adhoc.lock().gave_back();
        }
        thread::sleep(EVERY);
    }
    let is_turn_over = adhoc.lock().is_turn_over();
    adhoc.gives_next_back.store(is_turn_over, Relaxed);
}
