//! Brings the items into the database while ad-hoc queries go on: some threads read and parse them, and hold no
//! connection meanwhile; others write them, in groups, in sessions of the automation tier.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use parking_lot::Mutex;
use tierpool::batch::{self, Failed, Fetching, Options, Report};
use tierpool::postgres::{PgError, Retry, SessionOptions};
use tierpool::{PgPool, Tier};

use super::discover::Item;
use super::failure::ScrapeError;
use super::pace::Pace;
use super::progress;
use super::scrape::{Page, scrape};
use super::server::with_causes;
use super::store::{place_packages, store};
use super::tally::Tally;

/// The pause between two ad-hoc queries: often enough for a p99, too seldom to be load.
const ADHOC_PAUSE: Duration = Duration::from_millis(20);
/// The longest that one ad-hoc query waits for its connection, and so the end of the run for it.
const ADHOC_LIMIT: Duration = Duration::from_secs(5);
/// Items in one transaction, and how long the first of them waits for others.
const GROUP: (usize, Duration) = (50, Duration::from_millis(10));
/// The memory that parsed files may take.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// More failures than this are counted by class only.
const SHOWN_FAILURES: usize = 10;

/// What a run gives back.
pub struct Outcome {
    pub report: Report<Item>,
    /// What the committed items did to the tables.
    pub tally: Tally,
    /// The ad-hoc queries made meanwhile.
    pub adhoc: Pace,
}

/// Makes the packages of all items known to the database.
///
/// # Errors
/// The database's, with its causes.
pub fn place(pool: &PgPool, items: &[Item]) -> Result<(), String> {
    // A path that is no text fails its items by itself.
    let folders: Vec<&str> = items.iter().filter_map(|item| item.package.as_deref()?.to_str()).collect();
    let options = SessionOptions::new().idempotent(true).retry(Retry::default());
    let placed = pool.session_ending_with(Tier::Automation, &options, |_| {
        Ok::<_, PgError>(place_packages(&folders).into())
    });
    placed.map(drop).map_err(|error| with_causes(&error))
}

/// Writes every item, by `workers` threads that store, while one more makes ad-hoc queries.
///
/// # Blocking
/// Until every item has ended, or, once `stop` is set, until those under way have.
pub fn run(
    pool: &PgPool,
    items: Vec<Item>,
    workers: Option<usize>,
    bar: &ProgressBar,
    stop: &Arc<AtomicBool>,
) -> Outcome {
    let tally = Mutex::new(Tally::default());
    let (report, adhoc) = with_adhoc(pool, || {
        batch::stages_ending(
            pool,
            items,
            // Readers are kept by the processors rather than by the disk.
            Fetching::new().threads(readers()).bytes(MAX_BYTES, Page::size),
            options(pool, workers, bar, stop).group(GROUP.0, GROUP.1),
            scrape,
            |_, _, page| Ok::<_, PgError>(store(page).into()),
            // After COMMIT: what is rolled back has changed nothing.
            |_, change| tally.lock().add(change),
        )
    });
    Outcome { report, tally: tally.into_inner(), adhoc }
}

/// Runs a batch, and returns with its report how ad-hoc queries fared meanwhile.
pub(super) fn with_adhoc<R>(pool: &PgPool, batch: impl FnOnce() -> R) -> (R, Pace) {
    let (end_adhoc, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let adhoc = scope.spawn(move || Pace::measure(&ended, ADHOC_PAUSE, || ask(pool)));
        let report = batch();
        drop(end_adhoc);
        (report, adhoc.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

pub(super) fn options(
    pool: &PgPool,
    workers: Option<usize>,
    bar: &ProgressBar,
    stop: &Arc<AtomicBool>,
) -> Options {
    // An item writes by its key and only what differs: done twice it comes to the same.
    let session = SessionOptions::new().idempotent(true);
    let (automation, bar) = (pool.automation().clone(), bar.clone());
    let options = Options::new().session(session).stop(Arc::clone(stop)).on_progress(move |progress| {
        progress::show(&bar, progress, automation.gauges());
    });
    match workers {
        Some(workers) => options.workers(workers),
        None => options,
    }
}

fn readers() -> usize {
    2 * thread::available_parallelism().map_or(1, usize::from)
}

/// What a person does meanwhile: takes a connection, asks something, gives it back.
fn ask(pool: &PgPool) -> Result<(), String> {
    let query = || -> Result<(), PgError> {
        let mut conn = pool.adhoc().get_timeout(ADHOC_LIMIT)?;
        conn.query_one("SELECT 1", &[])?;
        Ok(())
    };
    query().map_err(|error| with_causes(&error))
}

impl Outcome {
    fn write_failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = &self.report.failed;
        if failed.is_empty() {
            return Ok(());
        }
        write!(f, "\nfailed items")?;
        let mut classes = BTreeMap::<_, usize>::new();
        for failed in failed {
            *classes.entry(class(failed)).or_default() += 1;
        }
        for (class, count) in classes {
            write!(f, "\n  {class}: {count}")?;
        }
        for failed in failed.iter().take(SHOWN_FAILURES) {
            write!(f, "\n  - {}: {}", failed.item.path.display(), with_causes(&*failed.error))?;
        }
        match failed.len().saturating_sub(SHOWN_FAILURES) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// The scraper's own name for a failure; the runner's where the work did not come to speak.
fn class(failed: &Failed<Item>) -> &'static str {
    match failed.error.downcast_ref::<ScrapeError>() {
        Some(error) => error.class(),
        None => failed.class.as_str(),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\n{}", self.report, self.tally)?;
        self.write_failures(f)?;
        write!(f, "\nad-hoc queries meanwhile: {}", self.adhoc)
    }
}
