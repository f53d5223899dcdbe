//! Checkouts that last too long: a warning, then a cancelled statement, then an ended session.
//!
//! A step hits the checkout for which it was decided, or nobody. Its connection is *seized* first
//! ([`Lending::seize`](crate::core::Lending::seize)): from then on it goes to a closer at its checkin instead of to the
//! next borrower, so that a request to cancel that arrives late finds no statement but its own borrower's. Whoever was
//! faster at giving it back has nothing happen to it.

use std::sync::Arc;
use std::time::Duration;

use r2d2::ManageConnection;

use super::body::ms;
use super::card::{Checkout, Stage};
use super::control::{Abandonment, SessionControl};
use super::shared::{Counters, Shared};
use crate::clock::Deadline;
use crate::config::Settings;
use crate::core::Seizure;
use crate::event::{Event, LongHoldEvent, StuckEvent, StuckStep};
use crate::stats::Holder;

impl<M: ManageConnection> Shared<M> {
    /// Looks at every checkout that is out and does what is due, each step once for each: one step at a look, and the
    /// last one that is due where a look came late.
    pub(crate) fn watch_holds(self: &Arc<Self>, now: u64, settings: &Settings) {
        let Settings { leak_threshold, cancel_stuck_after, terminate_stuck_after, .. } = settings;
        if leak_threshold.or(*cancel_stuck_after).or(*terminate_stuck_after).is_none() {
            return;
        }
        for (index, slot) in self.lending.slots().enumerate() {
            let Some(checkout) = slot.card.checkout() else { continue };
            let passed = |limit: &Option<_>| limit.is_some_and(|limit| checkout.held(now) >= ms(limit));
            let stage = slot.card.stage();
            if passed(leak_threshold) && stage < Stage::Warned {
                slot.card.set_stage(Stage::Warned);
                self.warn_of_hold(slot.card.holder(now));
            }
            if passed(terminate_stuck_after) && stage < Stage::Terminated {
                self.end_stuck(index, checkout, now, StuckStep::Terminate);
            } else if passed(cancel_stuck_after) && stage < Stage::Cancelled {
                self.end_stuck(index, checkout, now, StuckStep::Cancel);
            }
        }
    }

    fn warn_of_hold(self: &Arc<Self>, holder: Option<Holder>) {
        Counters::bump(&self.counters.long_holds);
        if let Some(holder) = holder {
            log::warn!(target: &self.target(), "connection {} held by {holder}", holder.connection_id);
            self.emit_aside(|| Event::LongHold(LongHoldEvent { holder }));
        }
    }

    /// Seizes a connection that is held for too long and sends for the helpers. Nothing where the driver gives no
    /// control, or the connection was returned meanwhile.
    fn end_stuck(self: &Arc<Self>, index: usize, checkout: Checkout, now: u64, step: StuckStep) {
        let card = &self.lending.slot(index).card;
        let (Some(control), Some(holder)) = (card.control(checkout.connection_id), card.holder(now)) else {
            return;
        };
        let (stage, counter, doing) = match step {
            StuckStep::Cancel => {
                (Stage::Cancelled, &self.counters.stuck_cancelled, "cancelling the statement of")
            }
            StuckStep::Terminate => {
                (Stage::Terminated, &self.counters.stuck_terminated, "ending the session of")
            }
        };
        let seizure = self.lending.seize(index, |card| {
            let is_out = card.checkout() == Some(checkout);
            // Under the desk, which the end of its seat needs too: a moment later the card may be that of the slot's
            // next connection.
            if is_out {
                card.set_seized(stage);
            }
            is_out
        });
        let Some(seizure) = seizure else { return };
        Counters::bump(counter);
        log::warn!(target: &self.target(), "{doing} connection {}, held by {holder}", holder.connection_id);
        let id = holder.connection_id;
        self.emit_aside(|| Event::Stuck(StuckEvent { holder, step }));
        match step {
            StuckStep::Cancel => self.cancel_aside(control, seizure, id),
            StuckStep::Terminate => self.terminate_aside(control, seizure, id),
        }
    }

    fn cancel_aside(self: &Arc<Self>, control: Arc<dyn SessionControl>, seizure: Seizure, id: u64) {
        let shared = Arc::clone(self);
        self.closers.submit_patient(Box::new(move || {
            // It may have come back while the helpers were busy.
            if shared.lending.is_seized(seizure) {
                shared.cancel_now(&*control, id, shared.settings().validation_timeout);
            }
        }));
    }

    /// Ends the borrower's call at once, and then the session: that takes a way to the server and can wait for its
    /// turn.
    fn terminate_aside(self: &Arc<Self>, control: Arc<dyn SessionControl>, seizure: Seizure, id: u64) {
        let shared = Arc::clone(self);
        self.closers.submit(Box::new(move || {
            // It may have come back while the helpers were busy, and be somebody's own who detached it.
            if !shared.lending.is_seized(seizure) {
                return;
            }
            let ended = shared.guarded("abandon", || control.abandon(Abandonment::HeldTooLong));
            let closers = Arc::clone(&shared);
            closers.closers.submit_patient(Box::new(move || {
                let limit = shared.settings().validation_timeout;
                // One abandoned is of no use to anybody, wherever it is by now, and the server may still be at work on it.
                let may_end = ended == Ok(true) || shared.lending.is_seized(seizure);
                if may_end && shared.terminate_now(&*control, id, limit) {
                    shared.forfeit(seizure, id);
                }
            }));
        }));
    }

    fn cancel_now(&self, control: &dyn SessionControl, id: u64, limit: Duration) {
        let outcome = self.guarded("cancel", || control.cancel(limit).map_err(|error| error.to_string()));
        if let Ok(Err(error)) = outcome {
            log::warn!(target: &self.target(), "could not cancel the statement of connection {id}: {error}");
        }
    }

    /// True where the session has ended on the server.
    fn terminate_now(&self, control: &dyn SessionControl, id: u64, limit: Duration) -> bool {
        let outcome =
            self.guarded("terminate", || control.terminate(limit).map_err(|error| error.to_string()));
        if let Ok(Err(error)) = &outcome {
            log::warn!(target: &self.target(), "could not end the session of connection {id}: {error}");
        }
        matches!(outcome, Ok(Ok(())))
    }

    /// Gives the capacity of an ended session to the next one, although the borrower keeps its guard. Bounded like the
    /// zombies, since each keeps a slot.
    fn forfeit(self: &Arc<Self>, seizure: Seizure, id: u64) {
        let most = self.settings().effective_max_zombies() as usize;
        if self.lending.forfeit(seizure, most, |card| card.set_forfeited()) {
            log::warn!(target: &self.target(), "connection {id} is replaced before its borrower has returned it");
            self.demand();
            self.progressed();
        }
    }

    /// Ends the calls of all who still have a connection, for a pool that is closed: nothing is lent any more, so there
    /// is nobody else to hit.
    pub(crate) fn abandon_borrowed(self: &Arc<Self>) {
        // One limit for all: no thread is to outlive the pool for long.
        let end = Deadline::of(self.settings().validation_timeout);
        for (index, slot) in self.lending.slots().enumerate() {
            let Some(checkout) = slot.card.checkout() else { continue };
            let id = checkout.connection_id;
            let Some(control) = slot.card.control(id) else { continue };
            let ended = self.guarded("abandon", || control.abandon(Abandonment::PoolClosed));
            let shared = Arc::clone(self);
            self.closers.submit_patient(Box::new(move || {
                // Whoever detached it meanwhile has it for good, but for what is left of one abandoned.
                let may_end =
                    || ended == Ok(true) || shared.lending.slot(index).card.checkout() == Some(checkout);
                // The server would go on with a statement that nobody waits for.
                if may_end() && !end.left().is_zero() {
                    shared.cancel_now(&*control, id, end.left());
                }
                if ended != Ok(true) && may_end() && !end.left().is_zero() {
                    shared.terminate_now(&*control, id, end.left());
                }
            }));
        }
    }
}
