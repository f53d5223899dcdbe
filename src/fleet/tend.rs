//! The thread of a fleet: tells the machine the time, has looks made, and has the pool keep to its share.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::Level;

use super::core::Warning;
use super::part::Fleet;
use super::state::Look;
use super::threads;
use crate::lines::say;
use crate::postgres::PgError;

/// How soon a look is tried again for which no connection was idle; one that comes back meanwhile makes it.
const VISIT_AGAIN: Duration = Duration::from_millis(200);
/// The longest that it sleeps.
const LONGEST: Duration = Duration::from_secs(10);
/// How long a lower ceiling waits for openings that nobody should have begun: they count, and a connection that works
/// would be closed for one of them.
const LEAVING: Duration = Duration::from_secs(1);

/// Starts it with the first opening; it ends with the pool.
pub(super) fn see_to_it(fleet: &Arc<Fleet>) -> Result<(), PgError> {
    let tended = Arc::clone(fleet);
    threads::started(&fleet.is_tended, "tierpool-fleet", move || run(&tended))
}

fn run(fleet: &Fleet) {
    let mut applied = None;
    let mut visited: Option<Instant> = None;
    loop {
        let mut state = fleet.lock();
        state.tick();
        fleet.tell(&state);
        if state.is_over {
            return;
        }
        // No handle of the pool is had under the lock: it might be the last, whose end comes back here.
        let has_pool = fleet.has_joined();
        let is_new = has_pool && applied != Some(state.ceiling);
        let may_visit = visited.is_none_or(|at| at.elapsed() >= VISIT_AGAIN);
        let visits = has_pool && state.is_any_due() && may_visit;
        let warnings = if has_pool { std::mem::take(&mut state.warnings) } else { Vec::new() };
        if !is_new && !visits && warnings.is_empty() {
            let limit = if state.is_any_due() { VISIT_AGAIN } else { LONGEST };
            let pause = state.pause(limit);
            fleet.changed.wait_for(&mut state, pause);
            continue;
        }
        let ceiling = state.ceiling;
        drop(state);
        for warning in warnings {
            warn(fleet, warning);
        }
        if is_new {
            apply(fleet, ceiling, applied);
            applied = Some(ceiling);
        }
        if visits {
            visited = Some(Instant::now());
            visit(fleet);
        }
    }
}

/// Has the pool keep to a ceiling.
fn apply(fleet: &Fleet, ceiling: u32, before: Option<u32>) {
    let Some(pool) = fleet.pool() else { return };
    if before.is_some_and(|before| ceiling < before) {
        let end = Instant::now() + LEAVING;
        let is_crowded = || {
            let state = fleet.lock();
            pool.gauges().opening > state.claims - state.waiting && !state.is_over
        };
        while is_crowded() && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
    }
    pool.limit(ceiling);
}

/// Has an idle connection asked what is due.
fn visit(fleet: &Fleet) {
    let Some(pool) = fleet.pool() else { return };
    let mut is_sent = false;
    pool.visit(|conn| {
        let Some(number) = conn.pass() else { return false };
        let state = fleet.lock();
        if !state.is_due(number) {
            return false;
        }
        // One connection is enough for the look; a mark has to be taken from the one that has it.
        let has_own = state.held.get(&number).is_some_and(|held| held.has_want);
        let is_first = matches!(state.look, Look::Due { .. }) && !std::mem::replace(&mut is_sent, true);
        is_first || (has_own && !state.wants_more)
    });
}

fn warn(fleet: &Fleet, warning: Warning) {
    let Some(pool) = fleet.pool() else { return };
    let (name, origin) = (&fleet.name, pool.origin());
    match warning {
        Warning::OtherBudget { ours, theirs } => say!(
            Level::Warn,
            origin,
            [],
            "another program of fleet {name} reckons with a budget of {} connections, {} of them reserved; this one \
             with {} and {}: give all of them the same",
            theirs.total(),
            theirs.reserve(),
            ours.total(),
            ours.reserve()
        ),
        Warning::MoreThanFit { members, slots } => say!(
            Level::Warn,
            origin,
            [],
            "fleet {name} has {members} programs and {slots} slots, so that some get no connection: a PgBouncer in \
             front of the server is what helps"
        ),
    }
}
