//! What a batch may be told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use log::Level;

use crate::lines::say;
use crate::postgres::{Retry, SessionOptions};

/// How far a batch has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Items committed.
    pub committed: u64,
    /// Items that failed for good.
    pub failed: u64,
    /// Items whose page is fetched, whatever became of it since; 0 in a batch of one stage.
    pub fetched: u64,
    /// Items in all, where the input knows its length.
    pub total: Option<u64>,
}

/// How groups are made up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) most: usize,
    /// The longest that the first waits for the others.
    pub(super) within: Duration,
}

/// Is told of the progress after each item, on the worker's thread.
pub(super) type OnProgress = Box<dyn Fn(Progress) + Send + Sync>;

/// The options of a batch. All have defaults.
pub struct Options {
    pub(super) workers: Option<usize>,
    pub(super) queue: Option<usize>,
    /// None where each item has a transaction of its own.
    pub(super) group: Option<Group>,
    pub(super) retry: Retry,
    pub(super) session: SessionOptions,
    pub(super) on_progress: Option<OnProgress>,
    pub(super) stop: Option<Arc<AtomicBool>>,
    pub(super) outage: Duration,
}

/// Long enough for a server to restart and recover, short enough for somebody who watches.
const OUTAGE: Duration = Duration::from_secs(30);

/// More threads than help anybody, and few enough that the system gives them: where it cannot, the process may abort.
pub(super) const MOST_THREADS: usize = 4_096;

/// Room for that many items is taken at once.
pub(super) const MOST_QUEUE: usize = 1 << 20;

impl Default for Options {
    fn default() -> Self {
        Options {
            workers: None,
            queue: None,
            group: None,
            retry: Retry::default(),
            session: SessionOptions::default(),
            on_progress: None,
            stop: None,
            outage: OUTAGE,
        }
    }
}

impl Options {
    /// Starts with the defaults.
    pub fn new() -> Self {
        Options::default()
    }

    /// Sets the number of worker threads, 1 to 4,096: another number counts as the nearest of these, with a warning.
    /// Default: the automation tier's base size.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(within("Options::workers", workers, MOST_THREADS));
        self
    }

    /// Sets how many items may wait for a worker, or in [`stages`](crate::batch::stages) for a fetch, 1 to 1,048,576:
    /// another number counts as the nearest of these, with a warning. They, one item a worker or a group of them, and
    /// those that failed are the memory that a batch takes. Default: two a thread; of `run`, with
    /// [groups](Options::group), two groups a worker, of at most 1,000.
    pub fn queue(mut self, queue: usize) -> Self {
        self.queue = Some(within("Options::queue", queue, MOST_QUEUE));
        self
    }

    /// Puts up to `most` items into one transaction with one COMMIT: as many as there are within a time from the first
    /// of them on. A worker holds no connection while it gathers them. Default: each item has its own.
    ///
    /// The work runs once for each item, in their order. A group for which no connection can be had is tried again as
    /// one, and fails as one. Where the work fails for an item, or panics, or the COMMIT fails, the whole group is
    /// rolled back and each of its items is done again by itself, with its own retries, so
    /// that one that cannot be done fails alone. What the work did elsewhere than in the transaction is done twice
    /// then, and it must not end the transaction by itself. Where nobody knows whether the COMMIT took effect, that
    /// happens only if the work is [idempotent](SessionOptions::idempotent); else all items of the group fail with
    /// [`Class::OutcomeUnknown`](crate::batch::Class::OutcomeUnknown).
    ///
    /// 0 counts as 1, with a warning. One that is 1 is no group.
    pub fn group(mut self, most: usize, within: Duration) -> Self {
        let most = at_least_one("Options::group", most);
        self.group = (most > 1).then_some(Group { most, within });
        self
    }

    /// Sets when an item is tried again, where it failed in a way that passes. Default: [`Retry::default`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how long an item waits for a database that cannot be reached before the batch ends. No attempt of the
    /// item's is used up meanwhile. Default 30 s.
    ///
    /// A cause that waiting will not cure, such as a wrong password, ends the batch at once.
    pub fn outage(mut self, limit: Duration) -> Self {
        self.outage = limit;
        self
    }

    /// Sets the options of each item's session. Of them `retry` does not count, since the batch has its own;
    /// `idempotent` does.
    pub fn session(mut self, session: SessionOptions) -> Self {
        self.session = session;
        self
    }

    /// Sets what is called after each item, on the worker's thread.
    pub fn on_progress(mut self, call: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Box::new(call));
        self
    }

    /// Sets a flag that ends the batch when it becomes true: items under way are finished, others not started. A group
    /// that fails then is not done item by item: the one by which it failed has failed, the others count as not
    /// started, since they were rolled back.
    ///
    /// In [`stages`](crate::batch::stages) an item is under way from its fetch on, so that nothing fetched is lost: it
    /// is stored. Should a store have no connection within its time after that, its own item fails, or its group, and
    /// the pages that are left are not waited for: their items are not started.
    pub fn stop(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = Some(flag);
        self
    }
}

/// A number of which there must be one, and a word to whoever said 0.
pub(super) fn at_least_one(setting: &str, number: usize) -> usize {
    within(setting, number, usize::MAX)
}

/// A number between 1 and the most that there may be, and a warning where it is what was meant by another.
pub(super) fn within(setting: &str, number: usize, most: usize) -> usize {
    let counted = number.clamp(1, most);
    if counted != number {
        say!(
            Level::Warn,
            "tierpool::batch",
            [setting = setting, number = number, counted = counted],
            "{setting}: {number} counts as {counted}"
        );
    }
    counted
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("workers", &self.workers)
            .field("queue", &self.queue)
            .field("group", &self.group)
            .field("retry", &self.retry)
            .field("session", &self.session)
            .field("outage", &self.outage)
            .finish_non_exhaustive()
    }
}
