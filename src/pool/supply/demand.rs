//! Demand: how many connections are wanted, and a seat for each attempt to get one.

use std::sync::Arc;
use std::time::Duration;

use r2d2::ManageConnection;

use super::filled::tell_if_filled;
use super::open::attempt;
use crate::clock::Millis;
use crate::core::Counts;
use crate::pool::parts::breaker::Advice;
use crate::pool::parts::errand::Purpose;
use crate::pool::shared::{Refusal, Seat, Shared};
use crate::pool::tell::accounts;
use crate::stats::BreakerState;

/// The gauges by which demand is reckoned.
struct Supplied {
    counts: Counts,
    /// Connections opened that are not yet idle or with a waiter; the counts may have them in use.
    introducing: usize,
    /// Connections that were idle and will be again: the pool has them in hand to validate them ahead.
    ahead: usize,
}

impl Supplied {
    fn of<M: ManageConnection>(shared: &Shared<M>) -> Self {
        // Before the counts: one that becomes idle in between counts twice rather than not at all, and the end of its
        // attempt has this asked again.
        let introducing = shared.supply.introducing() as usize;
        let ahead = shared.helpers.taken_ahead();
        let counts = shared.lending.counts();
        // And after them: one that is taken in between counts at least once too.
        Supplied { counts, introducing, ahead: ahead.max(shared.helpers.taken_ahead()) }
    }
}

/// How many connections should be in the making for those who wait and for what the pool keeps.
fn wanted<M: ManageConnection>(shared: &Shared<M>, supplied: &Supplied) -> usize {
    let Supplied { counts, introducing, ahead } = supplied;
    let idle = counts.idle + ahead;
    let settings = shared.settings();
    let hinted = usize::from(idle == 0 && shared.supply.is_hinted());
    // While lending is suspended callers wait beside idle connections that will serve them.
    let callers = counts.waiting.saturating_sub(idle).max(hinted);
    let open = counts.idle + counts.in_use;
    let least = (settings.min_size as usize).max(usize::from(shared.supply.is_first_awaited()));
    let for_size = least.saturating_sub(open);
    let kept = settings.effective_min_idle() as usize;
    // Where nothing is said of idle ones the base size is kept open, idle or not: keeping as many idle besides
    // those in use would open overflow that nobody asked for.
    let counted = if settings.min_idle.is_some() { idle + introducing } else { open };
    callers.max(for_size).max(kept.saturating_sub(counted))
}

/// How many connections are due, or soon will be, and have no replacement under way. A pool with idle ones to
/// spare needs no replacement before it closes one.
fn renewals_wanted<M: ManageConnection>(shared: &Shared<M>, counts: &Counts, now: Millis) -> usize {
    if counts.waiting == 0 && counts.idle > 1 {
        return 0;
    }
    let settings = shared.settings();
    // The keeper's period ahead, since that is how often it looks; less for short lives.
    let ahead = settings.max_lifetime.map_or(Duration::ZERO, |life| settings.reaper_rate.min(life / 10));
    let horizon = now.plus(Millis::of(ahead));
    let due = shared.lending.slots().filter(|slot| slot.card.due_at() <= horizon);
    due.count().saturating_sub(shared.supply.renewals() as usize)
}

/// Starts as many attempts as are wanted and allowed. Called whenever either may have changed, with no lock held.
pub(crate) fn demand<M: ManageConnection>(shared: &Arc<Shared<M>>) {
    // What brings us here may have given back a seat for which the other pool of a budget waits.
    shared.supply.part().settle();
    while let Some((seat, purpose)) = next_attempt(shared) {
        let pool = Arc::clone(shared);
        let renewing = (purpose == Purpose::Renewal).then(|| shared.supply.begin_renewal());
        shared.helpers.open(move || {
            if is_still_wanted(&pool, purpose) {
                attempt(&pool, seat, purpose);
            } else {
                drop(seat);
            }
            drop(renewing);
            demand(&pool);
            pool.changed.tell();
            tell_if_filled(&pool);
        });
    }
}

/// For a caller that has come to stand in line, with room for another connection or without: has it opened. Without,
/// nothing can be opened for it, and whoever makes room has demand reckoned anew, with this caller in line. Only a
/// breaker that holds openings back still has something to decide, and a budget in which growth waits.
pub(crate) fn demand_in_line<M: ManageConnection>(shared: &Arc<Shared<M>>, has_room: bool) {
    if has_room || !shared.supply.is_at_rest() {
        demand(shared);
    }
}

/// For a caller that does not wait: has the pool grow for its next try, or says why it cannot.
pub(crate) fn ask_for_one<M: ManageConnection>(shared: &Arc<Shared<M>>) -> Result<(), Refusal> {
    if shared.lending.is_closed() {
        return Err(Refusal::Closed);
    }
    let cause = {
        let breaker = shared.supply.breaker();
        breaker.last().filter(|_| breaker.state() != BreakerState::Closed).cloned()
    };
    if let Some(cause) = cause {
        return Err(Refusal::CircuitOpen(cause));
    }
    shared.supply.hint();
    demand(shared);
    Ok(())
}

/// Claims a seat for the next attempt, if there is to be one now.
fn next_attempt<M: ManageConnection>(shared: &Arc<Shared<M>>) -> Option<(Seat<M>, Purpose)> {
    if shared.lending.is_closed() {
        return None;
    }
    let now = shared.exact_now();
    // Held over the decision and the claim, so that two threads do not both find one attempt missing.
    let mut breaker = shared.supply.breaker();
    let supplied = Supplied::of(shared);
    let counts = &supplied.counts;
    match breaker.advice(now) {
        Advice::AwaitProbe => None,
        Advice::NotBefore(_) => {
            // Nobody could serve whoever waits: with a permanent cause they hear of it at once.
            if let Some(cause) = breaker.last()
                && breaker.is_locked(now)
                && counts.size() == 0
            {
                shared.lending.refuse_until_further_notice(&Refusal::ConnectFailed(Arc::clone(cause)));
            }
            None
        }
        Advice::Probe => {
            breaker.begin_probe();
            match Seat::claim(&shared.lending) {
                Some(seat) => Some((seat, Purpose::Probe)),
                None => {
                    breaker.probe_abandoned();
                    shared.lending.stop_refusing();
                    drop(breaker);
                    accounts::breaker_closed(shared, "no capacity is left for a probe");
                    None
                }
            }
        }
        Advice::Open(allowed) => {
            if breaker.is_permanent() {
                // The next attempt may be made, and it is made for a caller: let callers stand in line again.
                shared.lending.stop_refusing();
            }
            if counts.opening >= allowed {
                return None;
            }
            if counts.opening < wanted(shared, &supplied) {
                return Some((Seat::claim(&shared.lending)?, Purpose::Demand));
            }
            if renewals_wanted(shared, counts, now) > 0 {
                return Some((Seat::claim(&shared.lending)?, Purpose::Renewal));
            }
            None
        }
    }
}

/// Whether an attempt about to begin is still worth it.
fn is_still_wanted<M: ManageConnection>(shared: &Shared<M>, purpose: Purpose) -> bool {
    let supplied = Supplied::of(shared);
    match purpose {
        Purpose::Probe | Purpose::Renewal => !shared.lending.is_closed(),
        Purpose::Demand => {
            supplied.counts.opening <= wanted(shared, &supplied) && !shared.lending.is_closed()
        }
    }
}
