//! The table at the end of a bench: what was measured, what it should be, and the verdict.

use std::fmt;
use std::process::ExitCode;

use super::machine;
use super::mode::Mode;

/// A limit on a measured figure.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(limit) => value >= limit,
            Bound::AtMost(limit) => value <= limit,
        }
    }

    fn shown(this: Option<Bound>, unit: &str) -> String {
        match this {
            Some(Bound::AtLeast(limit)) => format!("≥ {limit}{unit}"),
            Some(Bound::AtMost(limit)) => format!("≤ {limit}{unit}"),
            None => String::new(),
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    what: String,
    ours: String,
    peer: String,
    /// The figure that is judged.
    value: f64,
    unit: &'static str,
    bar: Option<Bound>,
    goal: Option<Bound>,
}

impl Row {
    /// A row without limits, whose figure is a ratio.
    pub fn new(what: impl Into<String>, ours: impl Into<String>, peer: impl Into<String>, ratio: f64) -> Row {
        let (what, ours, peer) = (what.into(), ours.into(), peer.into());
        Row { what, ours, peer, value: ratio, unit: "×", bar: None, goal: None }
    }

    /// Sets the unit of the figure, with a space before it where one belongs there.
    pub fn unit(mut self, unit: &'static str) -> Row {
        self.unit = unit;
        self
    }

    /// Sets the limit below or above which the bench fails.
    pub fn bar(mut self, bar: Bound) -> Row {
        self.bar = Some(bar);
        self
    }

    /// Sets the limit that is aimed at.
    pub fn goal(mut self, goal: Bound) -> Row {
        self.goal = Some(goal);
        self
    }

    fn is_missed(&self) -> bool {
        self.bar.is_some_and(|bar| !bar.holds(self.value))
    }

    fn verdict(&self, mode: Mode) -> &'static str {
        match (mode, self.bar, self.goal) {
            (Mode::Smoke, ..) => "smoke",
            (_, None, None) => "",
            _ if self.is_missed() => "BAR MISSED",
            (_, _, Some(goal)) if goal.holds(self.value) => "goal",
            (_, Some(_), Some(_)) => "bar, not goal",
            (_, Some(_), None) => "bar",
            (_, None, Some(_)) => "not goal",
        }
    }

    fn cells(&self, mode: Mode) -> [String; 7] {
        let digits = if self.value.abs() >= 100.0 || self.value == 0.0 { 0 } else { 2 };
        [
            self.what.clone(),
            self.ours.clone(),
            self.peer.clone(),
            format!("{:.digits$}{}", self.value, self.unit),
            Bound::shown(self.bar, self.unit),
            Bound::shown(self.goal, self.unit),
            self.verdict(mode).to_owned(),
        ]
    }
}

/// Rows, printed as they come in and once more together at the end.
pub struct Table {
    title: &'static str,
    mode: Mode,
    rows: Vec<Row>,
}

impl Table {
    /// Starts a table without rows.
    pub fn new(title: &'static str, mode: Mode) -> Table {
        Table { title, mode, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        eprintln!("measured: {}", row.cells(self.mode).join(" | "));
        self.rows.push(row);
    }

    /// Prints the table; failure where a full run missed a bar.
    pub fn finish(self) -> ExitCode {
        println!("\n{self}");
        let missed = self.rows.iter().filter(|row| row.is_missed()).count();
        if self.mode == Mode::Full && missed > 0 {
            eprintln!("{missed} of {} rows missed their bar", self.rows.len());
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }
}

/// Markdown, with columns in line.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n", self.title, machine::describe())?;
        let head = ["row", "ours", "peer", "ratio", "bar", "goal", "verdict"].map(str::to_owned);
        let mut lines = vec![head];
        lines.extend(self.rows.iter().map(|row| row.cells(self.mode)));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        for (number, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                writeln!(f, "|{}|", widths.map(|width| format!(" {} ", "-".repeat(width.max(3)))).join("|"))?;
            }
        }
        Ok(())
    }
}

/// A number of nanoseconds in the unit that suits it.
pub fn nanos(value: f64) -> String {
    match value {
        v if v < 1e3 => format!("{v:.1} ns"),
        v if v < 1e6 => format!("{:.2} µs", v / 1e3),
        v if v < 1e9 => format!("{:.2} ms", v / 1e6),
        v => format!("{:.2} s", v / 1e9),
    }
}

/// A number of things: `1 thread`, `8 threads`.
pub fn count(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        more => format!("{more} {noun}s"),
    }
}
