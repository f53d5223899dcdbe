//! What became of the items of one worker, and of all.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::report::Failed;
use super::stage_report::Groups;

/// Percentiles to two significant digits: some 10 KiB a worker, from a microsecond to hours.
const DIGITS: u8 = 2;

/// What became of one worker's items.
pub(super) struct Outcomes<I> {
    pub(super) committed: u64,
    pub(super) failed: Vec<Failed<I>>,
    pub(super) not_started: u64,
    pub(super) retried: u64,
    pub(super) wait: Histogram<u64>,
    pub(super) session: Histogram<u64>,
    pub(super) groups: Groups,
    /// How long it had nothing to do, of all the time that it was there.
    pub(super) idle: Duration,
    pub(super) lived: Duration,
}

impl<I> Outcomes<I> {
    pub(super) fn new() -> Self {
        Outcomes {
            committed: 0,
            failed: Vec::new(),
            not_started: 0,
            retried: 0,
            wait: histogram(),
            session: histogram(),
            groups: Groups::default(),
            idle: Duration::ZERO,
            lived: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, other: Outcomes<I>) {
        self.committed += other.committed;
        self.failed.extend(other.failed);
        self.not_started += other.not_started;
        self.retried += other.retried;
        self.wait += other.wait;
        self.session += other.session;
        self.groups.committed += other.groups.committed;
        self.groups.taken_apart += other.groups.taken_apart;
        self.idle += other.idle;
        self.lived += other.lived;
    }
}

/// An empty histogram of microseconds.
pub(super) fn histogram() -> Histogram<u64> {
    match Histogram::new(DIGITS) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("BUG: {DIGITS} digits refused: {error}"),
    }
}

pub(super) fn record(histogram: &mut Histogram<u64>, time: Duration) {
    // Auto-resizing histograms take any value; one that does not fit is a reading worth dropping, not an error.
    let _ = histogram.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}
