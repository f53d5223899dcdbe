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
pub const SHIFT: Duration = Duration::from_millis(50);
/// The part of the workers' time that may pass in checkouts beyond what was usual before the fault: some pools ask the
/// server in each.
const WAITING: f64 = 0.1;
/// Work that ends this long after a window may have begun in it.
const LONGEST: Duration = Duration::from_secs(5);

/// When the first piece of work begun from `start` on was done: one merely released by the end of a fault does not
/// count.
pub fn first_done(records: &[Record], start: Duration) -> Option<Duration> {
    records.iter().filter(|record| record.is_done() && record.start >= start).map(|record| record.end).min()
}

/// From when on, not before `start`, work goes at full speed, where `usual` passed in checkouts in a window before.
pub fn full_from(
    sorted: &[&Record],
    workers: usize,
    usual: Duration,
    start: Duration,
    end: Duration,
) -> Option<Duration> {
    let mut from = start;
    while from + WINDOW <= end {
        if is_full(sorted, workers, usual, from) {
            return Some(from);
        }
        from += SHIFT;
    }
    None
}

/// Whether the pool costs no speed in the window from `from` on: every worker gets work done, none fails, and next to
/// none of their time passes in checkouts. How much is done is no measure of the pool on a machine that others use too.
/// `sorted` is by end.
pub fn is_full(sorted: &[&Record], workers: usize, usual: Duration, from: Duration) -> bool {
    let to = from + WINDOW;
    let mut working = BTreeSet::new();
    for record in near(sorted, from) {
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
    let allowed = usual + (WINDOW * workers as u32).mul_f64(WAITING);
    working.len() == workers && in_checkouts(sorted, from) <= allowed
}

/// The sum of the time that passes in checkouts in the window from `from` on.
pub fn in_checkouts(sorted: &[&Record], from: Duration) -> Duration {
    let to = from + WINDOW;
    let served = |record: &Record| record.start + record.steps[Step::Get as usize];
    let within = |record: &Record| served(record).min(to).saturating_sub(record.start.max(from));
    near(sorted, from).map(within).sum()
}

/// What ended in the window from `from` on or may have begun in it.
fn near<'a>(sorted: &'a [&Record], from: Duration) -> impl Iterator<Item = &'a Record> {
    let first = sorted.partition_point(|record| record.end < from);
    sorted[first..].iter().copied().take_while(move |record| record.end < from + WINDOW + LONGEST)
}

/// The records by the time of their end.
pub fn by_end(records: &[Record]) -> Vec<&Record> {
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_unstable_by_key(|record| record.end);
    sorted
}
