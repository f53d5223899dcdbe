//! Closing: on a worker thread, with the seat kept until the connection is gone or has taken too long over it.
//!
//! The seat is not free before, so that the server, which counts a session until its backend has ended, never sees
//! more connections than the ceiling. What takes longer than a moment becomes a zombie: its seat is free, and the
//! number of zombies is bounded.

use std::sync::Arc;

use r2d2::ManageConnection;

use super::demand::demand;
use crate::clock::Millis;
use crate::pool::connection::body::Body;
use crate::pool::parts::errand::Task;
use crate::pool::shared::{Entry, Errand, Shared};
use crate::pool::tell::accounts;
use crate::pool::tell::contact::note_heard;
use crate::pool::tell::notify::guarded;
use crate::stats::CloseCause;

/// Closes a connection for `cause`. Returns at once.
#[allow(clippy::boxed_local)] // Connections travel boxed, from slot to slot; this is one end of the way.
pub(crate) fn dispose<M: ManageConnection>(entry: Box<Entry<M>>, cause: CloseCause) {
    let Entry { body, mut seat, shared } = *entry;
    let at = shared.now();
    accounts::count_closed(&shared, cause);
    seat.leaves();
    vacate(&shared, seat.index());
    let grace = guarded(&shared, "close_grace", || shared.hooks.close_grace()).unwrap_or_default();
    let errand = Arc::new(Errand::<M>::new(seat, Task::Close, grace));
    shared.helpers.watch(&errand);
    let pool = Arc::clone(&shared);
    shared.helpers.run_in_background(move || {
        pool.helpers.begin(&errand);
        close_body(&pool, body, cause, at);
        let ended = errand.finish();
        drop(ended.seat);
        pool.helpers.take_back_thread(errand.task, ended.thread_is_lost);
        drop(ended.zombie);
        pool.helpers.forget(&errand);
        demand(&pool);
        pool.changed.tell();
    });
    shared.helpers.wake_keeper();
    shared.changed.tell();
}

/// Puts a connection that works back into its slot, or hands it to a waiter; closes it where it is not taken back, and
/// where all that rest were to be closed meanwhile, but for one that has a borrower again.
pub(crate) fn put_back<M: ManageConnection>(entry: Box<Entry<M>>) {
    let shared = Arc::clone(&entry.shared);
    let index = entry.seat.index();
    if let Err(entry) = shared.lending.put(index, entry) {
        return dispose_refused(entry);
    }
    if shared.card(index).is_unwanted()
        && let Some(entry) = shared.lending.take_at(index)
    {
        dispose(entry, CloseCause::Evicted);
    }
}

/// Closes a connection that works and was not taken back: the pool closed while it was out, or it was seized.
#[cold]
pub(crate) fn dispose_refused<M: ManageConnection>(entry: Box<Entry<M>>) {
    let closed = entry.shared.lending.is_closed();
    dispose(entry, if closed { CloseCause::Closed } else { CloseCause::Evicted });
}

/// Clears the card of a slot whose connection is gone for the pool. What it has heard of the server stays known.
pub(crate) fn vacate<M: ManageConnection>(shared: &Shared<M>, index: usize) {
    if let Some(control) = shared.card(index).clear() {
        note_heard(shared, &*control);
        let _ = guarded(shared, "dropping a session control", || drop(control));
    }
}

/// Ends a connection on the present thread, which may take as long as the database layer lets it. Its age is told as
/// it was at that time.
pub(crate) fn close_body<M: ManageConnection>(
    shared: &Shared<M>,
    body: Body<M::Connection>,
    cause: CloseCause,
    at: Millis,
) {
    accounts::left(shared, &body, cause, at);
    let Body { conn, extensions, .. } = body;
    let farewell = match cause {
        CloseCause::Broken | CloseCause::Invalid => Farewell::None,
        _ => Farewell::Polite,
    };
    close_connection(shared, conn, farewell);
    let _ = guarded(shared, "dropping a connection's extensions", || drop(extensions));
}

/// How a connection that is being ended stands with its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    Polite,
    /// It is known to be lost.
    None,
}

/// Hands a connection to the foreign code that ends it.
pub(crate) fn close_connection<M: ManageConnection>(
    shared: &Shared<M>,
    mut conn: M::Connection,
    farewell: Farewell,
) {
    let polite = farewell == Farewell::Polite;
    // Two calls: a panic of the first must not drop the connection while unwinding, where a panic of its own
    // would end the process.
    let _ = guarded(shared, "prepare_close", || shared.hooks.prepare_close(&mut conn, polite));
    let _ = guarded(shared, "on_release", || shared.hooks.on_release(conn));
}
