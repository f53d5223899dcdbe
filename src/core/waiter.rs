//! A waiter: one thread's place to be served, with exactly one verdict.

use std::time::Instant;

use super::sync::{Condvar, Mutex};

/// How a wait ended, or that it has not.
enum Verdict<T, R> {
    Waiting,
    Served(Box<T>),
    Refused(R),
    /// The thread gave up; whoever would serve it must go to the next.
    Left,
}

/// What a waiter came away with.
#[derive(Debug)]
pub(crate) enum Outcome<T, R> {
    Served(Box<T>),
    Refused(R),
    /// Nothing by the deadline.
    Nothing,
}

/// A thread's place to be served (invariant I3: the verdict leaves `Waiting` exactly once, under the lock, so
/// serving and giving up cannot both happen).
pub(crate) struct Waiter<T, R> {
    /// Guards the verdict alone. Nothing else is locked and no foreign code runs under it.
    verdict: Mutex<Verdict<T, R>>,
    settled: Condvar,
}

impl<T, R> Waiter<T, R> {
    pub(crate) fn new() -> Self {
        Waiter { verdict: Mutex::new(Verdict::Waiting), settled: Condvar::new() }
    }

    /// Offers a value; gives it back where the waiter has left. The caller then calls [`Waiter::wake`], outside
    /// any lock of its own.
    pub(crate) fn serve(&self, value: Box<T>) -> Result<(), Box<T>> {
        let mut verdict = self.verdict.lock();
        match *verdict {
            Verdict::Waiting => {
                *verdict = Verdict::Served(value);
                Ok(())
            }
            _ => Err(value),
        }
    }

    /// Tells the waiter that it will not be served, unless it has left. The caller then calls [`Waiter::wake`].
    pub(crate) fn refuse(&self, reason: R) {
        let mut verdict = self.verdict.lock();
        if matches!(*verdict, Verdict::Waiting) {
            *verdict = Verdict::Refused(reason);
        }
    }

    /// Wakes the thread to see its verdict. A wake too many is harmless: the thread looks and sleeps on.
    pub(crate) fn wake(&self) {
        self.settled.notify_one();
    }

    /// Gives up: takes the verdict if there is one, and otherwise sees to it that none will be given.
    pub(crate) fn leave(&self) -> Outcome<T, R> {
        let mut verdict = self.verdict.lock();
        match std::mem::replace(&mut *verdict, Verdict::Left) {
            Verdict::Waiting => Outcome::Nothing,
            Verdict::Served(value) => Outcome::Served(value),
            Verdict::Refused(reason) => Outcome::Refused(reason),
            Verdict::Left => unreachable!("BUG: a waiter left twice"),
        }
    }

    /// Waits for the verdict, at most until the deadline, and leaves.
    #[cfg(not(tierpool_loom))]
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Outcome<T, R> {
        self.watch(deadline);
        self.leave()
    }

    /// Waits for the verdict, at most until the deadline, and stays in line. True where there is one.
    #[cfg(not(tierpool_loom))]
    pub(crate) fn watch(&self, deadline: Option<Instant>) -> bool {
        let mut verdict = self.verdict.lock();
        while matches!(*verdict, Verdict::Waiting) {
            match deadline {
                None => verdict = self.settled.wait(verdict),
                Some(deadline) => {
                    let (guard, timed_out) = self.settled.wait_until(verdict, deadline);
                    verdict = guard;
                    if timed_out {
                        break;
                    }
                }
            }
        }
        !matches!(*verdict, Verdict::Waiting)
    }

    /// Waits for the verdict and leaves. The model has no clock: a deadline never comes, and giving up is
    /// [`Waiter::leave`] there.
    #[cfg(tierpool_loom)]
    pub(crate) fn wait(&self, _deadline: Option<Instant>) -> Outcome<T, R> {
        let mut verdict = self.verdict.lock();
        while matches!(*verdict, Verdict::Waiting) {
            verdict = self.settled.wait(verdict);
        }
        drop(verdict);
        self.leave()
    }

    /// The model has no clock: see `wait`.
    #[cfg(tierpool_loom)]
    pub(crate) fn watch(&self, _deadline: Option<Instant>) -> bool {
        !matches!(*self.verdict.lock(), Verdict::Waiting)
    }

    /// Makes a used waiter as good as new. Only for one that nobody else refers to.
    pub(crate) fn renew(&mut self) {
        *self.verdict.lock() = Verdict::Waiting;
    }
}
