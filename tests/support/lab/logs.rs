//! What an operator would have read: the log from warnings down to information, kept in memory.

use std::collections::BTreeMap;

use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

struct Sink;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Log for Sink {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINES.lock().push(format!("{} {}: {}", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

/// Keeps all that is logged in this process from now on.
pub fn capture() {
    // A process runs one scenario; a second call finds the sink in place.
    if log::set_logger(&Sink).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// How many lines there are.
pub fn count() -> usize {
    LINES.lock().len()
}

/// The lines from the given one on.
pub fn since(mark: usize) -> Vec<String> {
    LINES.lock()[mark..].to_vec()
}

/// The most often that one line was given, its numbers apart.
pub fn most_repeated(lines: &[String]) -> usize {
    let mut counts = BTreeMap::<String, usize>::new();
    for line in lines {
        let text = line.replace(|c: char| c.is_ascii_digit(), "#");
        *counts.entry(text).or_default() += 1;
    }
    counts.into_values().max().unwrap_or(0)
}
