//! What is logged in this process, for tests to read. Each picks the lines of its own pool.

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

struct Line {
    level: Level,
    target: String,
    text: String,
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

struct Keeper;

impl Log for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let (target, text) = (record.target().to_owned(), record.args().to_string());
        LINES.lock().push(Line { level: record.level(), target, text });
    }

    fn flush(&self) {}
}

/// Keeps what is logged from now on, down to this level.
pub fn capture(level: LevelFilter) {
    // Fails where another test of this process has set it already.
    let _ = log::set_logger(&Keeper);
    log::set_max_level(level);
}

/// Returns all lines of a pool.
pub fn of(pool: &str) -> Vec<(Level, String)> {
    at(&format!("tierpool::{pool}"))
}

/// Returns all lines of a target.
pub fn at(target: &str) -> Vec<(Level, String)> {
    let lines = LINES.lock();
    let mine = lines.iter().filter(|line| line.target == target);
    mine.map(|line| (line.level, line.text.clone())).collect()
}

/// Returns the lines of a pool of a level that contain `text`.
pub fn lines(pool: &str, level: Level, text: &str) -> Vec<String> {
    let mine = of(pool).into_iter().filter(|line| line.0 == level && line.1.contains(text));
    mine.map(|line| line.1).collect()
}

/// Whether any line of the process contains `text`.
pub fn anywhere(text: &str) -> bool {
    LINES.lock().iter().any(|line| line.text.contains(text))
}
