//! What a pool counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::peaks::RecentPeak;
use crate::error::ErrorKind;
use crate::stats::{CloseCause, Recorder, Refused};

/// Counters of everything but checkouts that found an idle connection, which the slots' cards count. All Relaxed: they
/// are independent sums.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) waited: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) refused: Refusals,
    pub(crate) opened: Counter,
    pub(crate) closed: [Counter; CloseCause::ALL.len()],
    pub(crate) open_failures: [Counter; 3],
    pub(crate) returned_dirty: Counter,
    pub(crate) slow_checkouts: Counter,
    pub(crate) long_holds: Counter,
    pub(crate) stuck_cancelled: Counter,
    pub(crate) stuck_terminated: Counter,
    pub(crate) slow_queries: Counter,
    pub(crate) statement_timeouts: Counter,
    pub(crate) suspicions: Counter,
    pub(crate) user_panics: Counter,
    pub(crate) events_lost: Counter,
    pub(crate) items_committed: Counter,
    pub(crate) items_failed: Counter,
    pub(crate) peak_in_use: Peak,
    pub(crate) recent_in_use: RecentPeak,
    pub(crate) recent_waiting: RecentPeak,
    pub(crate) wait: Recorder,
    pub(crate) open: Recorder,
    pub(crate) query: Recorder,
}

/// Checkouts refused, by what their callers were told.
#[derive(Default)]
pub(crate) struct Refusals {
    exhausted: Counter,
    queue_full: Counter,
    circuit_open: Counter,
    connect_failed: Counter,
    would_deadlock: Counter,
    closed: Counter,
}

impl Refusals {
    pub(crate) fn count(&self, kind: ErrorKind) {
        let counter = match kind {
            ErrorKind::Exhausted => &self.exhausted,
            ErrorKind::QueueFull => &self.queue_full,
            ErrorKind::CircuitOpen => &self.circuit_open,
            ErrorKind::ConnectFailed => &self.connect_failed,
            ErrorKind::WouldDeadlock => &self.would_deadlock,
            ErrorKind::Closed => &self.closed,
            ErrorKind::Timeout | ErrorKind::InvalidConfig | ErrorKind::Forked => {
                unreachable!("BUG: a checkout is not refused for {kind:?}")
            }
        };
        counter.bump();
    }

    pub(crate) fn snapshot(&self) -> Refused {
        Refused {
            exhausted: self.exhausted.get(),
            queue_full: self.queue_full.get(),
            circuit_open: self.circuit_open.get(),
            connect_failed: self.connect_failed.get(),
            would_deadlock: self.would_deadlock.get(),
            closed: self.closed.get(),
        }
    }
}

/// A number that only grows.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn bump(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The greatest of the numbers shown to it.
#[derive(Default)]
pub(crate) struct Peak(AtomicU32);

impl Peak {
    pub(crate) fn note(&self, number: u32) {
        // Relaxed: a maximum of samples.
        self.0.fetch_max(number, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are of something just now. Each is counted for as long as its [`Counted`] lives.
///
/// Relaxed throughout: a number of its own, by which nothing else is published.
#[derive(Clone, Default)]
pub(crate) struct Gauge(Arc<AtomicU32>);

/// One of those that a [`Gauge`] counts; dropping it takes it back, on every path.
pub(crate) struct Counted {
    gauge: Gauge,
    /// How many there were before it.
    pub(crate) before: u32,
}

impl Gauge {
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more.
    pub(crate) fn enter(&self) -> Counted {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        Counted { gauge: self.clone(), before }
    }

    /// Counts one more, unless there are `most`.
    pub(crate) fn enter_below(&self, most: u32) -> Option<Counted> {
        let more = |count: u32| (count < most).then_some(count + 1);
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Counted { gauge: self.clone(), before })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::Gauge;

    #[test]
    fn a_gauge_is_taken_back_on_every_path() {
        let gauge = Gauge::default();
        let first = gauge.enter();
        let second = gauge.enter_below(2).expect("there is room for two");
        assert_eq!((first.before, second.before, gauge.get()), (0, 1, 2));
        assert!(gauge.enter_below(2).is_none());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _third = gauge.enter();
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(gauge.get(), 2);
        drop((first, second));
        assert_eq!(gauge.get(), 0);
    }
}
