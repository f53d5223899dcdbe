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
        loop {
            let (begun, introducing) = shared.supply.introductions();
            let ahead = shared.helpers.taken_ahead();
            let counts = shared.lending.counts();
            // Gauges are read on both sides of the counts: what comes or goes meanwhile is counted twice rather than
            // not at all, and its end has this asked again. An introduction all of which lies in between is on neither
            // side, and has this look once more: another can follow only where another opening is under way.
            let (begun_by_now, introducing_now) = shared.supply.introductions();
            if begun_by_now == begun {
                let ahead = ahead.max(shared.helpers.taken_ahead());
                return Supplied { counts, introducing: introducing.max(introducing_now) as usize, ahead };
            }
        }
    }
}

/// How many connections should be in the making for those who wait and for what the pool keeps.
fn wanted<M: ManageConnection>(shared: &Shared<M>, supplied: &Supplied) -> usize {
    let Supplied { counts, introducing, ahead } = supplied;
    let idle = counts.idle + ahead;
    // While lending is suspended callers wait beside idle connections that will serve them, and any caller for a moment
    // beside the one that is on its way to it.
    let coming = idle + introducing;
    let hinted = usize::from(coming == 0 && shared.supply.is_hinted());
    let callers = counts.waiting.saturating_sub(coming).max(hinted);
    let settings = shared.settings();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryManager, Pool};

    /// With room for two, none of which is there before it is wanted.
    fn pool() -> Pool<MemoryManager> {
        Pool::builder().max_size(2).min_idle(Some(0)).build(MemoryManager).unwrap()
    }

    #[test]
    fn one_on_its_way_to_a_caller_is_no_reason_to_open_another() {
        let pool = pool();
        let with = |waiting, introducing| {
            let counts = Counts { waiting, in_use: introducing, ..pool.shared().lending.counts() };
            wanted(pool.shared(), &Supplied { counts, introducing, ahead: 0 })
        };
        assert_eq!([with(1, 1), with(2, 1), with(1, 0)], [0, 1, 1]);
        pool.shared().supply.hint();
        assert_eq!([with(0, 1), with(0, 0)], [0, 1], "for one that does not wait");
    }

    #[test]
    fn one_is_on_its_way_from_before_it_is_open_and_none_that_has_come_and_gone_is_missed() {
        let pool = pool();
        let supply = &pool.shared().supply;
        let on_their_way = || Supplied::of(pool.shared()).introducing;
        let before = supply.introductions();
        let introducing = supply.introduce();
        assert_eq!(on_their_way(), 1);
        drop(introducing);
        assert_eq!(on_their_way(), 0);
        assert_ne!(supply.introductions(), before);
    }
}
