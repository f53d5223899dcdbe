//! The one door to locks and atomics: the real ones, or loom's under `--cfg tierpool_loom`.
//!
//! Both give the same two calls on a lock (`lock`, and waiting with the guard handed over and back), so that the
//! code above reads the same and the model checker sees every step of it.

// The standard one in both: the floors above share these types under theirs, and only the reuse of waiters rests on
// a count of references.
pub(crate) use std::sync::Arc;

#[cfg(not(tierpool_loom))]
pub(crate) use real::{Condvar, Mutex, MutexGuard};
#[cfg(not(tierpool_loom))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

#[cfg(tierpool_loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
#[cfg(tierpool_loom)]
pub(crate) use model::{Condvar, Mutex, MutexGuard};

#[cfg(not(tierpool_loom))]
mod real {
    use std::time::Instant;

    pub(crate) use parking_lot::{Mutex, MutexGuard};

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Condvar(parking_lot::Condvar::new())
        }

        /// Waits until notified or `deadline`; the flag says that the deadline has passed.
        pub(crate) fn wait_until<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            deadline: Option<Instant>,
        ) -> (MutexGuard<'a, T>, bool) {
            let timed_out = match deadline {
                Some(deadline) => self.0.wait_until(&mut guard, deadline).timed_out(),
                None => {
                    self.0.wait(&mut guard);
                    false
                }
            };
            (guard, timed_out)
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }
    }
}

#[cfg(tierpool_loom)]
mod model {
    use std::time::Instant;

    pub(crate) use loom::sync::MutexGuard;

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("BUG: a model panicked under a lock")
        }
    }

    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Condvar(loom::sync::Condvar::new())
        }

        /// A model has no clock: a deadline never comes, and giving up is a call of its own there.
        pub(crate) fn wait_until<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _deadline: Option<Instant>,
        ) -> (MutexGuard<'a, T>, bool) {
            (self.0.wait(guard).expect("BUG: a model panicked under a lock"), false)
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }
    }
}
