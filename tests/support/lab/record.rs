//! What became of each piece of work, and what the sum of it shows.

use std::collections::BTreeSet;
use std::time::Duration;

use super::subject::{Outcome, Step};

/// The numbers of one worker's work begin this far from the next one's.
pub const STRIDE: i64 = 1_000_000_000;

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
    /// Which worker did it.
    pub fn worker(&self) -> i64 {
        self.number / STRIDE
    }

    pub fn is_done(&self) -> bool {
        matches!(self.outcome, Outcome::Done)
    }
}

/// The longest times in one step, over all records: get, query, drop.
pub fn longest_blocks(records: &[Record]) -> [Duration; 3] {
    let longest = |step: Step| records.iter().map(|record| record.steps[step as usize]).max();
    [Step::Get, Step::Query, Step::Drop].map(|step| longest(step).unwrap_or_default())
}

/// The width of the window in which all workers must work, and the step by which it is moved.
pub const WINDOW: Duration = Duration::from_millis(500);
const SHIFT: Duration = Duration::from_millis(50);
/// The part of the workers' time that may pass in checkouts at full speed.
const WAITING: f64 = 0.1;
/// Work that ends this long after a window may have begun in it.
const LONGEST: Duration = Duration::from_secs(5);

/// When the first piece of work begun from `start` on was done: one merely released by the end of a fault does not
/// count.
pub fn first_done(records: &[Record], start: Duration) -> Option<Duration> {
    records.iter().filter(|record| record.is_done() && record.start >= start).map(|record| record.end).min()
}

/// From when on, not before `start`, work goes at full speed.
pub fn full_from(records: &[Record], workers: usize, start: Duration, end: Duration) -> Option<Duration> {
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_unstable_by_key(|record| record.end);
    let mut from = start;
    while from + WINDOW <= end {
        if is_full(&sorted, workers, from) {
            return Some(from);
        }
        from += SHIFT;
    }
    None
}

/// Whether the pool costs no speed in the window from `from` on: every worker gets work done, none fails, and next to
/// none of their time passes in checkouts. How much is done is no measure of the pool on a machine that others use too.
/// `sorted` is by end.
pub fn is_full(sorted: &[&Record], workers: usize, from: Duration) -> bool {
    let to = from + WINDOW;
    let first = sorted.partition_point(|record| record.end < from);
    let near = sorted[first..].iter().take_while(|record| record.end < to + LONGEST);
    let (mut working, mut waited) = (BTreeSet::new(), Duration::ZERO);
    for record in near {
        let served = record.start + record.steps[Step::Get as usize];
        waited += served.min(to).saturating_sub(record.start.max(from));
        if record.end < to {
            if !record.is_done() {
                return false;
            }
            // In its second half: what was done just before a fault took hold says nothing.
            if record.end >= from + WINDOW / 2 {
                working.insert(record.worker());
            }
        }
    }
    working.len() == workers && waited.as_secs_f64() <= WAITING * WINDOW.as_secs_f64() * workers as f64
}
