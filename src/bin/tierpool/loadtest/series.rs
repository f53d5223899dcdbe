//! What became of requests over the time at which they were due: slices of a number that does not grow with the run.

use std::time::Duration;

use super::spread::{Outcome, Spread};

/// The most slices of a run.
const MOST: u32 = 300;

/// The shortest slice.
const SHORTEST: Duration = Duration::from_secs(1);

/// Requests by the slice of time in which they were due.
#[derive(Clone, Debug)]
pub struct Series {
    width: Duration,
    slices: Vec<Slice>,
}

/// Those of one slice.
#[derive(Clone, Debug)]
pub struct Slice {
    offered: u64,
    pub done: u64,
    pub latency: Spread,
}

impl Slice {
    /// All but those that were answered in time: also what never came to anything.
    pub fn errors(&self) -> u64 {
        self.offered.saturating_sub(self.done)
    }
}

impl Series {
    pub fn over(time: Duration) -> Self {
        Series { width: (time / MOST).max(SHORTEST), slices: Vec::new() }
    }

    /// Counts a request that is due then, whatever becomes of it.
    pub fn offer(&mut self, due: Duration) {
        self.slice(due).offered += 1;
    }

    /// Adds what became of one that was offered.
    pub fn add(&mut self, due: Duration, outcome: Outcome, latency: Duration) {
        let slice = self.slice(due);
        slice.done += u64::from(outcome == Outcome::Done);
        if outcome.is_answered() {
            slice.latency.add(latency);
        }
    }

    /// Has what came to no answer be slower than all that did.
    pub fn settle(&mut self) {
        for slice in &mut self.slices {
            slice.latency.add_never(slice.offered.saturating_sub(slice.latency.count()));
        }
    }

    fn slice(&mut self, due: Duration) -> &mut Slice {
        let number = ((due.as_secs_f64() / self.width.as_secs_f64()) as usize).min(MOST as usize);
        if number >= self.slices.len() {
            let empty = || Slice { offered: 0, done: 0, latency: Spread::coarse() };
            self.slices.resize_with(number + 1, empty);
        }
        &mut self.slices[number]
    }

    /// The slices, each with the second in its middle.
    pub fn points(&self) -> impl Iterator<Item = (f64, &Slice)> {
        let width = self.width.as_secs_f64();
        self.slices.iter().enumerate().map(move |(number, slice)| ((number as f64 + 0.5) * width, slice))
    }

    /// How many a second a count in a slice comes to.
    pub fn rate(&self, count: u64) -> f64 {
        count as f64 / self.width.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::spread::NEVER;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_request_counts_where_it_was_due() {
        let mut series = Series::over(30 * SECOND);
        for (due, outcome) in [(0, Outcome::Done), (2, Outcome::Failed), (2, Outcome::Done)] {
            series.offer(due * SECOND);
            series.add(due * SECOND, outcome, SECOND);
        }
        series.offer(3 * SECOND);
        series.settle();
        let points: Vec<_> = series.points().map(|(at, slice)| (at, slice.done, slice.errors())).collect();
        assert_eq!(points, [(0.5, 1, 0), (1.5, 0, 0), (2.5, 1, 1), (3.5, 0, 1)]);
        let slowest: Vec<_> = series.points().map(|(_, slice)| slice.latency.quantile(1.0)).collect();
        assert!(slowest[0] < Some(2 * SECOND) && slowest[1].is_none(), "{slowest:?}");
        assert_eq!(slowest[2..], [Some(NEVER), Some(NEVER)]);
    }

    #[test]
    fn a_day_has_no_more_slices_than_a_minute_may_have() {
        let day = 86_400 * SECOND;
        let mut series = Series::over(day);
        (0..86_400).for_each(|at| series.add(at * SECOND, Outcome::Done, SECOND));
        series.add(2 * day, Outcome::Done, SECOND);
        assert_eq!(series.points().count(), MOST as usize + 1);
        assert_eq!(series.points().map(|(_, slice)| slice.done).max(), Some(288));
        assert_eq!(series.rate(288), 1.0);
    }
}
