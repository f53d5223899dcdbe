//! What a run came to, in words.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tierpool::batch::{Failed, Report};

use super::answer::Target;
use super::frontier::Run;
use super::schema::Counts;
use super::server::with_causes;
use super::site::serve::Seen;
use super::store::Tally;

/// More failures than this are counted only.
const SHOWN_FAILURES: usize = 5;

/// What a run gives back.
pub struct Outcome {
    pub run: Run,
    /// Whether nothing is pending any more.
    pub is_finished: bool,
    /// Whether it was stopped before it came to its end.
    pub is_stopped: bool,
    /// What the committed addresses came to.
    pub tally: Tally,
    /// Requests made, by host.
    pub requests: BTreeMap<String, u64>,
    waves: Vec<Report<Target>>,
}

impl Outcome {
    pub fn new(run: Run) -> Outcome {
        Outcome {
            run,
            is_finished: false,
            is_stopped: false,
            tally: Tally::default(),
            requests: BTreeMap::new(),
            waves: Vec::new(),
        }
    }

    /// Adds a wave.
    pub fn add(&mut self, report: Report<Target>, tally: Tally) {
        let Tally { new, changed, needless, unchanged, no_page } = tally;
        self.tally.new += new;
        self.tally.changed += changed;
        self.tally.needless += needless;
        self.tally.unchanged += unchanged;
        self.tally.no_page += no_page;
        self.waves.push(report);
    }

    /// The report of the wave that was added last.
    pub fn last(&self) -> &Report<Target> {
        self.waves.last().expect("BUG: asked for ahead of the first wave")
    }

    /// One line about that wave.
    pub fn last_wave(&self) -> String {
        let Report { items, committed, failed, elapsed, fetch, .. } = self.last();
        let retried = fetch.as_ref().map_or(0, |fetch| fetch.retried);
        format!(
            "wave {}: {items} addresses, {committed} stored, {} failed, {retried} fetches tried again, {elapsed:.1?}",
            self.waves.len(),
            failed.len()
        )
    }

    /// Every failure of the run.
    pub fn failed(&self) -> impl Iterator<Item = &Failed<Target>> {
        self.waves.iter().flat_map(|report| &report.failed)
    }

    fn fetches_tried_again(&self) -> u64 {
        self.waves.iter().filter_map(|report| report.fetch.as_ref()).map(|fetch| fetch.retried).sum()
    }

    fn write_failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failed in self.failed().take(SHOWN_FAILURES) {
            write!(f, "\n  - {} after {} requests: ", failed.item.url, failed.item.requests())?;
            f.write_str(&with_causes(&*failed.error))?;
        }
        match self.failed().count().saturating_sub(SHOWN_FAILURES) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |part: fn(&Report<Target>) -> u64| self.waves.iter().map(part).sum::<u64>();
        let elapsed: Duration = self.waves.iter().map(|report| report.elapsed).sum();
        let resumed = if self.run.is_resumed { ", which an earlier program had begun" } else { "" };
        writeln!(f, "run {}{resumed}: {} waves in {elapsed:.1?}", self.run.id, self.waves.len())?;
        if let Some(last) = self.waves.last() {
            writeln!(f, "\nthe last wave\n{last}\n\nall waves")?;
        }
        writeln!(
            f,
            "  addresses: {} ({} stored, {} failed, {} not started)",
            sum(|report| report.items),
            sum(|report| report.committed),
            sum(|report| report.failed.len() as u64),
            sum(|report| report.not_started)
        )?;
        writeln!(
            f,
            "  tried again: {} fetches, {} stores",
            self.fetches_tried_again(),
            sum(|report| report.retried)
        )?;
        write!(f, "  {}", self.tally)?;
        self.write_failures(f)?;
        let why = match (self.is_finished, self.is_stopped) {
            (true, _) => "finished: nothing is pending",
            (_, true) => "stopped: the next run goes on from here",
            _ => "ended early: the next run goes on from here",
        };
        write!(f, "\n{why}")
    }
}

/// The hosts with their limits and what they have seen.
pub fn hosts(seen: &Seen) -> String {
    let lines = seen.iter().map(|(name, host)| {
        format!(
            "  {name}: {} requests, at most {} in one second; limit {:.0} a second; {} pauses asked for\n",
            host.requests(),
            host.busiest,
            host.limit,
            host.pauses
        )
    });
    format!("\nhosts\n{}", lines.collect::<String>())
}

/// The rows of the tables.
pub fn rows(counts: &Counts) -> String {
    let urls: String = counts.urls.iter().map(|(state, count)| format!("  {state}: {count}\n")).collect();
    format!("\naddresses in the database\n{urls}  pages: {}, links: {}\n", counts.pages, counts.links)
}
