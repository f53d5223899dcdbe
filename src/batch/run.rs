//! A batch of one stage, and what both kinds of batches have in common: store threads, and the report.

use std::time::Instant;

use crossbeam_channel::bounded;
use log::Level;

use super::feed::{Fed, exact_len, feed};
use super::floor::Floor;
use super::options::{MOST_QUEUE, Options};
use super::outcomes::Outcomes;
use super::percentiles::Percentiles;
use super::report::{BoxError, Ended, Report};
use super::source::Source;
use super::worker::Worker;
use crate::lines::say;
use crate::postgres::{Ending, PgError, PgManager, Session};
use crate::tiers::TieredPool;

/// The most that wait for one worker twice over, however large its groups: the channel takes its memory at once.
const MOST_QUEUED: usize = 1_000;

/// Runs `work` for every item, each in a transaction of its own, on several threads.
///
/// An item's connection is taken at its first statement, as in [`session`](TieredPool::session): what `work` does
/// before that holds none. An item that is tried again begins anew, so that is repeated too.
///
/// An item whose `work` returns `Ok` is committed. One that fails transiently is tried again ([`Options::retry`]); one
/// that fails for good, or panics, is kept in the report with its error, and the others go on. Its class in
/// the report is that of the first [`PgError`] or `postgres::Error` in the error and its chain of sources; what BEGIN
/// and COMMIT have met is known without that.
///
/// When the database cannot be reached the items wait for it ([`Options::outage`]); past that the batch ends, and the
/// remaining items are not started.
///
/// [`Options::group`] puts several items into one transaction. Work that first waits for somebody else's server belongs
/// into [`stages`](crate::batch::stages).
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
#[track_caller]
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
#[track_caller]
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
    run_ending(pool, items, options, |tx, item| work(tx, item).map(Ending::Commit), done)
}

/// As [`run_with`], with work that can leave its last statement for COMMIT to go along with it, as in
/// [`session_ending`](TieredPool::session_ending).
///
/// The parameters of that statement can be borrowed from the item. In a [group](Options::group) it is the last item's
/// statement with which COMMIT goes; those of the others are sent by themselves.
///
/// # Panics
///
/// As [`run`], and when `done` panics, or what [`Last::map`](crate::postgres::Last::map) was given.
///
/// # Examples
///
/// ```no_run
/// use tierpool::batch::{self, Options};
/// use tierpool::postgres::{Ending, Last};
/// use tierpool::{PgError, PgPool};
///
/// let pool = PgPool::from_env()?;
/// let pages = ["a", "b", "c"].map(String::from);
/// let report = batch::run_ending(
///     &pool,
///     pages,
///     Options::default(),
///     |_, page| Ok::<_, PgError>(Ending::Last(Last::execute("INSERT INTO pages VALUES ($1)").with(page))),
///     |page, added| println!("{page}: {added} rows"),
/// );
/// println!("{report}");
/// # Ok::<(), tierpool::Error>(())
/// ```
#[track_caller]
pub fn run_ending<I, T, E, F, D>(
    pool: &TieredPool<PgManager>,
    items: impl IntoIterator<Item = I>,
    options: Options,
    work: F,
    done: D,
) -> Report<I>
where
    I: Send,
    E: From<PgError> + Into<BoxError>,
    F: for<'i> Fn(&mut Session<'_>, &'i I) -> Result<Ending<'i, T>, E> + Sync,
    D: Fn(&I, T) + Sync,
{
    let begun = Instant::now();
    let mut items = items.into_iter();
    let floor = Floor::new(pool, &options, exact_len(&items));
    let workers = worker_count(&floor);
    // One item more waits in the feeder's hand.
    let (sender, receiver) = bounded(most_waiting(&options, workers) - 1);
    let worker = || Worker { floor: &floor, source: &receiver, work: &work, done: &done, name: "the work" };
    let (mut outcomes, fed) = conduct(worker, workers, || feed(&floor.signals, &mut items, sender));
    outcomes.not_started = outcomes.not_started.saturating_add(fed.untaken(&items, &receiver));
    report(&floor, outcomes, fed, begun)
}

/// How many items may wait for workers.
pub(super) fn most_waiting(options: &Options, workers: usize) -> usize {
    let most = options.group.map_or(1, |group| group.most.min(MOST_QUEUED));
    options.queue.unwrap_or((2 * workers * most).min(MOST_QUEUE))
}

/// How many workers there are to be.
pub(super) fn worker_count(floor: &Floor<'_>) -> usize {
    let settings = floor.pool.automation().settings();
    let workers = floor.options.workers.unwrap_or(settings.base_size as usize);
    if workers > settings.ceiling() as usize {
        say!(
            Level::Warn,
            "tierpool::batch",
            [workers = workers, ceiling = settings.ceiling()],
            "{workers} workers for at most {} automation connections: more of them than that are of use only while \
             their work waits for something else ahead of its first statement",
            settings.ceiling()
        );
    }
    workers
}

/// Has workers work until their source ends, while the caller feeds it.
pub(super) fn conduct<'a, S, T, E, F, D>(
    worker: impl Fn() -> Worker<'a, S, F, D>,
    workers: usize,
    feeding: impl FnOnce() -> Fed,
) -> (Outcomes<S::Item>, Fed)
where
    S: Source<Item: Send> + 'a,
    E: From<PgError> + Into<BoxError>,
    F: for<'j> Fn(&mut Session<'_>, &'j S::Job) -> Result<Ending<'j, T>, E> + Sync + 'a,
    D: Fn(&S::Job, T) + Sync + 'a,
{
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for number in 1..=workers {
            let worker = worker();
            let floor = worker.floor;
            let thread = std::thread::Builder::new().name(format!("batch-{number}"));
            match thread.spawn_scoped(scope, move || worker.serve()) {
                Ok(thread) => threads.push(thread),
                Err(error) if threads.is_empty() => {
                    floor.give_up(Box::new(error));
                    break;
                }
                Err(error) => {
                    say!(
                        Level::Warn,
                        "tierpool::batch",
                        [workers = number - 1, error = error.to_string()],
                        "only {} workers: {error}",
                        number - 1
                    );
                    break;
                }
            }
        }
        let fed = feeding();
        let mut outcomes = Outcomes::new();
        for thread in threads {
            match thread.join() {
                Ok(part) => outcomes.add(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        (outcomes, fed)
    })
}

/// Reports what has become of all items.
pub(super) fn report<I>(floor: &Floor<'_>, outcomes: Outcomes<I>, fed: Fed, begun: Instant) -> Report<I> {
    let left = outcomes.not_started;
    let stats = floor.pool.automation().stats();
    let ended = match floor.take_unusable() {
        Some(why) => Ended::Unusable(why),
        None if left == 0 && fed == Fed::All => Ended::Completed,
        None => Ended::Stopped,
    };
    Report {
        items: (outcomes.committed + outcomes.failed.len() as u64).saturating_add(left),
        committed: outcomes.committed,
        failed: outcomes.failed,
        not_started: left,
        retried: outcomes.retried,
        ended,
        elapsed: begun.elapsed(),
        fetch: None,
        groups: floor.options.group.map(|_| outcomes.groups),
        advice: Vec::new(),
        wait: Percentiles::of(&outcomes.wait),
        session: Percentiles::of(&outcomes.session),
        peak_in_use: stats.peak_in_use,
        peak_waiting: stats.peak_waiting,
    }
}

/// The compiler takes a closure for one of any job only where it is told of that as it is made.
pub(super) fn of_job<J, T, E, F>(work: F) -> F
where
    F: for<'j> Fn(&mut Session<'_>, &'j J) -> Result<Ending<'j, T>, E>,
{
    work
}
