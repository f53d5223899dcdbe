//! Feeding the workers, and gathering what became of the items.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use crossbeam_channel::{SendTimeoutError, Sender, bounded};
use parking_lot::Mutex;

use super::floor::Floor;
use super::options::Options;
use super::report::{BoxError, Ended, Percentiles, Report};
use super::worker::{Outcomes, Worker};
use crate::postgres::{PgError, PgManager, Session};
use crate::tiers::TieredPool;

/// How soon the feeder notices a stop while all workers are busy.
const STOP_GRAIN: Duration = Duration::from_millis(20);

/// Runs `work` for every item, each in a transaction of its own, on several threads.
///
/// An item's connection is taken at its first statement, as in [`session`](TieredPool::session): what `work` does
/// before that holds none. An item that is tried again begins anew, so that is repeated too.
///
/// An item whose `work` returns `Ok` is committed. One that fails transiently is tried again ([`Options::retry`]); one
/// that fails for good, or panics, is kept in the report with its error, and the others go on. Its class in
/// the report is that of the first [`PgError`] or `postgres::Error` in the error and its chain of sources.
///
/// When the database cannot be reached the items wait for it ([`Options::outage`]); past that the batch ends, and the
/// remaining items are not started.
///
/// # Blocking
///
/// Until every item has ended or the batch is stopped. `items` is iterated on the calling thread.
///
/// # Panics
///
/// When `items`, `done` or the progress callback panics, after the items under way have ended. The others are not
/// started then.
///
/// # Examples
///
/// See the [module](crate::batch).
pub fn run<I, T, E, F>(
    pool: &TieredPool<PgManager>,
    items: impl IntoIterator<Item = I>,
    options: Options,
    work: F,
) -> Report<I>
where
    I: Send,
    E: From<PgError> + Into<BoxError>,
    F: Fn(&mut Session<'_>, &I) -> Result<T, E> + Sync,
{
    run_with(pool, items, options, work, |_, _| {})
}

/// As [`run`], and hands what `work` returned to `done` once the item is committed, on the worker's thread.
pub fn run_with<I, T, E, F, D>(
    pool: &TieredPool<PgManager>,
    items: impl IntoIterator<Item = I>,
    options: Options,
    work: F,
    done: D,
) -> Report<I>
where
    I: Send,
    E: From<PgError> + Into<BoxError>,
    F: Fn(&mut Session<'_>, &I) -> Result<T, E> + Sync,
    D: Fn(&I, T) + Sync,
{
    let begun = Instant::now();
    let mut items = items.into_iter();
    let workers = worker_count(pool, &options);
    let floor = Floor {
        pool,
        options: &options,
        total: exact_len(&items),
        committed: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        halted: AtomicBool::new(false),
        unusable: Mutex::new(None),
    };
    // One item more waits in the feeder's hand.
    let (sender, receiver) = bounded(options.queue.unwrap_or(2 * workers) - 1);
    let (outcomes, fed) = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for number in 1..=workers {
            let worker = Worker { floor: &floor, work: &work, done: &done };
            let receiver = receiver.clone();
            let thread = std::thread::Builder::new().name(format!("batch-{number}"));
            match thread.spawn_scoped(scope, move || worker.run(&receiver)) {
                Ok(thread) => threads.push(thread),
                Err(error) if threads.is_empty() => {
                    floor.give_up(Box::new(error));
                    break;
                }
                Err(error) => {
                    log::warn!(target: "tierpool::batch", "only {} workers: {error}", number - 1);
                    break;
                }
            }
        }
        let fed = feed(&floor, &mut items, sender);
        let mut outcomes = Outcomes::new();
        for thread in threads {
            match thread.join() {
                Ok(part) => outcomes.add(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        (outcomes, fed)
    });
    let ahead = match fed {
        Fed::All => 0,
        Fed::Rest { in_hand } => u64::from(in_hand) + exact_len(&items).unwrap_or(0),
    };
    let left = ahead + receiver.try_iter().count() as u64 + outcomes.not_started;
    let stats = pool.automation().stats();
    let ended = match floor.unusable.lock().take() {
        Some(why) => Ended::Unusable(why),
        None if left == 0 && fed == Fed::All => Ended::Completed,
        None => Ended::Stopped,
    };
    Report {
        items: outcomes.committed + outcomes.failed.len() as u64 + left,
        committed: outcomes.committed,
        failed: outcomes.failed,
        not_started: left,
        retried: outcomes.retried,
        ended,
        elapsed: begun.elapsed(),
        wait: Percentiles::of(&outcomes.wait),
        session: Percentiles::of(&outcomes.session),
        peak_in_use: stats.peak_in_use,
        peak_waiting: stats.peak_waiting,
    }
}

fn worker_count(pool: &TieredPool<PgManager>, options: &Options) -> usize {
    let settings = pool.automation().settings();
    let workers = options.workers.unwrap_or(settings.base_size as usize);
    if workers > settings.ceiling() as usize {
        log::warn!(
            target: "tierpool::batch",
            "{workers} workers share at most {} automation connections: the others will wait",
            settings.ceiling()
        );
    }
    workers
}

/// What is left of an input that knows.
fn exact_len(items: &impl Iterator) -> Option<u64> {
    match items.size_hint() {
        (least, Some(most)) if least == most => Some(least as u64),
        _ => None,
    }
}

/// How far the feeder came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fed {
    /// There are no more items.
    All,
    /// The batch is over before that.
    Rest {
        /// One item was taken from the input and not sent.
        in_hand: bool,
    },
}

/// Sends items until there are no more or the batch is over.
fn feed<I>(floor: &Floor<'_>, items: &mut impl Iterator<Item = I>, sender: Sender<I>) -> Fed {
    while !floor.is_over() {
        let Some(mut item) = items.next() else { return Fed::All };
        loop {
            match sender.send_timeout(item, STOP_GRAIN) {
                Ok(()) => break,
                Err(SendTimeoutError::Timeout(back)) if !floor.is_over() => item = back,
                // Disconnected it never is: the caller's own receiver is alive.
                Err(_) => return Fed::Rest { in_hand: true },
            }
        }
    }
    // Between the last item and the end of the input there is nothing left to start.
    if exact_len(items) == Some(0) { Fed::All } else { Fed::Rest { in_hand: false } }
}
