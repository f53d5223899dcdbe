//! Whether a pool has open what it keeps, and who says so where nobody waits for that.

use r2d2::ManageConnection;

use crate::pool::shared::Shared;
use crate::pool::tell::accounts;

/// How many connections a pool keeps open.
pub(crate) fn kept<M: ManageConnection>(shared: &Shared<M>) -> u32 {
    let settings = shared.settings();
    settings.min_size.max(settings.effective_min_idle()).min(settings.ceiling())
}

/// Whether a pool that is not closed has so many connections open, each with a borrower or to be had at once.
pub(crate) fn has_open<M: ManageConnection>(shared: &Shared<M>, least: u32) -> bool {
    let counts = shared.lending.counts();
    // After the counts: one that they found open and not yet idle was announced before, under the desk's lock; where
    // its end is missed, the change has this asked again.
    let introducing = shared.supply.introducing() as usize;
    counts.idle + counts.in_use >= least as usize + introducing && !shared.lending.is_closed()
}

/// Says after an opening that the pool is ready, once, where that has filled it: one that was not waited for would not
/// have it said otherwise. A pool that keeps nothing is ready with its first connection.
pub(crate) fn tell_if_filled<M: ManageConnection>(shared: &Shared<M>) {
    if !shared.sinks.was_ready() && has_open(shared, kept(shared).max(1)) {
        accounts::ready(shared);
    }
}
