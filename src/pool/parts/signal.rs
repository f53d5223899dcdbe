//! Waiting for a change of the pool.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Wakes those who wait until something is so of the pool.
#[derive(Default)]
pub(crate) struct Signal {
    /// Guards nothing: it only makes looking and waiting one step.
    looking: Mutex<()>,
    changed: Condvar,
}

impl Signal {
    /// What somebody waits for may have happened: has them look again.
    pub(crate) fn raise(&self) {
        drop(self.looking.lock());
        self.changed.notify_all();
    }

    /// Waits until `done`, at most until the deadline; `done` is asked again after each change it may depend on, and
    /// under the lock, so it must not raise the signal itself.
    pub(crate) fn wait_until(&self, deadline: Option<Instant>, mut done: impl FnMut() -> bool) -> bool {
        let mut looking = self.looking.lock();
        loop {
            if done() {
                return true;
            }
            match deadline {
                Some(deadline) => {
                    if self.changed.wait_until(&mut looking, deadline).timed_out() {
                        return done();
                    }
                }
                None => self.changed.wait(&mut looking),
            }
        }
    }
}
