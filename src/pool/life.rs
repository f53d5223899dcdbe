//! The life of a pool: its start and its end.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use log::Level;
use r2d2::ManageConnection;

use super::keep::stuck::abandon_borrowed;
use super::parts::budget::Member;
use super::parts::keeper::Kept;
use super::shared::{Refusal, Shared};
use super::supply::close::dispose;
use super::supply::demand::demand;
use super::tell::notify::guarded;
use super::tell::observe::{gauges, holders};
use crate::clock::Deadline;
use crate::lines::say;
use crate::stats::{CloseCause, Gauges, Holder};

/// What [`Pool::close`](crate::Pool::close) found at its end.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CloseReport {
    /// Checkouts still out at the end. Calls that waited on their connections have been ended where the driver can do
    /// that; the connections are closed when they come back.
    pub holders: Vec<Holder>,
    /// The gauges at the end: `zombies` are connections whose close had not finished, `opening` attempts that had
    /// not ended, and what is `in_use` without a holder is being validated, reset, or closed beyond `max_zombies`.
    pub gauges: Gauges,
    /// How long closing took.
    pub took: Duration,
}

impl CloseReport {
    /// Whether nothing was left over, and nobody still has a connection, not even one whose session was ended and
    /// replaced (`terminate_stuck_after`), which no gauge counts.
    pub fn is_complete(&self) -> bool {
        self.gauges.size() == 0 && self.gauges.zombies == 0 && self.holders.is_empty()
    }
}

/// Begins: the keeper looks after the pool from now on, and what it keeps is being opened.
pub(crate) fn start<M: ManageConnection>(shared: &Arc<Shared<M>>) {
    shared
        .supply
        .part()
        .enroll(|| Arc::downgrade(&(Arc::clone(shared) as Arc<dyn Member>)) as Weak<dyn Member>);
    let pool: Weak<dyn Kept> = Arc::downgrade(&(Arc::clone(shared) as Arc<dyn Kept>));
    if let Err(error) = shared.helpers.look_after(pool) {
        // Without a keeper connections still are opened on demand and returned; ages are not looked after.
        say!(
            Level::Error,
            "tierpool",
            [error = error.to_string()],
            "cannot start the keeper thread: {error}"
        );
    }
    demand(shared);
}

/// Stops lending: refuses all waiters and has every idle connection closed. The rest closes at its checkin.
pub(crate) fn shut<M: ManageConnection>(shared: &Arc<Shared<M>>) {
    if shared.is_inherited() {
        // Kept for good, with all that it has: that is the parent's, and what is dropped may say so to the server.
        return std::mem::forget(Arc::clone(shared));
    }
    for entry in shared.lending.close(&Refusal::Closed) {
        dispose(entry, CloseCause::Closed);
    }
    shared.helpers.end();
    let _ = guarded(shared, "end_openings", || shared.hooks.end_openings());
    shared.changed.tell();
}

/// Stops lending and waits for what is out, at most until the deadline; then ends the calls of those still out.
pub(crate) fn close<M: ManageConnection>(shared: &Arc<Shared<M>>, limit: Duration) -> CloseReport {
    let begun = Instant::now();
    shut(shared);
    if shared.is_inherited() {
        return CloseReport { holders: Vec::new(), gauges: Gauges::default(), took: begun.elapsed() };
    }
    let mut last = Gauges::default();
    shared.changed.wait_until(Deadline::after(begun, limit), || {
        last = gauges(shared);
        last.size() == 0 && last.zombies == 0
    });
    let report = CloseReport { holders: holders(shared), gauges: last, took: begun.elapsed() };
    abandon_borrowed(shared);
    report
}
