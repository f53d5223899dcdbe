//! What a request comes to, and how times are spread.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Significant digits of the histograms: a thousandth of the value.
const DIGITS: u8 = 3;

/// Of those of which there are many: a hundredth of the value.
const FEW_DIGITS: u8 = 2;

/// Longer times are recorded as this.
const LONGEST: Duration = Duration::from_secs(3_600);

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered in time.
    Done,
    /// Answered, when nobody waits for it any more.
    Late,
    /// Refused at once: the pool is full, or its queue.
    Dropped,
    /// No connection, or no answer, within a limit.
    TimedOut,
    /// Any other error, and what is refused while the circuit breaker is open.
    Failed,
    /// No thread was free for it.
    Unstarted,
}

impl Outcome {
    /// Whether somebody has had an answer, in time or not.
    pub fn is_answered(self) -> bool {
        matches!(self, Outcome::Done | Outcome::Late)
    }
}

/// The time of what never ended.
pub const NEVER: Duration = Duration::MAX;

/// Times in microseconds, and how often there was no end.
#[derive(Clone, Debug)]
pub struct Spread {
    times: Histogram<u64>,
    never: u64,
}

impl Spread {
    pub fn new() -> Self {
        Spread::with(DIGITS)
    }

    /// A smaller one, for a slice of a run.
    pub fn coarse() -> Self {
        Spread::with(FEW_DIGITS)
    }

    fn with(digits: u8) -> Self {
        let longest = LONGEST.as_micros() as u64;
        let times = Histogram::new_with_bounds(1, longest, digits).expect("BUG: bounds that cannot be");
        Spread { times, never: 0 }
    }

    pub fn add(&mut self, time: Duration) {
        self.add_many(time, 1);
    }

    pub fn add_many(&mut self, time: Duration, count: u64) {
        self.times.saturating_record_n(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), count);
    }

    /// Adds as many that are slower than every time.
    pub fn add_never(&mut self, count: u64) {
        self.never += count;
    }

    pub fn count(&self) -> u64 {
        self.times.len() + self.never
    }

    /// The shortest time; `None` of none.
    pub fn shortest(&self) -> Option<Duration> {
        (!self.times.is_empty()).then(|| Duration::from_micros(self.times.min()))
    }

    /// The time that `part` of all did not exceed: [`NEVER`] where fewer than that ended, `None` of none.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        if self.count() == 0 {
            return None;
        }
        let place = ((part * self.count() as f64).ceil() as u64).max(1);
        if place > self.times.len() {
            return Some(NEVER);
        }
        let part = part * self.count() as f64 / self.times.len() as f64;
        Some(Duration::from_micros(self.times.value_at_quantile(part.min(1.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_the_longest_are_kept_as_it_and_none_is_told_of_nothing() {
        let mut spread = Spread::new();
        assert_eq!(spread.quantile(0.5), None);
        spread.add(2 * LONGEST);
        let longest = LONGEST - Duration::from_secs(4)..LONGEST + Duration::from_secs(4);
        assert!(longest.contains(&spread.quantile(1.0).unwrap()));
    }

    #[test]
    fn what_never_ended_is_slower_than_all_that_did() {
        let mut spread = Spread::new();
        spread.add_never(6);
        assert_eq!((spread.quantile(0.0), spread.shortest()), (Some(NEVER), None));
        (0..94).for_each(|_| spread.add(Duration::from_millis(4)));
        let told = [0.0, 0.5, 0.94, 0.95, 1.0].map(|part| spread.quantile(part).unwrap() == NEVER);
        assert_eq!((told, spread.count()), ([false, false, false, true, true], 100));
    }
}
