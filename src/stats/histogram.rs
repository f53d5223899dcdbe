//! Histograms of durations over fixed bounds: cheap to record into, fit for Prometheus.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in milliseconds; one more bucket takes what is longer.
pub const BOUNDS_MS: [u64; 15] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000];

const BUCKETS: usize = BOUNDS_MS.len() + 1;

/// A histogram of durations, as it was at one moment.
///
/// `Debug` names the buckets that are not empty by their bounds.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Histogram {
    /// How many durations fell into each bucket: at most the bound of the same index in [`BOUNDS_MS`], and more than
    /// the one before; the last bucket has no bound.
    pub counts: [u64; BUCKETS],
    /// The sum of all durations.
    pub sum: Duration,
}

impl Histogram {
    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The average; `None` if nothing was recorded.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tierpool::stats::Histogram;
    ///
    /// let mut queries = Histogram::default();
    /// assert_eq!(queries.mean(), None);
    /// (queries.counts[2], queries.sum) = (4, Duration::from_millis(14));
    /// assert_eq!(queries.mean(), Some(Duration::from_micros(3500)));
    /// ```
    pub fn mean(&self) -> Option<Duration> {
        let nanos = self.sum.as_nanos().checked_div(self.count().into())?;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// The upper bound of the bucket in which the quantile `q` (from 0 to 1) lies; `None` if nothing was recorded
    /// or it lies beyond the last bound.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tierpool::stats::Histogram;
    ///
    /// let mut waits = Histogram::default();
    /// waits.counts[0] = 99; // at most 1 ms
    /// waits.counts[6] = 1; // at most 100 ms
    /// assert_eq!(waits.quantile(0.5), Some(Duration::from_millis(1)));
    /// assert_eq!(waits.quantile(1.0), Some(Duration::from_millis(100)));
    /// ```
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = ((self.count() as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        BOUNDS_MS.get(bucket).map(|ms| Duration::from_millis(*ms))
    }

    pub(crate) fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.sum += other.sum;
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("Histogram");
        told.field("count", &self.count()).field("sum", &self.sum);
        for (i, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            match BOUNDS_MS.get(i) {
                Some(bound) => told.field(&format!("up to {bound} ms"), count),
                None => told.field("longer", count),
            };
        }
        told.finish()
    }
}

/// A histogram that is recorded into.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

fn bucket(ms: u64) -> usize {
    BOUNDS_MS.partition_point(|bound| *bound < ms)
}

impl Recorder {
    /// Records a duration, from any thread.
    pub(crate) fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        // Relaxed: independent counters; a snapshot taken meanwhile may lack the last.
        self.counts[bucket(us.div_ceil(1000))].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Records a duration where one thread at a time does so: whoever has the slot's connection in hand.
    #[inline]
    pub(crate) fn record_alone(&self, ms: u64) {
        let bump = |counter: &AtomicU64, by| {
            // Relaxed, and no read-modify-write: the connection in hand makes this the only writer, and the swap
            // that passes it on orders this writer before the next.
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        };
        bump(&self.counts[if ms == 0 { 0 } else { bucket(ms) }], 1);
        if ms > 0 {
            bump(&self.sum_us, ms * 1000);
        }
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        // Relaxed: see `record`.
        let counts = std::array::from_fn(|i| self.counts[i].load(Ordering::Relaxed));
        Histogram { counts, sum: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS_MS, Histogram, Recorder};
    use std::time::Duration;

    #[test]
    fn debug_names_the_buckets_by_their_bounds() {
        let mut told = Histogram { sum: Duration::from_secs(70), ..Histogram::default() };
        assert_eq!(format!("{told:?}"), "Histogram { count: 0, sum: 70s }");
        (told.counts[1], told.counts[BOUNDS_MS.len()]) = (3, 1);
        assert_eq!(format!("{told:?}"), "Histogram { count: 4, sum: 70s, up to 2 ms: 3, longer: 1 }");
    }

    #[test]
    fn a_duration_lands_in_the_bucket_of_its_bound() {
        let recorder = Recorder::default();
        recorder.record(Duration::from_micros(1));
        recorder.record(Duration::from_millis(1));
        recorder.record(Duration::from_micros(1001));
        recorder.record(Duration::from_secs(61));
        recorder.record_alone(0);
        recorder.record_alone(3);
        let seen = recorder.snapshot();
        assert_eq!(seen.counts[..3], [3, 1, 1]);
        assert_eq!(seen.counts[BOUNDS_MS.len()], 1);
        assert_eq!(seen.sum, Duration::from_micros(1 + 1000 + 1001 + 61_000_000 + 3000));
    }
}
