//! The end of a stream: how long it may take, and whether it has come.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long a goodbye waits for the server to hang up, unless told otherwise. Ending a backend takes a millisecond or
/// so, more on a busy machine; and dropping a connection must not take 100 ms.
const PARTING_LIMIT: Duration = Duration::from_millis(80);

/// With the orderings of [`WireState`](super::WireState).
pub(crate) struct Parting {
    /// Nanoseconds that a goodbye waits for the server to hang up.
    limit: AtomicU64,
    /// When the connection was dropped.
    begun: OnceLock<Instant>,
    hung_up: AtomicBool,
}

impl Default for Parting {
    fn default() -> Self {
        let parting =
            Parting { limit: AtomicU64::new(0), begun: OnceLock::new(), hung_up: AtomicBool::new(false) };
        parting.set_limit(PARTING_LIMIT);
        parting
    }
}

impl Parting {
    /// Lets a goodbye wait so long for the server to hang up.
    pub fn set_limit(&self, limit: Duration) {
        self.limit.store(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub fn limit(&self) -> Duration {
        Duration::from_nanos(self.limit.load(Relaxed))
    }

    /// What is left of it, which counts from the drop on: what comes first is a part of that.
    pub fn left(&self) -> Duration {
        self.limit().saturating_sub(self.begun.get().map_or(Duration::ZERO, Instant::elapsed))
    }

    /// Notes that nobody uses the connection any more.
    pub fn begin(&self) {
        self.begun.get_or_init(Instant::now);
    }

    pub fn is_begun(&self) -> bool {
        self.begun.get().is_some()
    }

    pub fn note_hung_up(&self) {
        self.hung_up.store(true, Relaxed);
    }

    /// Whether the server has hung up after this side had said all, or the server itself: on a request to cancel, once
    /// it was dealt with.
    pub fn is_hung_up(&self) -> bool {
        self.hung_up.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_in_a_drop_is_a_part_of_its_limit() {
        let parting = Parting::default();
        assert_eq!(parting.left(), PARTING_LIMIT);
        parting.begin();
        std::thread::sleep(PARTING_LIMIT / 2);
        parting.begin();
        assert!(parting.left() <= PARTING_LIMIT / 2);
    }
}
