//! What became of each piece of work, and what the sum of it shows.

use std::time::Duration;

use super::subject::{Outcome, Step};

/// One piece of work. Times are since the start of the run.
#[derive(Clone, Debug)]
pub struct Record {
    pub number: i64,
    pub start: Duration,
    pub end: Duration,
    /// How long the worker was in each step: get, query, drop.
    pub steps: [Duration; 3],
    pub outcome: Outcome,
}

impl Record {
    pub fn is_done(&self) -> bool {
        matches!(self.outcome, Outcome::Done)
    }
}

/// The longest times in one step, over all records: get, query, drop.
pub fn longest_blocks(records: &[Record]) -> [Duration; 3] {
    let longest = |step: Step| records.iter().map(|record| record.steps[step as usize]).max();
    [Step::Get, Step::Query, Step::Drop].map(|step| longest(step).unwrap_or_default())
}

/// The width of the window over which speed is measured, and the step by which it is moved.
const WINDOW: Duration = Duration::from_millis(500);
const SHIFT: Duration = Duration::from_millis(50);
/// The part of the earlier speed that counts as full.
const FULL: f64 = 0.9;

/// When each piece of work was done, in order.
pub struct Successes(Vec<Duration>);

impl Successes {
    pub fn of(records: &[Record]) -> Self {
        let mut times: Vec<_> = records.iter().filter(|record| record.is_done()).map(|r| r.end).collect();
        times.sort_unstable();
        Successes(times)
    }

    /// How many there were in a window from `start` on.
    pub fn in_window(&self, start: Duration, width: Duration) -> usize {
        let before = |time: Duration| self.0.partition_point(|done| *done < time);
        before(start + width) - before(start)
    }

    /// The first that was begun from `start` on, so that one merely released by the end of a fault does not count.
    pub fn first_begun_from(records: &[Record], start: Duration) -> Option<Duration> {
        records.iter().filter(|r| r.is_done() && r.start >= start).map(|r| r.end).min()
    }

    /// From when on, not before `start`, work goes at nine tenths of the speed of the window from `reference` on.
    pub fn full_from(&self, start: Duration, reference: Duration, end: Duration) -> Option<Duration> {
        let wanted = (self.in_window(reference, WINDOW) as f64 * FULL) as usize;
        let mut from = start;
        while from + WINDOW <= end {
            if self.in_window(from, WINDOW) >= wanted.max(1) {
                return Some(from);
            }
            from += SHIFT;
        }
        None
    }

    /// The start of the slower of two windows: before the fault, and at the end of the run. A shared machine may have
    /// become slower meanwhile.
    pub fn reference(&self, fault: Duration, end: Duration) -> Duration {
        let before = fault.saturating_sub(WINDOW);
        let last = end.saturating_sub(WINDOW);
        if self.in_window(last, WINDOW) < self.in_window(before, WINDOW) { last } else { before }
    }

    /// The speed of the last window as a part of that before the fault.
    pub fn kept_speed(&self, fault: Duration, end: Duration) -> f64 {
        let before = self.in_window(fault.saturating_sub(WINDOW), WINDOW);
        let last = self.in_window(end.saturating_sub(WINDOW), WINDOW);
        last as f64 / before.max(1) as f64
    }
}
