//! Self-deadlock: every connection held by threads that wait for another one in the same pool.

use std::collections::HashSet;
use std::sync::Arc;

use r2d2::ManageConnection;

use super::shared::Shared;

impl<M: ManageConnection> Shared<M> {
    /// How many connections of this pool a thread has, going by who took them or last used them.
    pub(crate) fn held_by(&self, thread: u64) -> usize {
        self.lending.slots().filter(|slot| slot.card.counted_thread() == thread).count()
    }

    /// Whether with this thread, which has just stood in line, nobody is left who could return a connection.
    ///
    /// A guard may have been sent to another thread. It counts for the thread that took it until another one uses
    /// it, so the check is wrong while a thread has sent away guards that nobody has used yet. Its caller therefore
    /// looks twice; `deadlock_detection(false)` is for programs in which that state lasts.
    pub(crate) fn completes_deadlock(self: &Arc<Self>, thread: u64) -> bool {
        // Nearly always the end of it: a thread that holds nothing completes nothing.
        if self.held_by(thread) == 0 {
            return false;
        }
        let waiting: HashSet<u64> = self.line.lock().values().map(|card| card.thread).collect();
        let counts = self.lending.counts();
        if counts.idle > 0 || counts.opening > 0 || counts.size() < counts.ceiling {
            return false;
        }
        let held = self.lending.slots().map(|slot| slot.card.counted_thread());
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
}
