//! A place for one job, watched by a thread that waits awake: to hand it over, one line of the processors' caches
//! passes between the two threads, where the queue of a group is several.
//!
//! | state | who leads there | what happens to a job put |
//! | --- | --- | --- |
//! | `Closed` | the watcher, when it stops looking, or a caller that no longer counts on it | refused |
//! | `Open` | the watcher, before it looks | kept |
//! | `Full` | a caller | refused |
//!
//! A job put is done: the watcher never stops looking without having closed, and whoever closes gets what is inside.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

enum State<J> {
    Closed,
    Open,
    Full(J),
}

/// `J` is a job.
pub(super) struct Mailbox<J> {
    /// There is a job. A hint, written under the lock, and Relaxed: the job itself is behind that.
    is_full: AtomicBool,
    state: Mutex<State<J>>,
}

impl<J> Default for Mailbox<J> {
    fn default() -> Self {
        Mailbox { is_full: AtomicBool::new(false), state: Mutex::new(State::Closed) }
    }
}

impl<J> Mailbox<J> {
    /// Somebody looks from now on, until it closes.
    pub(super) fn open(&self) {
        let mut state = self.state.lock();
        if let State::Closed = *state {
            *state = State::Open;
        }
    }

    /// Leaves a job for whoever looks; gives it back where nobody does, or has one already.
    pub(super) fn put(&self, job: J) -> Result<(), J> {
        let mut state = self.state.lock();
        let State::Open = *state else { return Err(job) };
        *state = State::Full(job);
        self.is_full.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Nobody looks any more. Returns the job inside, which is the closer's to see to.
    pub(super) fn close(&self) -> Option<J> {
        let mut state = self.state.lock();
        self.is_full.store(false, Ordering::Relaxed);
        match std::mem::replace(&mut *state, State::Closed) {
            State::Full(job) => Some(job),
            State::Closed | State::Open => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_kept_while_somebody_looks_and_goes_to_whoever_closes() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.put(1), Err(1), "nobody looks");
        assert!(!mailbox.is_full());
        mailbox.open();
        assert_eq!(mailbox.put(2), Ok(()));
        assert!(mailbox.is_full());
        assert_eq!(mailbox.put(3), Err(3), "there is room for one");
        mailbox.open();
        assert_eq!(mailbox.close(), Some(2), "another that looks takes nothing away");
        assert!(!mailbox.is_full());
        assert_eq!((mailbox.close(), mailbox.put(4)), (None, Err(4)), "nobody looks any more");
    }
}
