//! Closing: on a closer thread, with the seat kept until the connection is gone or has taken too long over it.
//!
//! The seat is not free before, so that the server, which counts a session until its backend has ended, never sees
//! more connections than the ceiling. What takes longer than a moment becomes a zombie: its seat is free, and the
//! number of zombies is bounded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use r2d2::ManageConnection;

use super::body::Body;
use super::shared::{Counters, Entry, Errand, Shared};
use super::watch::{Progress, Task};
use crate::event::{Event, ReleaseEvent};
use crate::stats::CloseCause;

impl<M: ManageConnection> Shared<M> {
    /// Closes a connection for `cause`. Returns at once.
    #[allow(clippy::boxed_local)] // Connections travel boxed, from slot to slot; this is one end of the way.
    pub(crate) fn dispose(self: &Arc<Self>, entry: Box<Entry<M>>, cause: CloseCause) {
        let Entry { body, mut seat, shared } = *entry;
        self.count_closed(cause);
        seat.leaves(true);
        self.vacate(seat.index());
        let grace = self.guarded("close_grace", || self.driver.close_grace()).unwrap_or_default();
        let errand = Arc::new(Errand::<M> {
            progress: Mutex::new(Progress::new(seat, grace)),
            customer: None,
            seen: body.seen,
            id: body.id,
            task: Task::Close(cause),
        });
        self.errands.lock().push(Arc::clone(&errand));
        self.closers.submit_patient(Box::new(move || {
            if !errand.begin(grace) {
                shared.watch_again(&errand);
            }
            shared.end(body, cause);
            drop(errand.finish());
            shared.take_back_thread(&errand);
            if errand.is_late() {
                // Relaxed: a gauge; pairs with the count in `bury_alive`.
                shared.counters.zombies.fetch_sub(1, Ordering::Relaxed);
            }
            shared.forget_errand(&errand);
            shared.demand();
            shared.progressed();
        }));
        self.keeper.wake();
        self.progressed();
    }

    /// Clears the card of a slot whose connection is gone for the pool.
    pub(crate) fn vacate(&self, index: usize) {
        if let Some(control) = self.lending.slot(index).card.clear() {
            let _ = self.guarded("dropping a session control", || drop(control));
        }
    }

    /// Why a connection that works was not taken back.
    pub(crate) fn cause_of_refusal(&self) -> CloseCause {
        if self.lending.is_closed() { CloseCause::Closed } else { CloseCause::Evicted }
    }

    /// Counts before the slot is free, so that `closed` never lags behind what can be seen.
    pub(crate) fn count_closed(&self, cause: CloseCause) {
        Counters::bump(&self.counters.closed[cause as usize]);
    }

    /// Ends a connection on the present thread, which may take as long as the database layer lets it.
    pub(crate) fn end(&self, body: Body<M::Connection>, cause: CloseCause) {
        let age = body.age(self.clock.coarse_ms());
        self.emit(|| Event::Closed(ReleaseEvent { id: body.id, age, cause }));
        log::debug!(target: &self.target(), "closing connection {} ({}) after {age:.1?}", body.id, cause.as_str());
        let Body { conn, extensions, .. } = body;
        let polite = !matches!(cause, CloseCause::Broken | CloseCause::Invalid);
        self.let_go(conn, polite);
        let _ = self.guarded("dropping a connection's extensions", || drop(extensions));
    }

    /// Hands a connection to the foreign code that ends it.
    pub(crate) fn let_go(&self, mut conn: M::Connection, polite: bool) {
        // Two calls: a panic of the first must not drop the connection while unwinding, where a panic of its own
        // would end the process.
        let _ = self.guarded("prepare_close", || self.driver.prepare_close(&mut conn, polite));
        let _ = self.guarded("on_release", || self.customizer.on_release(conn));
    }
}
