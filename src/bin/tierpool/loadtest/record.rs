//! What becomes of requests: counts, and how long each part took. Of a size that does not grow with the run.

use std::time::Duration;

use super::series::Series;
use super::spread::{Outcome, Spread};

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
    /// For the answers, where all of them came.
    pub service: Option<Duration>,
    /// The connection was held.
    pub hold: Option<Duration>,
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
    /// Connections were held as often by requests that did not fail, and in all for so long.
    holds: u32,
    held: Duration,
    /// Connections were held for so long within the time of the run, by whichever request.
    pub busy: Duration,
    time: Duration,
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
            busy: Duration::ZERO,
            time,
            queued: Duration::ZERO,
            last_error: None,
        }
    }

    pub fn add(&mut self, outcome: Outcome, times: Times, error: Option<String>) {
        let Times { due, latency, lag, generator, wait, service, hold } = times;
        self.add_many(outcome, 1, latency);
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
            let beyond = due.saturating_add(latency).saturating_sub(self.time);
            self.busy += hold.saturating_sub(beyond);
            // One that failed may have ended before its work began, and tells nothing of what the work takes.
            if outcome != Outcome::Failed {
                self.holds = self.holds.saturating_add(1);
                self.held += hold;
            }
        }
        self.last_error = error.or(self.last_error.take());
    }

    /// Adds as many, each with that latency where it is one that is answered.
    pub fn add_many(&mut self, outcome: Outcome, count: u64, latency: Duration) {
        self.counts.add_many(outcome, count);
        if outcome.is_answered() {
            self.latency.add_many(latency, count);
        } else {
            self.latency.add_never(count);
        }
    }

    /// The average time that a request's thread waited for a core.
    pub fn mean_queued(&self) -> Duration {
        Duration::from_secs_f64(self.queued.as_secs_f64() / self.lag.count().max(1) as f64)
    }

    /// The average time for which a request that did not fail had a connection; `None` where none had one.
    pub fn mean_hold(&self) -> Option<Duration> {
        self.held.checked_div(self.holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::spread::NEVER;

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
        record.add(Outcome::Failed, Times { hold: Some(MS), ..Times::default() }, None);
        assert_eq!((record.counts.offered(), record.counts.errors()), (4, 3));
        assert_eq!((record.latency.count(), record.wait.count(), record.service.count()), (4, 2, 1));
        assert_eq!(record.latency.quantile(0.5), Some(NEVER), "three of four had no answer");
        assert_eq!((record.mean_hold(), record.busy), (Some(41 * MS), 42 * MS));
        let at_the_end = Times { due: 990 * MS, latency: 30 * MS, hold: Some(25 * MS), ..Times::default() };
        record.add(Outcome::Done, at_the_end, None);
        assert_eq!(record.busy, 47 * MS, "what is held beyond the end is not of the run's time");
        assert_eq!(record.last_error.as_deref(), Some("a"));
    }
}
