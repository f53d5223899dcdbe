//! What the feeder and the workers of a batch share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::options::{Options, Progress};
use super::report::BoxError;
use crate::postgres::PgManager;
use crate::tiers::TieredPool;

/// What feeder and workers share.
pub(super) struct Floor<'a> {
    pub(super) pool: &'a TieredPool<PgManager>,
    pub(super) options: &'a Options,
    pub(super) total: Option<u64>,
    // Relaxed in all uses: counts for the progress, and flags that are looked at again and again.
    pub(super) committed: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) halted: AtomicBool,
    /// Why no connection can be had any more; the first cause stays.
    pub(super) unusable: Mutex<Option<BoxError>>,
}

impl Floor<'_> {
    /// Whether no further item is to be started.
    pub(super) fn is_over(&self) -> bool {
        self.halted.load(Ordering::Relaxed) || self.is_stopped()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.options.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    pub(super) fn give_up(&self, why: BoxError) {
        self.unusable.lock().get_or_insert(why);
        self.halt();
    }

    /// Ends the batch: items under way are finished, no other is started.
    pub(super) fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }

    pub(super) fn item_committed(&self) {
        self.committed.fetch_add(1, Ordering::Relaxed);
        self.tell_progress();
    }

    pub(super) fn item_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.tell_progress();
    }

    fn tell_progress(&self) {
        if let Some(tell) = &self.options.on_progress {
            tell(Progress {
                committed: self.committed.load(Ordering::Relaxed),
                failed: self.failed.load(Ordering::Relaxed),
                total: self.total,
            });
        }
    }
}
