//! A view as a value: columns, rows that can be told apart, and their order.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::seen::server::Session;

/// A column of a view.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    /// The most cells of a terminal that it takes, while others want some; the last column takes what is left.
    pub most: usize,
    /// Where there is little room, columns of a low rank are left out first.
    pub rank: u8,
}

/// A column of that name, of so many cells at the most, of that rank.
pub const fn column(name: &'static str, most: usize, rank: u8) -> Column {
    Column { name, most, rank }
}

/// What stands in a column, and what it is sorted by: numbers the largest first, and texts after them.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    pub text: String,
    pub number: Option<f64>,
}

/// A row of a view.
#[derive(Clone, Debug)]
pub struct Row {
    /// Tells it from others, from one look to the next.
    pub id: String,
    pub cells: Vec<Cell>,
    /// What can be cancelled or terminated.
    pub session: Option<Session>,
    /// Whether somebody should look at it.
    pub is_alarming: bool,
}

/// A view of the whole.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    pub columns: &'static [Column],
    /// By which columns it can be sorted, the first one to begin with.
    pub sorts: &'static [usize],
    pub rows: Vec<Row>,
    /// Lines above the table.
    pub summary: Vec<String>,
}

impl Cell {
    /// A text, sorted as such.
    pub fn text(text: impl Into<String>) -> Self {
        Cell { text: text.into(), number: None }
    }

    /// A number as a text.
    pub fn number(text: impl Into<String>, number: f64) -> Self {
        Cell { text: text.into(), number: Some(number) }
    }

    /// A count.
    pub fn count(count: u32) -> Self {
        Cell::number(count.to_string(), f64::from(count))
    }

    fn order(&self, other: &Cell) -> Ordering {
        match (self.number, other.number) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.text.cmp(&other.text),
        }
    }
}

impl Grid {
    /// Gives rows that look alike ids of their own, by their order.
    pub fn tell_apart(&mut self) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        for row in &mut self.rows {
            let number = seen.entry(row.id.clone()).or_default();
            *number += 1;
            if *number > 1 {
                row.id = format!("{}#{number}", row.id);
            }
        }
    }

    /// Sorts by the choice of that number; equal rows keep their order from one look to the next.
    pub fn sort(&mut self, choice: usize) {
        let Some(column) = self.sorted_by(choice) else { return };
        self.rows.sort_by(|a, b| a.cells[column].order(&b.cells[column]).then_with(|| a.id.cmp(&b.id)));
    }

    /// The column of a choice.
    pub fn sorted_by(&self, choice: usize) -> Option<usize> {
        (!self.sorts.is_empty()).then(|| self.sorts[choice % self.sorts.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_largest_first_and_texts_by_letter_and_equal_ones_by_who_they_are() {
        let row = |id: &str, name: &str, held: Option<f64>| Row {
            id: id.to_owned(),
            cells: vec![Cell::text(name), Cell { text: String::new(), number: held }],
            session: None,
            is_alarming: false,
        };
        let rows = vec![row("c", "x", None), row("b", "z", Some(1.0)), row("a", "x", Some(20.0))];
        let mut grid = Grid { sorts: &[1, 0], rows, ..Grid::default() };
        let order = |grid: &Grid| grid.rows.iter().map(|row| row.id.clone()).collect::<String>();
        grid.sort(0);
        assert_eq!(order(&grid), "abc");
        grid.sort(1);
        assert_eq!(order(&grid), "acb");
        grid.sort(2);
        assert_eq!(order(&grid), "abc", "after the last choice comes the first");
    }
}
