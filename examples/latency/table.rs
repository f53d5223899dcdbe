//! The percentiles as a table.

use std::fmt;
use std::time::Duration;

use super::measure::Measured;

/// The percentiles shown, with their names.
const SHOWN: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// The rows, first the one with the names.
pub fn rows(measured: &[Measured; 2]) -> Vec<[String; 3]> {
    let row = |name: &str, cell: &dyn Fn(&Measured) -> String| {
        [name.to_owned(), cell(&measured[0]), cell(&measured[1])]
    };
    let mut rows = vec![row("", &|m| m.name.to_owned()), row("checkouts/s", &|m| format!("{:.0}", m.rate()))];
    rows.extend(SHOWN.map(|(name, part)| row(name, &|m| time(m.waits.value_at_quantile(part)))));
    rows.push(row("errors", &|m| m.errors.to_string()));
    rows
}

/// Nanoseconds, in a unit that suits.
fn time(nanos: u64) -> String {
    format!("{:.1?}", Duration::from_nanos(nanos))
}

/// The table, for a terminal.
pub struct Table<'a>(pub &'a [Measured; 2]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for [name, ours, theirs] in rows(self.0) {
            writeln!(f, "{name:12} {ours:>14} {theirs:>14}")?;
        }
        for measured in self.0 {
            if let Some(error) = &measured.last_error {
                writeln!(f, "{}'s last error: {error}", measured.name)?;
            }
        }
        Ok(())
    }
}
