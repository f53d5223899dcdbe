//! What the threads of a batch share.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::options::{Options, Progress};
use super::report::BoxError;
use crate::clock::Deadline;
use crate::postgres::PgManager;
use crate::tiers::TieredPool;

/// How soon whoever waits for something else notices that the batch is over.
pub(super) const STOP_GRAIN: Duration = Duration::from_millis(20);

/// How soon a worker looks again whether the database can be reached; asking costs the pool nothing.
pub(super) const OUTAGE_PAUSE: Duration = Duration::from_millis(200);

/// What tells a batch's threads how it goes. Apart from the floor, since a fetch that never ends outlives that.
pub(super) struct Signals {
    // Relaxed in all uses: counts for the progress, and flags that are looked at again and again.
    stop: Option<Arc<AtomicBool>>,
    halted: AtomicBool,
    pub(super) fetched: AtomicU64,
}

impl Signals {
    fn new(stop: Option<Arc<AtomicBool>>) -> Self {
        Signals { stop, halted: AtomicBool::new(false), fetched: AtomicU64::new(0) }
    }

    /// Whether nothing further is to be begun with.
    pub(super) fn is_over(&self) -> bool {
        self.is_halted() || self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Whether the batch ends for want of a database, or by a panic, and not since somebody asked for it.
    pub(super) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed)
    }

    /// Ends the batch: items under way are finished, no other is started.
    pub(super) fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }

    /// Waits before another attempt; false when the batch has been ended meanwhile.
    pub(super) fn pause(&self, delay: Duration) -> bool {
        let until = Deadline::of(delay);
        while !self.is_over() {
            let left = until.left();
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(STOP_GRAIN));
        }
        false
    }
}

/// Ends the batch when its thread panics: with its workers gone the feeder would wait for ever, and without a feeder
/// nothing else is to be started.
pub(super) struct EndOnPanic<'a>(pub(super) &'a Signals);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.halt();
        }
    }
}

/// What feeder and workers share.
pub(super) struct Floor<'a> {
    pub(super) pool: &'a TieredPool<PgManager>,
    pub(super) options: &'a Options,
    /// Who runs the batch, for whom its connections are held.
    pub(super) caller: &'static Location<'static>,
    pub(super) signals: Arc<Signals>,
    total: Option<u64>,
    // Relaxed: counts for the progress.
    committed: AtomicU64,
    failed: AtomicU64,
    /// Why no connection can be had any more; the first cause stays.
    unusable: Mutex<Option<BoxError>>,
}

impl<'a> Floor<'a> {
    #[track_caller]
    pub(super) fn new(pool: &'a TieredPool<PgManager>, options: &'a Options, total: Option<u64>) -> Self {
        Floor {
            pool,
            options,
            caller: Location::caller(),
            signals: Arc::new(Signals::new(options.stop.clone())),
            total,
            committed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            unusable: Mutex::new(None),
        }
    }

    pub(super) fn give_up(&self, why: BoxError) {
        self.unusable.lock().get_or_insert(why);
        self.signals.halt();
    }

    /// Why the batch was given up, where it was.
    pub(super) fn take_unusable(&self) -> Option<BoxError> {
        self.unusable.lock().take()
    }

    pub(super) fn item_committed(&self) {
        self.committed.fetch_add(1, Ordering::Relaxed);
        self.pool.automation().count_item(true);
        self.tell_progress();
    }

    pub(super) fn item_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.pool.automation().count_item(false);
        self.tell_progress();
    }

    fn tell_progress(&self) {
        if let Some(tell) = &self.options.on_progress {
            tell(Progress {
                committed: self.committed.load(Ordering::Relaxed),
                failed: self.failed.load(Ordering::Relaxed),
                fetched: self.signals.fetched.load(Ordering::Relaxed),
                total: self.total,
            });
        }
    }
}
