//! What becomes of requests: counts, and how long each part took. Of a size that does not grow with the run.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::series::Series;

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
    /// Refused at once: the queue is full, the circuit breaker open.
    Dropped,
    /// No connection, or no answer, within a limit.
    TimedOut,
    /// Any other error.
    Failed,
    /// No thread was free for it.
    Unstarted,
}

/// How long the parts of a request took; those that it came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// When it was due, from the start of the run.
    pub due: Duration,
    /// From the moment at which it was due to its end.
    pub latency: Duration,
    /// From that moment to its start.
    pub lag: Option<Duration>,
    /// The same, where a thread was ready for it in time: what is left is the generator's own lateness.
    pub generator: Option<Duration>,
    /// For a connection.
    pub wait: Option<Duration>,
    /// For the answers.
    pub service: Option<Duration>,
    /// The connection was held.
    pub hold: Option<Duration>,
}

/// Times in microseconds.
#[derive(Clone, Debug)]
pub struct Spread(Histogram<u64>);

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
        Spread(Histogram::new_with_bounds(1, longest, digits).expect("BUG: bounds that cannot be"))
    }

    pub fn add(&mut self, time: Duration) {
        self.add_many(time, 1);
    }

    fn add_many(&mut self, time: Duration, count: u64) {
        self.0.saturating_record_n(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), count);
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that `part` of all did not exceed; `None` of none.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let found = || Duration::from_micros(self.0.value_at_quantile(part));
        (!self.0.is_empty()).then(found)
    }
}

/// How many requests came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub done: u64,
    pub late: u64,
    pub dropped: u64,
    pub timed_out: u64,
    pub failed: u64,
    pub unstarted: u64,
}

impl Counts {
    fn add_many(&mut self, outcome: Outcome, count: u64) {
        *match outcome {
            Outcome::Done => &mut self.done,
            Outcome::Late => &mut self.late,
            Outcome::Dropped => &mut self.dropped,
            Outcome::TimedOut => &mut self.timed_out,
            Outcome::Failed => &mut self.failed,
            Outcome::Unstarted => &mut self.unstarted,
        } += count;
    }

    /// All but those that were answered in time.
    pub fn errors(&self) -> u64 {
        let Counts { done: _, late, dropped, timed_out, failed, unstarted } = self;
        late + dropped + timed_out + failed + unstarted
    }

    pub fn offered(&self) -> u64 {
        self.done + self.errors()
    }
}

/// Everything that is recorded of a run.
#[derive(Clone, Debug)]
pub struct Record {
    pub counts: Counts,
    pub latency: Spread,
    pub lag: Spread,
    pub generator: Spread,
    pub wait: Spread,
    pub service: Spread,
    pub series: Series,
    /// Connections were held as often, and in all for so long.
    pub holds: u32,
    pub held: Duration,
    /// Threads that have ended had waited for a core for so long, in all.
    pub queued: Duration,
    pub last_error: Option<String>,
}

impl Record {
    /// For a run of that time.
    pub fn over(time: Duration) -> Self {
        let spread = Spread::new();
        Record {
            counts: Counts::default(),
            latency: spread.clone(),
            lag: spread.clone(),
            generator: spread.clone(),
            wait: spread.clone(),
            service: spread,
            series: Series::over(time),
            holds: 0,
            held: Duration::ZERO,
            queued: Duration::ZERO,
            last_error: None,
        }
    }

    pub fn add(&mut self, outcome: Outcome, times: Times, error: Option<String>) {
        let Times { due, latency, lag, generator, wait, service, hold } = times;
        self.add_missing(outcome, 1, latency);
        self.series.add(due, outcome, latency);
        let parts = [
            (&mut self.lag, lag),
            (&mut self.generator, generator),
            (&mut self.wait, wait),
            (&mut self.service, service),
        ];
        for (spread, time) in parts {
            time.into_iter().for_each(|time| spread.add(time));
        }
        if let Some(hold) = hold {
            self.holds = self.holds.saturating_add(1);
            self.held += hold;
        }
        self.last_error = error.or(self.last_error.take());
    }

    /// Adds as many that came to nothing else, whenever they were due.
    pub fn add_missing(&mut self, outcome: Outcome, count: u64, latency: Duration) {
        self.counts.add_many(outcome, count);
        self.latency.add_many(latency, count);
    }

    /// The average time that a request's thread waited for a core.
    pub fn mean_queued(&self) -> Duration {
        Duration::from_secs_f64(self.queued.as_secs_f64() / self.lag.count().max(1) as f64)
    }

    /// The average time for which a request had a connection; `None` where none had one.
    pub fn mean_hold(&self) -> Option<Duration> {
        self.held.checked_div(self.holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_request_counts_once_and_with_the_times_that_it_came_to() {
        let mut record = Record::over(Duration::from_secs(1));
        let served = Times {
            due: MS,
            latency: 42 * MS,
            lag: Some(MS),
            generator: Some(MS),
            wait: Some(MS),
            service: Some(40 * MS),
            hold: Some(41 * MS),
        };
        record.add(Outcome::Done, served, None);
        record.add(Outcome::TimedOut, Times { wait: Some(9 * MS), ..Times::default() }, Some("a".to_owned()));
        record.add(Outcome::Unstarted, Times::default(), None);
        assert_eq!((record.counts.offered(), record.counts.errors()), (3, 2));
        assert_eq!((record.latency.count(), record.wait.count(), record.service.count()), (3, 2, 1));
        assert_eq!(record.mean_hold(), Some(41 * MS));
        assert_eq!(record.last_error.as_deref(), Some("a"));
    }

    #[test]
    fn times_beyond_the_longest_are_kept_as_it_and_none_is_told_of_nothing() {
        let mut spread = Spread::new();
        assert_eq!(spread.quantile(0.5), None);
        spread.add(Duration::MAX);
        assert!(spread.quantile(1.0).unwrap() >= LONGEST - Duration::from_secs(4));
    }
}
