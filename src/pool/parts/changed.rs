//! Waiting for a change of the pool.

use parking_lot::{Condvar, Mutex};

use crate::clock::Deadline;

/// Wakes those who wait until something is so of the pool.
#[derive(Default)]
pub(crate) struct Changed {
    /// Guards nothing: it only makes looking and waiting one step.
    looking: Mutex<()>,
    told: Condvar,
}

impl Changed {
    /// What somebody waits for may have happened: has them look again.
    pub(crate) fn tell(&self) {
        drop(self.looking.lock());
        self.told.notify_all();
    }

    /// Waits until `done`, at most until the deadline; `done` is asked again after each change it may depend on, and
    /// under the lock, so it must not tell of a change itself.
    pub(crate) fn wait_until(&self, deadline: Deadline, mut done: impl FnMut() -> bool) -> bool {
        let mut looking = self.looking.lock();
        while !done() {
            if self.told.wait_until(&mut looking, deadline.instant()).timed_out() {
                return done();
            }
        }
        true
    }
}
