//! Whether the session listens for notifications, and what was lost of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What was read off replies, and what the owner did about it. With the orderings of
/// [`WireState`](super::WireState).
#[derive(Default)]
pub(crate) struct Listening {
    /// A command has said so, or a notification has come.
    noted: AtomicBool,
    /// What set the connection up has it listen, so whoever borrows it does.
    always: AtomicBool,
    /// The client holds none any more, and the stream does not know of it yet.
    fetched: AtomicBool,
    lost: AtomicU64,
}

impl Listening {
    pub fn note(&self) {
        self.noted.store(true, Relaxed);
    }

    /// Whether a borrower may have left the session listening.
    pub fn is_left(&self) -> bool {
        self.noted.load(Relaxed) && !self.always.load(Relaxed)
    }

    /// Whether the session may listen, for whomever.
    pub fn is_possible(&self) -> bool {
        self.noted.load(Relaxed) || self.always.load(Relaxed)
    }

    /// The session listens to nothing any more.
    pub fn ended(&self) {
        self.noted.store(false, Relaxed);
    }

    /// Takes what the session listens to now for what it is to listen to.
    pub fn accept(&self) {
        let listens = self.noted.swap(false, Relaxed);
        self.always.store(listens, Relaxed);
    }

    /// Notes that the client holds no notifications any more.
    pub fn note_fetched(&self) {
        self.fetched.store(true, Relaxed);
    }

    /// Whether that was noted since it was last asked.
    pub fn were_fetched(&self) -> bool {
        self.fetched.load(Relaxed) && self.fetched.swap(false, Relaxed)
    }

    /// Counts notifications that nobody gets; returns how many there were before.
    pub fn note_lost(&self, count: u64) -> u64 {
        self.lost.fetch_add(count, Relaxed)
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}
