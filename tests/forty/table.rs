//! What came of a run, as lines of a table, and what of it was not as promised.

use std::time::Duration;

use super::pace::Pace;
use super::person::Visit;
use super::plan::Change;
use super::reckoning::Gap;
use super::sampler::Sample;
use super::{AUTOMATION, GETS_IN, SLOTS, STARVES};

/// What was seen in a run.
pub struct Outcome {
    pub length: Duration,
    pub samples: Vec<Sample>,
    pub gaps: Vec<Gap>,
    /// Those while the server was there.
    pub visits: Vec<Visit>,
    pub changes: Vec<Change>,
    /// How often programs were served, and were not; how many never were.
    pub served: u64,
    pub failed: u64,
    pub never: usize,
    /// Log-ins and sessions that the server refused.
    pub refusals: usize,
}

impl Outcome {
    pub fn most_sessions(&self) -> usize {
        self.samples.iter().map(|sample| sample.automation).max().unwrap_or(0)
    }

    pub fn most_slots(&self) -> usize {
        self.samples.iter().map(Sample::all_slots).max().unwrap_or(0)
    }

    /// Connections of the person that were refused, or came later than promised.
    pub fn not_let_in(&self, pace: &Pace) -> Vec<&Visit> {
        let is_late = |visit: &&Visit| {
            visit.refused.is_some() || visit.length() > pace.widened(GETS_IN, visit.from, visit.to)
        };
        self.visits.iter().filter(is_late).collect()
    }

    fn longest_gap(&self) -> Duration {
        self.gaps.iter().map(Gap::length).max().unwrap_or_default()
    }

    /// What of a fleet's promises did not hold.
    pub fn broken(&self, pace: &Pace) -> Vec<String> {
        let mut broken = Vec::new();
        if self.most_sessions() > AUTOMATION || self.most_slots() > SLOTS {
            broken.push(format!("{} sessions and {} slots", self.most_sessions(), self.most_slots()));
        }
        for gap in &self.gaps {
            let limit = pace.widened(STARVES, gap.from, gap.to);
            if gap.length() > limit {
                broken.push(format!(
                    "program {} was without for {:.1?}: above {limit:.1?}",
                    gap.program,
                    gap.length()
                ));
            }
        }
        for visit in self.not_let_in(pace) {
            let limit = pace.widened(GETS_IN, visit.from, visit.to);
            broken.push(format!(
                "the person: {:?} after {:.1?}, of {limit:.1?}",
                visit.refused,
                visit.length()
            ));
        }
        for change in &self.changes {
            let (took, limit) = (change.to - change.from, pace.widened(change.limit, change.from, change.to));
            if took > limit {
                broken.push(format!("{}: even after {took:.1?}, of {limit:.1?}", change.what));
            }
        }
        if self.never > 0 {
            broken.push(format!("{} programs never got a connection", self.never));
        }
        broken
    }
}

/// The table of both runs.
pub fn table(with: &Outcome, without: &Outcome, pace: &Pace) -> String {
    let row = |what: &str, of: &dyn Fn(&Outcome) -> String| {
        format!("{what:<58} {:>14} {:>14}\n", of(with), of(without))
    };
    let slowest = |outcome: &Outcome| outcome.visits.iter().map(Visit::length).max().unwrap_or_default();
    let mut text = format!("{:<58} {:>14} {:>14}\n", "", "with a fleet", "without");
    text += &row("time", &|o| format!("{:.0} s", o.length.as_secs_f64()));
    text += &row("looks at pg_stat_activity", &|o| o.samples.len().to_string());
    text += &row("sessions of the programs at the most, of 55", &|o| o.most_sessions().to_string());
    text += &row("slots at the most, of 52", &|o| o.most_slots().to_string());
    text += &row("programs that never got a connection, of 40", &|o| o.never.to_string());
    text += &row("longest that one was without, where reckoned", &|o| {
        format!("{:.1} s", o.longest_gap().as_secs_f64())
    });
    text += &row("checkouts a second", &|o| format!("{:.0}", o.served as f64 / o.length.as_secs_f64()));
    text += &row("checkouts that failed", &|o| o.failed.to_string());
    text += &row("log-ins that the server refused (53300)", &|o| o.refusals.to_string());
    text += &row("connections of the person", &|o| o.visits.len().to_string());
    text += &row("of them refused, or later than 1 s", &|o| o.not_let_in(pace).len().to_string());
    text += &row("slowest of them", &|o| format!("{:.2} s", slowest(o).as_secs_f64()));
    text + &changes(&with.changes)
}

/// Of each kind of change how often there was one, and the longest until shares were even.
fn changes(changes: &[Change]) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for change in changes {
        if !kinds.contains(&change.what) {
            kinds.push(change.what);
        }
    }
    let line = |kind: &str| {
        let took = changes.iter().filter(|change| change.what == kind).map(|change| change.to - change.from);
        let (count, longest) = (took.clone().count(), took.max().unwrap_or_default());
        format!("  {kind:<56} {count:>14} {:>12.1} s\n", longest.as_secs_f64())
    };
    let lines: String = kinds.into_iter().map(line).collect();
    format!("what was done, how often, and how soon each had its share again at the latest\n{lines}")
}
