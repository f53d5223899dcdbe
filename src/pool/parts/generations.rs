//! Generations: which connections are doubtful or unwanted, by when they were last known good, or opened.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{AtomicMillis, Millis};

/// One stretch of a pool's life between two changes that make its idle connections worth a closer look. Later ones are
/// greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

/// The generation of a moment. Relaxed throughout: generations only grow, and a checkout that misses a change came
/// before it.
pub(crate) struct AtomicGeneration(AtomicU64);

impl AtomicGeneration {
    pub(crate) fn first() -> Self {
        AtomicGeneration(AtomicU64::new(1))
    }

    #[inline]
    pub(crate) fn load(&self) -> Generation {
        Generation(self.0.load(Ordering::Relaxed))
    }

    /// Begins the next, and returns it.
    pub(crate) fn begin_next(&self) -> Generation {
        Generation(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Catches up with `with`. False where that was done before.
    pub(crate) fn catch_up(&self, with: Generation) -> bool {
        self.0.swap(with.0, Ordering::Relaxed) != with.0
    }
}

/// The marks that past events have set. Relaxed, as the generations themselves.
pub(crate) struct Generations {
    /// Connections last known good before this are validated before their next checkout.
    suspect_before: AtomicU64,
    /// Connections whose opening began before this are closed.
    evicted_before: AtomicU64,
    /// The earliest time of the next eviction for being misrouted.
    misrouted_until: AtomicMillis,
}

impl Generations {
    pub(crate) fn new() -> Self {
        Generations {
            suspect_before: AtomicU64::new(0),
            evicted_before: AtomicU64::new(0),
            misrouted_until: AtomicMillis::new(Millis::ZERO),
        }
    }

    /// Whether a connection last known good in `seen` has to be validated.
    pub(crate) fn is_suspect(&self, seen: Generation) -> bool {
        seen.0 < self.suspect_before.load(Ordering::Relaxed)
    }

    /// Makes all suspect that were last known good before `next`.
    pub(crate) fn suspect_before(&self, next: Generation) {
        self.suspect_before.fetch_max(next.0, Ordering::Relaxed);
    }

    /// Whether a connection whose opening began in `born` is to be closed.
    pub(crate) fn is_evicted(&self, born: Generation) -> bool {
        born.0 < self.evicted_before.load(Ordering::Relaxed)
    }

    /// Has all closed whose opening began before `next`.
    pub(crate) fn evict_before(&self, next: Generation) {
        self.evicted_before.fetch_max(next.0, Ordering::Relaxed);
    }

    /// Whether all may be evicted for being misrouted; if so, not again before `next`.
    pub(crate) fn may_reroute(&self, now: Millis, next: Millis) -> bool {
        // At worst two threads evict at once, which comes to the same.
        self.misrouted_until.pass(now, next)
    }
}
