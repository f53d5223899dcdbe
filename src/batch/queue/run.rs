//! A batch over a feed.

use std::time::Instant;

use crossbeam_channel::bounded;

use super::claiming::QueueFeed;
use super::claims::Claims;
use super::feeder;
use super::item::Item;
use super::report::Report;
use super::table::Queue;
use crate::batch::claimed::{Feed, Hand, Job};
use crate::batch::floor::Floor;
use crate::batch::options::Options;
use crate::batch::report::BoxError;
use crate::batch::run::{conduct, most_waiting, of_job, report, worker_count};
use crate::batch::worker::Worker;
use crate::postgres::{PgError, PgManager, Session};
use crate::tiers::TieredPool;

impl Queue {
    /// Works through the queue on the pool that it was opened with; see [`run`].
    ///
    /// # Errors
    ///
    /// Claims that cannot be used. What happens on the way is in the report.
    ///
    /// # Panics
    ///
    /// As [`run`].
    #[track_caller]
    pub fn run<E, W>(&self, claims: Claims, options: Options, work: W) -> Result<Report, PgError>
    where
        E: From<PgError> + Into<BoxError>,
        W: Fn(&mut Session<'_>, &Item) -> Result<(), E> + Sync,
    {
        let feed: QueueFeed = self.feed(claims)?;
        Ok(run(self.pool(), &feed, options, work))
    }
}

/// Runs `work` for the items of a feed that many hosts share, each in a transaction of its own that removes it, on
/// several threads.
///
/// All is as in [`batch::run`](crate::batch::run): retries of what passes, outages, panics, groups, a connection from
/// the first statement on. What differs:
///
/// - An item that fails goes back to the feed with its error, to be tried again later, and is in no list in memory.
/// - `pool` has to lead to the database of the feed, where that is in one, by a role that may remove its items: else
///   the batch ends before the first, as [`Unusable`](crate::batch::Ended::Unusable).
/// - At most [`Options::queue`] items are claimed and not ended, two a worker by default, or two groups, of at most
///   1,000.
/// - Workers are as many as the automation tier's base size, but one fewer than its ceiling by default: claims and
///   renewals have a connection of their own then, each for one statement. Where every connection is with a session for
///   longer than a third of the lease, leases can end.
/// - A [group](Options::group) removes all its items in its one transaction. There are no two
///   [stages](crate::batch::stages): what the work does ahead of its first statement holds no connection, so work that
///   fetches first takes more [workers](Options::workers) than there are connections.
/// - Work whose COMMIT had no answer is done again where the feed [says](Feed::removes_once) that this does no harm.
///
/// # Blocking
///
/// Until the feed says that nothing will come, or the batch is [stopped](Options::stop): a stop ends claiming, and
/// gives back what was claimed and not begun. One thread besides the workers renews the claims. A call to the feed
/// under way is waited for.
///
/// # Panics
///
/// When the feed or the progress callback panics, after the items under way have ended. What was claimed comes back
/// after its lease.
///
/// # Examples
///
/// ```no_run
/// use std::sync::Arc;
/// use std::sync::atomic::AtomicBool;
/// use tierpool::batch::Options;
/// use tierpool::batch::queue::{self, Claims, Queue};
/// use tierpool::{PgError, PgPool};
///
/// let pool = PgPool::from_env()?;
/// let stop = Arc::new(AtomicBool::new(false)); // for a signal handler to set
/// let feed = Queue::open(&pool, "pages")?.feed(Claims::new())?;
/// let report = queue::run(&pool, &feed, Options::new().stop(stop), |tx, item| {
///     tx.execute_cached("INSERT INTO pages VALUES ($1)", &[&item.payload()])?;
///     Ok::<_, PgError>(())
/// });
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn run<F, E, W>(pool: &TieredPool<PgManager>, feed: &F, options: Options, work: W) -> Report
where
    F: Feed,
    E: From<PgError> + Into<BoxError>,
    W: Fn(&mut Session<'_>, &F::Item) -> Result<(), E> + Sync,
{
    run_with(pool, feed, options, work, |_, ()| {})
}

/// As [`run`], and hands what `work` returned to `done` once the item is committed, on the worker's thread.
///
/// It is not called for an item that is settled: of that it is not known whose attempt has taken effect.
///
/// # Panics
///
/// As [`run`], and when `done` does.
#[track_caller]
pub fn run_with<F, T, E, W, D>(
    pool: &TieredPool<PgManager>,
    feed: &F,
    mut options: Options,
    work: W,
    done: D,
) -> Report
where
    F: Feed,
    T: 'static,
    E: From<PgError> + Into<BoxError>,
    W: Fn(&mut Session<'_>, &F::Item) -> Result<T, E> + Sync,
    D: Fn(&F::Item, T) + Sync,
{
    let begun = Instant::now();
    if feed.removes_once() {
        options.session = options.session.idempotent(true);
    }
    let settings = pool.automation().settings();
    let spare = settings.ceiling().saturating_sub(1).max(1);
    options.workers.get_or_insert(settings.base_size.min(spare) as usize);
    let floor = Floor::new(pool, &options, None);
    let workers = worker_count(&floor);
    let most = most_waiting(&options, workers);
    let (sender, receiver) = bounded(most);
    let hand = Hand::new(&floor, feed, most, receiver);
    let work = of_job(|tx, job: &Job<'_, F>| {
        let value = work(tx, &job.item)?;
        let removal = job.feed.remove(tx, &job.item).map_err(E::from)?;
        Ok::<_, E>(removal.map(move |()| value))
    });
    let done = |job: &Job<'_, F>, value: T| {
        hand.committed(job.number);
        job.feed.committed(&job.item);
        done(&job.item, value);
    };
    let worker = || Worker { floor: &floor, source: &hand, work: &work, done: &done, name: "the work" };
    let (outcomes, fed) = std::thread::scope(|scope| {
        // Also where a worker's panic comes out: the scope waits for its threads.
        let _guard = EndRenewals(&hand);
        let thread = std::thread::Builder::new().name("batch-renew".to_owned());
        if let Err(error) = thread.spawn_scoped(scope, || feeder::renew(&hand)) {
            floor.give_up(Box::new(error));
        }
        conduct(worker, workers, || feeder::claim(&hand, sender))
    });
    let ends = hand.give_back();
    let base = report(&floor, outcomes, fed, begun);
    Report {
        claimed: ends.claimed,
        committed: ends.committed,
        put_off: ends.put_off,
        dead: ends.dead,
        taken_over: ends.taken_over,
        settled: ends.settled,
        given_back: ends.given_back,
        left: ends.left,
        retried: base.retried,
        ended: base.ended,
        elapsed: base.elapsed,
        groups: base.groups,
        wait: base.wait,
        session: base.session,
        peak_in_use: base.peak_in_use,
        peak_waiting: base.peak_waiting,
    }
}

struct EndRenewals<'a, 'h, F: Feed>(&'a Hand<'h, F>);

impl<F: Feed> Drop for EndRenewals<'_, '_, F> {
    fn drop(&mut self) {
        self.0.end_renewals();
    }
}
