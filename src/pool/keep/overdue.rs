//! Giving up what helpers take too long over: openings, validations, resets and closes that hang.

use std::sync::Arc;
use std::time::Instant;

use r2d2::ManageConnection;

use crate::pool::fitness::suspect::found_dead;
use crate::pool::parts::errand::{Fate, Task};
use crate::pool::shared::{Errand, Shared};
use crate::pool::supply::close::vacate;
use crate::pool::supply::demand::demand;
use crate::pool::supply::open::attempt_hung;
use crate::pool::supply::outcome::ping_timed_out;
use crate::pool::tell::accounts;
use crate::text::Limit;

/// Gives up on errands that took too long. Returns when the next one falls due.
pub(crate) fn give_up_overdue<M: ManageConnection>(shared: &Arc<Shared<M>>, now: Instant) -> Option<Instant> {
    for errand in shared.helpers.overdue(now) {
        give_up(shared, &errand, now);
    }
    shared.helpers.next_due()
}

/// A helper takes too long. The connection stays with it as a zombie, and keeps its seat there where there are too
/// many zombies.
fn give_up<M: ManageConnection>(shared: &Arc<Shared<M>>, errand: &Arc<Errand<M>>, now: Instant) {
    let settings = shared.settings();
    let limit = settings.validation_timeout;
    // Openings are given up at the end of their pool as well, whatever is left of their time.
    let is_due = errand.give_up_at().instant() <= now;
    let given_up = shared.helpers.give_up(errand, limit, settings.effective_max_zombies(), |seat, fate| {
        match (errand.task, fate) {
            // Before the helper can end it and tell of that.
            (Task::Check(check, _), Fate::Freed) => accounts::count_closed(shared, check.cause()),
            (Task::Close, Fate::Kept) => seat.stays(),
            _ => {}
        }
    });
    let Some(given_up) = given_up else { return };
    if let Some(subject) = given_up.silent {
        found_dead(shared, subject, &format!("no answer within {}", Limit(limit)));
        ping_timed_out(shared, limit);
    }
    // Before its seat is free, so that the caller has a chance to be in line for the next connection in it.
    errand.dismiss_caller();
    if let Some(seat) = given_up.seat {
        shared.helpers.forget(errand);
        vacate(shared, seat.index());
        match errand.task {
            Task::Open(purpose) if is_due => attempt_hung(shared, seat, purpose),
            Task::Open(_) | Task::Check(..) | Task::Close => drop(seat),
        }
        demand(shared);
    }
    shared.changed.tell();
}
