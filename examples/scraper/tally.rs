//! What became of the items; the numbers add up to the input.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::failure::ScrapeError;
use super::server::with_causes;
use super::store::Change;

/// The outcome of every item of a run.
#[derive(Debug, Default)]
pub struct Tally {
    pub inserted: usize,
    pub updated: usize,
    pub unchanged: usize,
    pub failed: Vec<ScrapeError>,
    pub not_started: usize,
    pub elapsed: Duration,
}

/// More failures than this are counted by class only.
const SHOWN_FAILURES: usize = 10;

impl Tally {
    pub fn add(&mut self, outcome: Result<Change, ScrapeError>) {
        match outcome {
            Ok(Change::Inserted) => self.inserted += 1,
            Ok(Change::Updated) => self.updated += 1,
            Ok(Change::Unchanged) => self.unchanged += 1,
            Err(error) => self.failed.push(error),
        }
    }

    /// Whether every item is in the database.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.not_started == 0
    }

    fn finished(&self) -> usize {
        self.inserted + self.updated + self.unchanged + self.failed.len()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { inserted, updated, unchanged, failed, not_started, elapsed } = self;
        let items = self.finished() + not_started;
        let rate = self.finished() as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
        writeln!(f, "{items} items in {elapsed:.2?}, {rate:.0} items/s")?;
        writeln!(f, "  committed: {}", inserted + updated + unchanged)?;
        writeln!(f, "    inserted: {inserted}, updated: {updated}, unchanged: {unchanged}")?;
        writeln!(f, "    changed: {}", inserted + updated)?;
        writeln!(f, "  not started: {not_started}")?;
        write!(f, "  failed: {}", failed.len())?;
        let mut classes = BTreeMap::<_, usize>::new();
        for error in failed {
            *classes.entry(error.class()).or_default() += 1;
        }
        for (class, count) in classes {
            write!(f, "\n    {class}: {count}")?;
        }
        for error in failed.iter().take(SHOWN_FAILURES) {
            write!(f, "\n    - {}", with_causes(error))?;
        }
        match failed.len().saturating_sub(SHOWN_FAILURES) {
            0 => Ok(()),
            more => write!(f, "\n    and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::ScrapeError;
    use super::super::store::Change;
    use super::Tally;

    #[test]
    fn adds_up_and_names_a_bounded_number_of_failures() {
        let mut tally = Tally { not_started: 2, ..Tally::default() };
        for change in [Change::Inserted, Change::Inserted, Change::Updated, Change::Unchanged] {
            tally.add(Ok(change));
        }
        assert!(!tally.is_complete());
        for _ in 0..12 {
            tally.add(Err(ScrapeError::PathNotUtf8("x".into())));
        }
        let text = tally.to_string();
        for expected in [
            "18 items",
            "committed: 4",
            "changed: 3",
            "not started: 2",
            "failed: 12",
            "path is not UTF-8: 12",
            "and 2 more",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in: {text}");
        }
        assert_eq!(text.matches("- the path x").count(), 10);
    }
}
