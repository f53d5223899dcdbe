//! A batch of two stages: fetch without a connection, then store.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::bounded;
use log::Level;

use super::feed::{exact_len, feed};
use super::fetch::Fetchers;
use super::fetching::Fetching;
use super::floor::Floor;
use super::options::Options;
use super::pages::{Fetched, owned_failure};
use super::report::{BoxError, Report};
use super::run::{conduct, of_job, report, worker_count};
use super::source::Next;
use super::watch::Watcher;
use super::worker::Worker;
use crate::lines::say;
use crate::postgres::{Ending, PgError, PgManager, Session};
use crate::tiers::TieredPool;

/// Fetch threads for one worker: a fetch waits for somebody else's server, a store for a database that is near.
const FETCHERS_PER_WORKER: usize = 4;

/// Runs a batch in two stages: `fetch` gets what an item needs, on threads that hold no connection, and `store` puts
/// it into the database, in a session, on others.
///
/// Between them there is a bounded channel: where the stores are slower, the fetchers wait. What was fetched is kept
/// for all attempts at storing it, and let go of when its item has ended. An item ends as in
/// [`run`](crate::batch::run): committed, failed, or not started; its store is repeated by [`Options::retry`], its
/// fetch by [`Fetching::retry`], and a panic in either fails that item alone. [`Options::group`] puts several pages
/// into one transaction.
///
/// The memory that a batch takes is that of the items in the queue, one item and one page a fetch thread, the pages
/// that [`Fetching::pages`] and [`Fetching::bytes`] allow to wait, one page (or a group of them) a worker, and the
/// items that failed. An item is cloned where it has to be reported while a fetch that was given up still has it, and
/// only there.
///
/// Fetches go on while the database is away, until the channel is full. On a [stop](Options::stop) no other fetch is
/// begun; those under way end, by [`Fetching::limit`] if need be, and what is fetched is stored. When the batch ends
/// for want of a database they end too. An item whose page comes then is not started, as a fetch changes nothing in the
/// database; one whose fetch fails then has failed.
///
/// # Blocking
///
/// Until every item has ended or the batch is stopped. `items` is iterated on the calling thread. When this returns, no
/// thread of the batch is left but those of fetches beyond their limit; these own `fetch` and one item each, and end
/// with the fetch. `fetch` is `'static` for their sake.
///
/// # Panics
///
/// When `items` or the progress callback panics, after what is under way has ended. The others are not started then.
///
/// # Examples
///
/// ```no_run
/// use tierpool::batch::{self, Fetching, Options};
/// use tierpool::{PgError, PgPool};
///
/// let pool = PgPool::from_env()?;
/// let paths = ["a.html", "b.html"].map(String::from);
/// let report = batch::stages(
///     &pool,
///     paths,
///     Fetching::new().threads(32).bytes(64 * 1024 * 1024, String::len),
///     Options::default(),
///     |path| std::fs::read_to_string(path),
///     |tx, path, page: &String| {
///         tx.execute("INSERT INTO pages VALUES ($1, $2)", &[path, page])?;
///         Ok::<_, PgError>(())
///     },
/// );
/// println!("{report}");
/// # Ok::<(), tierpool::Error>(())
/// ```
#[track_caller]
pub fn stages<I, P, T, FE, E, F, S>(
    pool: &TieredPool<PgManager>,
    items: impl IntoIterator<Item = I>,
    fetching: Fetching<P, FE>,
    options: Options,
    fetch: F,
    store: S,
) -> Report<I>
where
    I: Clone + Send + Sync + 'static,
    P: Send + 'static,
    FE: Into<BoxError> + Send + 'static,
    E: From<PgError> + Into<BoxError>,
    F: Fn(&I) -> Result<P, FE> + Send + Sync + 'static,
    S: Fn(&mut Session<'_>, &I, &P) -> Result<T, E> + Sync,
{
    stages_with(pool, items, fetching, options, fetch, store, |_, _| {})
}

/// As [`stages`], and hands what `store` returned to `done` once the item is committed, on the worker's thread.
///
/// # Panics
///
/// As [`stages`], and when `done` panics.
#[track_caller]
pub fn stages_with<I, P, T, FE, E, F, S, D>(
    pool: &TieredPool<PgManager>,
    items: impl IntoIterator<Item = I>,
    fetching: Fetching<P, FE>,
    options: Options,
    fetch: F,
    store: S,
    done: D,
) -> Report<I>
where
    I: Clone + Send + Sync + 'static,
    P: Send + 'static,
    FE: Into<BoxError> + Send + 'static,
    E: From<PgError> + Into<BoxError>,
    F: Fn(&I) -> Result<P, FE> + Send + Sync + 'static,
    S: Fn(&mut Session<'_>, &I, &P) -> Result<T, E> + Sync,
    D: Fn(&I, T) + Sync,
{
    stages_ending(
        pool,
        items,
        fetching,
        options,
        fetch,
        |tx, item, page| store(tx, item, page).map(Ending::Commit),
        done,
    )
}

/// As [`stages_with`], with stores that can leave their last statement for COMMIT to go along with it, as
/// [`run_ending`](crate::batch::run_ending) has it: its parameters can be borrowed from the item and the page.
///
/// # Panics
///
/// As [`stages_with`], and when what [`Last::map`](crate::postgres::Last::map) was given panics.
///
/// # Examples
///
/// ```no_run
/// use tierpool::batch::{self, Fetching, Options};
/// use tierpool::postgres::{Ending, Last};
/// use tierpool::{PgError, PgPool};
///
/// let pool = PgPool::from_env()?;
/// let report = batch::stages_ending(
///     &pool,
///     ["a.html", "b.html"].map(String::from),
///     Fetching::new(),
///     Options::default(),
///     |path| std::fs::read_to_string(path),
///     |_, path, page: &String| {
///         let insert = Last::execute("INSERT INTO pages VALUES ($1, $2)").with(path).with(page);
///         Ok::<_, PgError>(Ending::Last(insert))
///     },
///     |_, _| {},
/// );
/// println!("{report}");
/// # Ok::<(), tierpool::Error>(())
/// ```
#[track_caller]
pub fn stages_ending<I, P, T, FE, E, F, S, D>(
    pool: &TieredPool<PgManager>,
    items: impl IntoIterator<Item = I>,
    fetching: Fetching<P, FE>,
    options: Options,
    fetch: F,
    store: S,
    done: D,
) -> Report<I>
where
    I: Clone + Send + Sync + 'static,
    P: Send + 'static,
    FE: Into<BoxError> + Send + 'static,
    E: From<PgError> + Into<BoxError>,
    F: Fn(&I) -> Result<P, FE> + Send + Sync + 'static,
    S: for<'j> Fn(&mut Session<'_>, &'j I, &'j P) -> Result<Ending<'j, T>, E> + Sync,
    D: Fn(&I, T) + Sync,
{
    let begun = Instant::now();
    let mut items = items.into_iter();
    let floor = Floor::new(pool, &options, exact_len(&items));
    let workers = worker_count(&floor);
    let threads = fetching.threads.unwrap_or(FETCHERS_PER_WORKER * workers);
    let pages = fetching.pages.unwrap_or(2 * workers);
    // One item more waits in the feeder's hand.
    let (sender, receiver) = bounded(options.queue.unwrap_or(2 * threads) - 1);
    let signals = Arc::clone(&floor.signals);
    let fetchers = Arc::new(Fetchers::new(fetch, fetching, threads, receiver, pages, signals));
    let work = of_job(|tx, job: &Fetched<I, P>| store(tx, &job.item, &job.page));
    let done = |job: &Fetched<I, P>, value: T| done(&job.item, value);
    let worker =
        || Worker { floor: &floor, source: &fetchers.pages, work: &work, done: &done, name: "the store" };
    let (mut outcomes, fed) = std::thread::scope(|scope| {
        let watcher = Watcher { floor: &floor, fetchers: Arc::clone(&fetchers) };
        let thread = std::thread::Builder::new().name("fetch-watch".to_owned());
        if let Err(error) = thread.spawn_scoped(scope, move || watcher.run()) {
            fetchers.pages.retire(threads);
            floor.give_up(Box::new(error));
        }
        conduct(worker, workers, || feed(&floor.signals, &mut items, sender))
    });
    outcomes.not_started = outcomes.not_started.saturating_add(fed.untaken(&items, &fetchers.items));
    while let Some(left) = fetchers.pages.left() {
        match left {
            Next::Failed(failed) => outcomes.failed.push(owned_failure(failed)),
            _ => outcomes.not_started += 1,
        }
    }
    let stage = fetchers.report(outcomes.idle, outcomes.lived);
    let mut report = report(&floor, outcomes, fed, begun);
    report.advice.extend(stage.advice(report.elapsed, fetchers.pages.most_bytes()));
    for advice in &report.advice {
        say!(Level::Warn, "tierpool::batch", [], "{advice}");
    }
    report.fetch = Some(stage);
    report
}
