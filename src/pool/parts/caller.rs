//! A caller that waits for what a helper makes of its connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::linger::Linger;
use crate::core::{Outcome, Waiter};

/// The thread that waits for the outcome of an errand. It is served the connection, or refused where there is none to
/// be had.
pub(crate) struct Caller<T> {
    waiter: Waiter<T, ()>,
    /// There is a verdict. A hint for one that waits awake: the verdict itself, and what comes with it, is behind the
    /// waiter's lock. Relaxed for that reason.
    is_answered: AtomicBool,
}

impl<T> Caller<T> {
    pub(crate) fn new() -> Self {
        Caller { waiter: Waiter::new(), is_answered: AtomicBool::new(false) }
    }

    /// Serves it; gives back what is for one that has left.
    pub(crate) fn serve(&self, value: Box<T>) -> Result<(), Box<T>> {
        self.waiter.serve(value)?;
        self.tell();
        Ok(())
    }

    /// Sends it away, to look for another connection.
    pub(crate) fn dismiss(&self) {
        self.waiter.refuse(());
        self.tell();
    }

    fn tell(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
        self.waiter.wake();
    }

    /// Waits awake for a moment. Says whether there is an answer.
    pub(crate) fn linger(&self, linger: &Linger, deadline: Option<Instant>) -> bool {
        linger.until(deadline, || self.is_answered.load(Ordering::Relaxed))
    }

    /// Waits for the outcome, at most until the deadline.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Outcome<T, ()> {
        self.waiter.wait(deadline)
    }
}
