//! Self-deadlock: every connection held by threads that wait for another one in the same pool.

use r2d2::ManageConnection;

use super::observe::held_by;
use crate::pool::shared::Shared;

/// Whether with this thread, which has just stood in line, nobody is left who could return a connection.
///
/// A guard may have been sent to another thread. It counts for the thread that took it until another one uses
/// it, so the check is wrong while a thread has sent away guards that nobody has used yet. Its caller therefore
/// looks twice; `deadlock_detection(false)` is for programs in which that state lasts.
pub(crate) fn completes_deadlock<M: ManageConnection>(shared: &Shared<M>, thread: u64) -> bool {
    // Nearly always the end of it: a thread that holds nothing completes nothing.
    if held_by(shared, thread) == 0 {
        return false;
    }
    let waiting = shared.line.threads();
    let counts = shared.lending.counts();
    if counts.idle > 0 || counts.opening > 0 || counts.size() < counts.ceiling {
        return false;
    }
    let held = shared.lending.slots().map(|slot| slot.card.counted_thread());
    let mut holders = 0;
    for holder in held.filter(|holder| *holder != 0) {
        if !waiting.contains(&holder) {
            return false;
        }
        holders += 1;
    }
    // Connections that nobody holds are with a helper, who will return them.
    holders == counts.in_use
}
