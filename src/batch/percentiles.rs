//! Percentiles of a time.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::text::Time;

/// Percentiles of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Percentiles {
    /// The median.
    pub p50: Duration,
    /// 95 of 100 were no longer.
    pub p95: Duration,
    /// 99 of 100 were no longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Percentiles {
    pub(super) fn of(micros: &Histogram<u64>) -> Self {
        let at = |q| Duration::from_micros(micros.value_at_quantile(q));
        Percentiles { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p95, p99, max] = [self.p50, self.p95, self.p99, self.max].map(Time);
        write!(f, "p50 {p50}  p95 {p95}  p99 {p99}  max {max}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_read_as_a_person_would_write_them() {
        assert_eq!(Percentiles::default().to_string(), "p50 0 s  p95 0 s  p99 0 s  max 0 s");
        let micros = Duration::from_micros;
        let some =
            Percentiles { p50: micros(12), p95: micros(2_540), p99: micros(340_000), max: micros(2_000_000) };
        assert_eq!(some.to_string(), "p50 12 us  p95 2.5 ms  p99 340 ms  max 2.0 s");
    }
}
