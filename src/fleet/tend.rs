//! The thread of a fleet: tells the machine the time, has looks made, and has the pool keep to its share.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;

use super::part::Fleet;
use super::state::Look;
use super::threads;
use crate::event::FleetNews;
use crate::lines::say;
use crate::pool::Pool;
use crate::postgres::{PgError, PgManager};
use crate::stats::Gauges;

/// How soon a look is tried again for which no connection was idle; one that comes back meanwhile makes it.
const VISIT_AGAIN: Duration = Duration::from_millis(200);
/// The longest that it sleeps.
const LONGEST: Duration = Duration::from_secs(10);
/// How long a lower ceiling waits for openings that nobody should have begun: they count, and a connection that works
/// would be closed for one of them.
const LEAVING: Duration = Duration::from_secs(1);
/// How soon it is looked whether they are gone.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Starts it with the first opening; it ends with the pool.
pub(super) fn see_to_it(fleet: &Arc<Fleet>) -> Result<(), PgError> {
    threads::see_to_it(fleet, "tierpool-fleet", |fleet| &fleet.is_tended, run)
}

fn run(fleet: &Fleet) {
    let mut keeping = Keeping::default();
    while round(fleet, &mut keeping).is_continue() {}
}

/// What was done for the machine.
#[derive(Default)]
struct Keeping {
    /// The ceiling that the pool keeps to.
    applied: Option<u32>,
    /// Since when a lower one waits for openings to leave.
    waits_since: Option<Instant>,
    visited: Option<Instant>,
    hurried: Option<Instant>,
}

fn round(fleet: &Fleet, keeping: &mut Keeping) -> ControlFlow<()> {
    // Outside of the lock: where this is the last handle, the pool closes with it, and tells the fleet.
    let gauges = fleet.pool().map(|pool| pool.gauges());
    let mut state = fleet.lock();
    state.tick();
    fleet.tell(&state);
    if state.is_over {
        return ControlFlow::Break(());
    }
    let ceiling = state.ceiling;
    let is_new = gauges.is_some() && keeping.applied != Some(ceiling);
    let waits = is_new && keeping.waits(ceiling, gauges.as_ref(), state.claims - state.waiting);
    let visits = gauges.is_some()
        && state.is_any_due()
        && keeping.visited.is_none_or(|at| at.elapsed() >= VISIT_AGAIN);
    // R3 and R5 say when it tries again; the pool's own pause, as after a refusal of one more, would only add to that.
    let has_none = state.held.is_empty() && state.claims == 0;
    let is_wished = state.is_wished() || gauges.as_ref().is_some_and(|gauges| gauges.waiting > 0);
    let lacks = gauges.is_some() && is_wished && (has_none || state.has_job_for_nobody());
    let hurries = lacks && keeping.hurried.is_none_or(|at| at.elapsed() >= VISIT_AGAIN);
    let news = if gauges.is_some() { std::mem::take(&mut state.news) } else { Vec::new() };
    if (!is_new || waits) && !visits && !hurries && news.is_empty() {
        let limit = match (waits, lacks || state.is_any_due()) {
            (true, _) => LOOK_AGAIN,
            (false, true) => VISIT_AGAIN,
            (false, false) => LONGEST,
        };
        let pause = state.pause(limit);
        fleet.changed.wait_for(&mut state, pause);
        return ControlFlow::Continue(());
    }
    drop(state);
    let Some(pool) = fleet.pool() else { return ControlFlow::Continue(()) };
    for news in news {
        pool.tell_of_fleet(&fleet.name, news);
        warn(fleet, &pool, news);
    }
    if is_new && !waits {
        pool.limit(ceiling);
        keeping.applied = Some(ceiling);
        keeping.waits_since = None;
    }
    if hurries {
        keeping.hurried = Some(Instant::now());
        pool.forget_fullness();
    }
    if visits {
        keeping.visited = Some(Instant::now());
        visit(fleet, &pool);
    }
    ControlFlow::Continue(())
}

impl Keeping {
    /// Whether a lower ceiling is to wait, `at_work` openings having a right to go on: those beyond are about to leave,
    /// and a connection that works would be closed for one of them.
    fn waits(&mut self, ceiling: u32, gauges: Option<&Gauges>, at_work: u32) -> bool {
        let is_lower = self.applied.is_some_and(|applied| ceiling < applied);
        let is_crowded = gauges.is_some_and(|gauges| {
            gauges.opening > at_work && gauges.idle + gauges.in_use + gauges.opening > ceiling
        });
        if !is_lower || !is_crowded {
            return false;
        }
        self.waits_since.get_or_insert_with(Instant::now).elapsed() < LEAVING
    }
}

/// Has an idle connection asked what is due.
fn visit(fleet: &Fleet, pool: &Pool<PgManager>) {
    let mut is_sent = false;
    pool.visit(|conn| {
        let Some(number) = conn.pass() else { return false };
        let state = fleet.lock();
        if !state.is_due(number) {
            return false;
        }
        // One connection is enough for the look; a mark has to be taken from the one that has it.
        let has_own = state.want.is_some_and(|want| want.is_on(number));
        let is_first = matches!(state.look, Look::Due { .. }) && !std::mem::replace(&mut is_sent, true);
        is_first || (has_own && !state.wants_more)
    });
}

/// Logs what is to be mended.
fn warn(fleet: &Fleet, pool: &Pool<PgManager>, news: FleetNews) {
    let (name, origin) = (&fleet.name, pool.origin());
    match news {
        FleetNews::OtherBudget { ours, theirs } => say!(
            Level::Warn,
            origin,
            [],
            "another program of fleet {name} reckons with a budget of {} connections, {} of them reserved; this one \
             with {} and {}: give all of them the same",
            theirs.0,
            theirs.1,
            ours.0,
            ours.1
        ),
        FleetNews::MoreThanFit { members, slots } => say!(
            Level::Warn,
            origin,
            [],
            "fleet {name} has {members} programs and {slots} slots, so that some get no connection: a PgBouncer in \
             front of the server is what helps"
        ),
        FleetNews::Joined | FleetNews::NoSlot | FleetNews::GivesBack { .. } => {}
    }
}
