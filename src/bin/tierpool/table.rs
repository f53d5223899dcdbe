//! A table as text: columns as wide as their widest cell, the last one as long as it is.

use std::fmt;
use std::time::Duration;

/// Between two columns.
const GAP: &str = "  ";

/// Longer times say nothing more.
const LONGEST_SECONDS: f64 = 1e9;

/// A cell with a time, if there is one.
pub fn time(time: Option<Duration>) -> String {
    match time {
        None => "-".to_owned(),
        Some(time) if time < Duration::from_secs(1) => format!("{} ms", time.as_millis()),
        Some(time) => seconds(time.as_secs_f64()),
    }
}

/// A cell with a time in seconds.
pub fn seconds(seconds: f64) -> String {
    format!("{:.1} s", seconds.clamp(0.0, LONGEST_SECONDS))
}

/// Rows of cells below a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts with the names of the columns.
    pub fn new(head: &[&'static str]) -> Self {
        Table { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: a cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.head.len(), "BUG: a row of {cells:?} below {:?}", self.head);
        self.rows.push(cells);
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.head[column].chars().count()]).max().unwrap_or_default()
        };
        (0..self.head.len()).map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
        };
        f.write_str(&line(&mut self.head.iter().copied()))?;
        self.rows.iter().try_for_each(|row| write!(f, "\n{}", line(&mut row.iter().map(String::as_str))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_no_line_ends_in_blanks() {
        let mut table = Table::new(&["name", "n", "note"]);
        assert_eq!((table.to_string(), table.is_empty()), ("name  n  note".to_owned(), true));
        for (name, n, note) in [("früh", "1", ""), ("a longer name", "12", "said")] {
            table.row([name, n, note].map(str::to_owned).to_vec());
        }
        assert_eq!(
            table.to_string(),
            "name           n   note\n\
             früh           1\n\
             a longer name  12  said"
        );
    }
}
