//! Closing: the slot is free at once, the close itself happens on a closer thread, and what has not finished is
//! counted as a zombie, of which there is a bounded number.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use r2d2::ManageConnection;

use super::body::Body;
use super::shared::Entry;
use super::shared::{Counters, Seat, Shared};
use crate::event::{Event, ReleaseEvent};
use crate::stats::CloseCause;

/// A place among the zombies: counted while it lives.
pub(crate) struct Zombie<M: ManageConnection> {
    shared: Arc<Shared<M>>,
    /// The seat, where there were too many zombies to free it at once: the server never sees more connections than
    /// the ceiling and `max_zombies`.
    seat: Option<Seat<M>>,
}

impl<M: ManageConnection> Zombie<M> {
    /// Frees the seat, or keeps it until this zombie is gone.
    pub(crate) fn take_over(shared: &Arc<Shared<M>>, seat: Seat<M>) -> Self {
        // Relaxed: a gauge, and a bound that may be passed by as many as there are threads here at once.
        let before = shared.counters.zombies.fetch_add(1, Ordering::Relaxed);
        shared.lending.slot(seat.index()).card.clear();
        let kept = (before >= shared.settings().effective_max_zombies()).then_some(seat);
        Zombie { shared: Arc::clone(shared), seat: kept }
    }
}

impl<M: ManageConnection> Drop for Zombie<M> {
    fn drop(&mut self) {
        let had_kept = self.seat.take().is_some();
        // Relaxed: a gauge.
        self.shared.counters.zombies.fetch_sub(1, Ordering::Relaxed);
        if had_kept {
            self.shared.demand();
        }
        self.shared.progressed();
    }
}

impl<M: ManageConnection> Shared<M> {
    /// Closes a connection for `cause`. Returns at once.
    pub(crate) fn dispose(self: &Arc<Self>, entry: Box<Entry<M>>, cause: CloseCause) {
        let Entry { body, seat, shared } = *entry;
        drop(shared);
        self.count_closed(cause);
        let zombie = Zombie::take_over(self, seat);
        self.bury(body, cause, zombie);
        self.demand();
        self.progressed();
    }

    /// Counts before the slot is free, so that `closed` never lags behind what can be seen.
    pub(crate) fn count_closed(&self, cause: CloseCause) {
        Counters::bump(&self.counters.closed[cause as usize]);
    }

    /// Has a closer thread end a connection whose seat is settled already.
    pub(crate) fn bury(self: &Arc<Self>, body: Body<M::Connection>, cause: CloseCause, zombie: Zombie<M>) {
        let shared = Arc::clone(self);
        self.closers.submit_patient(Box::new(move || {
            shared.end(body, cause);
            drop(zombie);
        }));
    }

    /// Ends a connection on the present thread, which may take as long as the database layer lets it.
    pub(crate) fn end(&self, body: Body<M::Connection>, cause: CloseCause) {
        let age = body.age(self.clock.coarse_ms());
        self.emit(|| Event::Closed(ReleaseEvent { id: body.id, age, cause }));
        log::debug!(target: &self.target(), "closing connection {} ({}) after {age:.1?}", body.id, cause.as_str());
        let Body { mut conn, extensions, .. } = body;
        let polite = !matches!(cause, CloseCause::Broken | CloseCause::Invalid);
        // Two calls: a panic of the first must not drop the connection while unwinding, where a panic of its own
        // would end the process.
        let _ = self.guarded("prepare_close", || self.driver.prepare_close(&mut conn, polite));
        let _ = self.guarded("on_release", || self.customizer.on_release(conn));
        let _ = self.guarded("dropping a connection's extensions", || drop(extensions));
    }
}
