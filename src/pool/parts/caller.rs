//! A caller that waits for what a helper makes of its connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::linger::Linger;
use crate::core::{Outcome, Waiter};

/// The thread that waits for the outcome of an errand. It is served the connection, or refused where there is none to
/// be had.
pub(crate) struct Caller<T> {
    waiter: Waiter<T, ()>,
    /// The connection that it is served is dead. Relaxed: written before the verdict, whose lock orders it.
    is_dead: AtomicBool,
}

impl<T> Caller<T> {
    pub(crate) fn new() -> Self {
        Caller { waiter: Waiter::new(), is_dead: AtomicBool::new(false) }
    }

    /// Serves it, by the helper that has its errand; gives back what is for one that has left.
    pub(crate) fn serve(&self, value: Box<T>, is_dead: bool) -> Result<(), Box<T>> {
        self.is_dead.store(is_dead, Ordering::Relaxed);
        self.waiter.answer(value)
    }

    /// Sends it away, to look for another connection.
    pub(crate) fn dismiss(&self) {
        self.waiter.dismiss(());
    }

    /// Whether it no longer waits, and has not been served.
    pub(crate) fn is_gone(&self) -> bool {
        self.waiter.is_gone()
    }

    /// Waits awake for a moment. Says whether there is an answer.
    pub(crate) fn linger(&self, linger: &Linger, deadline: Option<Instant>) -> bool {
        linger.until(deadline, || self.waiter.is_settled())
    }

    /// Waits for the outcome, at most until the deadline.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Outcome<T, ()> {
        self.waiter.wait(deadline)
    }

    /// Whether what it was served is dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }
}
