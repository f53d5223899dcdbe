//! One look of the keeper at a pool.

use std::sync::Arc;
use std::time::Instant;

use log::Level;
use r2d2::ManageConnection;

use super::ahead::validate_ahead;
use super::overdue::give_up_overdue;
use super::stuck::watch_holds;
use super::tidy::sweep;
use crate::clock::Millis;
use crate::core::Counts;
use crate::lines::say;
use crate::pool::parts::breaker::Advice;
use crate::pool::parts::keeper::{Crowding, Due, Kept};
use crate::pool::shared::Shared;
use crate::pool::supply::demand::demand;
use crate::pool::tell::observe::{sample, sample_in_use};
#[cfg(feature = "tracing")]
use crate::pool::tell::trace::look_for_subscribers;

/// The part of the ceiling in use from which on the pool warns that it is nearly used up.
const CROWDED: f64 = 0.9;

impl<M: ManageConnection> Kept for Shared<M> {
    fn tend(self: Arc<Self>, now: Millis) -> Due {
        let by = give_up_overdue(&self, Instant::now());
        let settings = self.settings();
        sweep(&self, now, &settings);
        watch_holds(&self, now, &settings);
        watch_load(&self, now);
        self.helpers.staff();
        demand(&self);
        let next = now.plus(Millis::of(settings.reaper_rate));
        let next = validate_ahead(&self, now).map_or(next, |until| next.min(until));
        let at = match self.supply.breaker().advice(now) {
            Advice::NotBefore(retry) => next.min(retry),
            _ => next,
        };
        Due { at, by }
    }

    fn pulse(self: Arc<Self>) -> u64 {
        sample_in_use(&self);
        let counts = self.lending.counts();
        sample(&self, &counts);
        top_up(&self, &counts);
        #[cfg(feature = "tracing")]
        look_for_subscribers(&self);
        self.lending.slots().map(|slot| slot.card.direct()).fold(0, u64::wrapping_add)
    }

    fn is_over(&self) -> bool {
        // Somebody may wait for an errand that hangs, with no deadline of its own.
        self.lending.is_closed() && self.helpers.are_idle()
    }
}

/// Opens what `min_idle` asks for soon after direct checkouts, which do not look, have used it up.
fn top_up<M: ManageConnection>(shared: &Arc<Shared<M>>, counts: &Counts) {
    let least = shared.settings().effective_min_idle() as usize;
    if counts.idle + counts.opening < least && counts.size() < counts.ceiling {
        demand(shared);
    }
}

/// Warns once when nearly all of the ceiling is in use, and tells when that has been over for a while.
fn watch_load<M: ManageConnection>(shared: &Shared<M>, now: Millis) {
    let Counts { in_use, ceiling, waiting, .. } = shared.lending.counts();
    match shared.rounds.note_crowding(in_use as f64 > CROWDED * ceiling as f64, now) {
        Crowding::Begins => {
            say!(
                Level::Warn,
                shared.origin(),
                [in_use = in_use, ceiling = ceiling, waiting = waiting],
                "{in_use} of {ceiling} connections in use, {waiting} waiting"
            );
        }
        Crowding::Ends => {
            say!(
                Level::Info,
                shared.origin(),
                [in_use = in_use, ceiling = ceiling],
                "{in_use} of {ceiling} connections in use again"
            );
        }
        Crowding::Unchanged => {}
    }
}
