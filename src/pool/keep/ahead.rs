//! Validating ahead: idle connections shortly before the time is over for which they are trusted.
//!
//! A checkout that comes upon a connection idle for longer has it validated, and where the manager may block, by
//! another thread: one that has to be woken, or started first, is what the slowest checkouts wait for. So once that has
//! happened, connections in use until lately are validated while they rest: one after another, as far as three tenths
//! of that time suffice for it. A checkout still finds none that was not in use or validated within that time: what is
//! not validated ahead it has validated itself.
//!
//! Nobody is to go without for it. The last idle connection is left where it is, and one in hand counts as one that
//! will serve a caller, so that none is opened in its place.
//!
//! It ends [`STANDBY`] after the last checkout that was served better for it, and for each connection as long after its
//! last use: an idle pool comes to rest. Where each checkout validates, and where a connection is trusted for longer
//! than that, there is nothing to do ahead.

use std::sync::Arc;

use r2d2::ManageConnection;

use crate::clock::Millis;
use crate::pool::connection::card::Card;
use crate::pool::fitness::aside::check_here;
use crate::pool::parts::errand::Check;
use crate::pool::parts::helpers::STANDBY;
use crate::pool::shared::Shared;
use crate::pool::supply::close::put_back;
use crate::pool::supply::demand::demand;

/// The least time of trust for which this is done: to validate more often would be to do little else.
const LEAST: Millis = Millis::new(100);

/// Has validated what will soon be due for it, if that is wanted. Returns when to look again.
pub(crate) fn validate_ahead<M: ManageConnection>(shared: &Arc<Shared<M>>, now: Millis) -> Option<Millis> {
    let trusted = shared.fast.ping_after();
    let until = shared.helpers.stand_down(now)?;
    if trusted < LEAST || trusted >= STANDBY {
        return Some(until);
    }
    let plan = Plan::of(trusted);
    let cards = || shared.lending.slots().map(|slot| &slot.card);
    if let Some(at) = cards().filter_map(|card| card.spared_at(trusted)).max() {
        shared.helpers.stand_by(at);
    }
    let due =
        has_one_to_spare(shared).then(|| cards().filter_map(|card| plan.due(card, now)).min()).flatten();
    if due.is_some_and(|at| at <= now) {
        begin_round(shared, plan);
    }
    let settled = cards().filter_map(|card| card.outlives_trust_at(trusted)).filter(|at| *at > now).min();
    let next = due.into_iter().chain(settled).min();
    // One that comes back right after this look is due no sooner than the last of these.
    let next = next.unwrap_or(Millis::NEVER).min(now.plus(plan.after)).max(now.plus(plan.grain));
    Some(until.min(next))
}

/// Whether another is idle besides one that would be taken.
fn has_one_to_spare<M: ManageConnection>(shared: &Shared<M>) -> bool {
    let counts = shared.lending.counts();
    counts.idle > 1 && counts.waiting == 0
}

/// When a resting connection is validated.
#[derive(Clone, Copy)]
struct Plan {
    /// So long after it was last used or validated: soon enough for a round to be over in time.
    after: Millis,
    /// The time between two looks at the least.
    grain: Millis,
}

impl Plan {
    fn of(trusted: Millis) -> Self {
        let tenth = trusted.get() / 10;
        Plan { after: Millis::new(7 * tenth), grain: Millis::new(tenth) }
    }

    /// When a slot's connection is due, if it is idle and was in use lately.
    fn due(self, card: &Card, now: Millis) -> Option<Millis> {
        let idle_since = card.idle_since();
        let is_there = card.thread() == 0 && idle_since != Millis::NEVER;
        let is_wanted = is_there && now.since(idle_since) < STANDBY;
        is_wanted.then(|| card.heard_at().plus(self.after))
    }
}

/// Has a helper validate all that is due by the next look, unless one does.
fn begin_round<M: ManageConnection>(shared: &Arc<Shared<M>>, plan: Plan) {
    let Some(round) = shared.helpers.begin_round() else { return };
    let pool = Arc::clone(shared);
    shared.helpers.run(move || {
        let by = pool.exact_now().plus(plan.grain);
        for index in 0..pool.lending.slots().count() {
            // Callers go first: the next look begins another round.
            if pool.lending.is_closed() || pool.helpers.are_wanted() || !has_one_to_spare(&pool) {
                break;
            }
            if plan.due(pool.card(index), by).is_some_and(|at| at <= by) {
                validate(&pool, index);
            }
        }
        drop(round);
    });
}

/// Validates the connection of a slot, if it is there and not the last.
fn validate<M: ManageConnection>(shared: &Arc<Shared<M>>, index: usize) {
    // Before it is taken: whoever comes upon an empty slot finds it counted.
    let coming = shared.helpers.takes_ahead();
    match shared.lending.take_at(index) {
        None => drop(coming),
        // A caller has taken the other one meanwhile.
        Some(entry) if shared.lending.counts().idle == 0 => {
            put_back(entry);
            drop(coming);
        }
        Some(entry) => {
            let suspect = shared.generations.is_suspect(entry.body.seen);
            check_here(entry, Check::Validate { suspect }, coming);
        }
    }
    // For those in line for whom it was counted and who did not get it.
    demand(shared);
}
