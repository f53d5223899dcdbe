//! Checkouts that last too long: a warning, then a cancelled statement, then an ended session.
//!
//! A step hits the checkout for which it was decided, or nobody. Its connection is *seized* first
//! ([`Lending::seize`](crate::core::Lending::seize)): from then on it is closed at its checkin instead of going to the
//! next borrower, so that a request to cancel that arrives late finds no statement but its own borrower's. Whoever was
//! faster at giving it back has nothing happen to it.

use std::sync::Arc;
use std::time::Duration;

use log::Level;
use r2d2::ManageConnection;

use crate::clock::{Deadline, Millis};
use crate::config::Settings;
use crate::core::Seizure;
use crate::event::StuckStep;
use crate::lines::say;
use crate::pool::connection::card::{Checkout, Stage};
use crate::pool::driver::control::{Abandonment, SessionControl};
use crate::pool::shared::Shared;
use crate::pool::supply::demand::demand;
use crate::pool::tell::accounts;
use crate::pool::tell::notify::guarded;
use crate::text::line;

/// Looks at every checkout that is out and does what is due, each step once for each: one step at a look, and the
/// last one that is due where a look came late.
pub(crate) fn watch_holds<M: ManageConnection>(shared: &Arc<Shared<M>>, now: Millis, settings: &Settings) {
    let Settings { leak_threshold, cancel_stuck_after, terminate_stuck_after, .. } = settings;
    if leak_threshold.or(*cancel_stuck_after).or(*terminate_stuck_after).is_none() {
        return;
    }
    for (index, slot) in shared.lending.slots().enumerate() {
        let Some(checkout) = slot.card.checkout() else { continue };
        let passed = |limit: &Option<_>| limit.is_some_and(|limit| checkout.held(now) >= Millis::of(limit));
        let stage = slot.card.stage();
        if passed(leak_threshold) && stage < Stage::Warned {
            slot.card.set_stage(Stage::Warned);
            accounts::long_hold(shared, slot.card.holder(now));
        }
        if passed(terminate_stuck_after) && stage < Stage::Terminated {
            end_stuck(shared, index, checkout, now, StuckStep::Terminate);
        } else if passed(cancel_stuck_after) && stage < Stage::Cancelled {
            end_stuck(shared, index, checkout, now, StuckStep::Cancel);
        }
    }
}

/// Has the statement of a checkout cancelled that somebody has named, as one that is held for too long. Whether it was
/// out and there is a way to do so.
#[cfg(all(feature = "http", unix))]
pub(crate) fn cancel<M: ManageConnection>(shared: &Arc<Shared<M>>, connection_id: u64) -> bool {
    let mut out = shared.lending.slots().enumerate().filter_map(|(i, slot)| Some((i, slot.card.checkout()?)));
    out.find(|(_, checkout)| checkout.connection_id == connection_id).is_some_and(|(index, checkout)| {
        end_stuck(shared, index, checkout, shared.exact_now(), StuckStep::Cancel)
    })
}

/// Seizes a connection that is held for too long and sends for the helpers. Nothing, and false, where the driver gives
/// no control, or the connection was returned meanwhile.
fn end_stuck<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    index: usize,
    checkout: Checkout,
    now: Millis,
    step: StuckStep,
) -> bool {
    let card = shared.card(index);
    let (Some(control), Some(holder)) = (card.control(checkout.connection_id), card.holder(now)) else {
        return false;
    };
    let stage = match step {
        StuckStep::Cancel => Stage::Cancelled,
        StuckStep::Terminate => Stage::Terminated,
    };
    let seizure = shared.lending.seize(index, |card| {
        let is_out = card.checkout() == Some(checkout);
        // Under the desk, which the end of its seat needs too: a moment later the card may be that of the slot's
        // next connection.
        if is_out {
            card.set_seized(stage);
        }
        is_out
    });
    let Some(seizure) = seizure else { return false };
    let id = holder.connection_id;
    accounts::stuck(shared, holder, step);
    match step {
        StuckStep::Cancel => cancel_aside(shared, control, seizure, id),
        StuckStep::Terminate => terminate_aside(shared, control, seizure, id),
    }
    true
}

fn cancel_aside<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    control: Arc<dyn SessionControl>,
    seizure: Seizure,
    id: u64,
) {
    let pool = Arc::clone(shared);
    shared.helpers.run_in_background(move || {
        // It may have come back while the helpers were busy.
        if pool.lending.is_seized(seizure) {
            cancel_now(&pool, &*control, id, pool.settings().validation_timeout);
        }
    });
}

/// Ends the borrower's call at once, and then the session: that takes a way to the server and can wait for its
/// turn.
fn terminate_aside<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    control: Arc<dyn SessionControl>,
    seizure: Seizure,
    id: u64,
) {
    let pool = Arc::clone(shared);
    shared.helpers.run(move || {
        // It may have come back while the helpers were busy, and be somebody's own who detached it.
        if !pool.lending.is_seized(seizure) {
            return;
        }
        let ended = guarded(&pool, "abandon", || control.abandon(Abandonment::HeldTooLong));
        let again = Arc::clone(&pool);
        pool.helpers.run_in_background(move || {
            let limit = again.settings().validation_timeout;
            // One abandoned is of no use to anybody, wherever it is by now, and the server may still be at work on it.
            let may_end = ended == Ok(true) || again.lending.is_seized(seizure);
            if may_end && terminate_now(&again, &*control, id, limit) {
                forfeit(&again, seizure, id);
            }
        });
    });
}

fn cancel_now<M: ManageConnection>(
    shared: &Shared<M>,
    control: &dyn SessionControl,
    id: u64,
    limit: Duration,
) {
    let outcome = guarded(shared, "cancel", || control.cancel(limit).map_err(|error| line(&*error)));
    if let Ok(Err(error)) = outcome {
        say!(
            Level::Warn,
            shared.origin(),
            [connection_id = id, error = error],
            "could not cancel the statement of connection {id}: {error}"
        );
    }
}

/// True where the session has ended on the server.
fn terminate_now<M: ManageConnection>(
    shared: &Shared<M>,
    control: &dyn SessionControl,
    id: u64,
    limit: Duration,
) -> bool {
    let outcome = guarded(shared, "terminate", || control.terminate(limit).map_err(|error| line(&*error)));
    if let Ok(Err(error)) = &outcome {
        say!(
            Level::Warn,
            shared.origin(),
            [connection_id = id, error = error],
            "could not end the session of connection {id}: {error}"
        );
    }
    matches!(outcome, Ok(Ok(())))
}

/// Gives the capacity of an ended session to the next one, although the borrower keeps its guard. Bounded like the
/// zombies, since each keeps a slot.
fn forfeit<M: ManageConnection>(shared: &Arc<Shared<M>>, seizure: Seizure, id: u64) {
    let most = shared.settings().effective_max_zombies() as usize;
    if shared.lending.forfeit(seizure, most, |card| card.set_forfeited()) {
        say!(
            Level::Warn,
            shared.origin(),
            [connection_id = id],
            "connection {id} is replaced before its borrower has returned it"
        );
        demand(shared);
        shared.changed.tell();
    }
}

/// Ends the calls of all who still have a connection, for a pool that is closed: nothing is lent any more, so there
/// is nobody else to hit.
pub(crate) fn abandon_borrowed<M: ManageConnection>(shared: &Arc<Shared<M>>) {
    // One limit for all: no thread is to outlive the pool for long.
    let end = Deadline::of(shared.settings().validation_timeout);
    for (index, slot) in shared.lending.slots().enumerate() {
        let Some(checkout) = slot.card.checkout() else { continue };
        let id = checkout.connection_id;
        let Some(control) = slot.card.control(id) else { continue };
        let ended = guarded(shared, "abandon", || control.abandon(Abandonment::PoolClosed));
        let pool = Arc::clone(shared);
        shared.helpers.run_in_background(move || {
            // Whoever detached it meanwhile has it for good, but for what is left of one abandoned.
            let may_end = || ended == Ok(true) || pool.card(index).checkout() == Some(checkout);
            // The server would go on with a statement that nobody waits for.
            if may_end() && !end.left().is_zero() {
                cancel_now(&pool, &*control, id, end.left());
            }
            if ended != Ok(true) && may_end() && !end.left().is_zero() {
                terminate_now(&pool, &*control, id, end.left());
            }
        });
    }
}
