//! What the committed items did to the tables.

use std::fmt;

use super::store::Change;

/// The changes of all items that were committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub inserted: usize,
    pub updated: usize,
    pub unchanged: usize,
}

impl Tally {
    pub fn add(&mut self, change: Change) {
        match change {
            Change::Inserted => self.inserted += 1,
            Change::Updated => self.updated += 1,
            Change::Unchanged => self.unchanged += 1,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { inserted, updated, unchanged } = self;
        write!(f, "changed: {} (inserted {inserted}, updated {updated}), ", inserted + updated)?;
        write!(f, "unchanged: {unchanged}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Change;
    use super::Tally;

    #[test]
    fn counts_what_was_written_apart_from_what_was_there() {
        let mut tally = Tally::default();
        for change in [Change::Inserted, Change::Inserted, Change::Updated, Change::Unchanged] {
            tally.add(change);
        }
        assert_eq!(tally.to_string(), "changed: 3 (inserted 2, updated 1), unchanged: 1");
    }
}
