//! Suspicion: one connection found dead makes doubtful all that were last known good before.

use std::sync::Arc;

use r2d2::ManageConnection;

use crate::pool::parts::errand::Subject;
use crate::pool::shared::{Entry, Shared};
use crate::pool::supply::close::dispose;
use crate::pool::tell::accounts;
use crate::stats::CloseCause;

/// Makes all idle connections suspect that were last known good before now, unless that has been done since this
/// one was known good; those of the other tier too, where it leads to the same server.
pub(crate) fn found_dead<M: ManageConnection>(shared: &Arc<Shared<M>>, subject: Subject, why: &str) {
    accounts::dead(shared, subject.id, why);
    // The cooldown: what this connection tells of is news only if it was trusted after the last alarm.
    if shared.generations.is_suspect(subject.seen) {
        return;
    }
    shared.generations.suspect_before(shared.fast.next_generation());
    accounts::suspected(shared, subject.id);
    // Only a suspicion: what is fit stays, and costs one round trip.
    shared.supply.part().suspect_other();
}

/// Closes a connection that proved dead or useless, and makes the older ones suspect.
pub(crate) fn dispose_dead<M: ManageConnection>(entry: Box<Entry<M>>, cause: CloseCause, why: &str) {
    found_dead(&entry.shared, entry.body.subject(), why);
    dispose(entry, cause);
}
