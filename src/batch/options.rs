//! What a batch may be told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::postgres::{Retry, SessionOptions};

/// How far a batch has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Items committed.
    pub committed: u64,
    /// Items that failed for good.
    pub failed: u64,
    /// Items in all, where the input knows its length.
    pub total: Option<u64>,
}

/// Is told of the progress after each item, on the worker's thread.
pub(super) type OnProgress = Box<dyn Fn(Progress) + Send + Sync>;

/// The options of a batch. All have defaults.
pub struct Options {
    pub(super) workers: Option<usize>,
    pub(super) queue: Option<usize>,
    pub(super) retry: Retry,
    pub(super) session: SessionOptions,
    pub(super) on_progress: Option<OnProgress>,
    pub(super) stop: Option<Arc<AtomicBool>>,
    pub(super) outage: Duration,
}

/// Long enough for a server to restart and recover, short enough for somebody who watches.
const OUTAGE: Duration = Duration::from_secs(30);

impl Default for Options {
    fn default() -> Self {
        Options {
            workers: None,
            queue: None,
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

    /// Sets the number of worker threads, at least 1. Default: the automation tier's base size.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers.max(1));
        self
    }

    /// Sets how many items may wait for a worker, at least 1. They, one item a worker, and those that failed are the
    /// memory that a batch takes. Default: two a worker.
    pub fn queue(mut self, queue: usize) -> Self {
        self.queue = Some(queue.max(1));
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

    /// Sets a flag that ends the batch when it becomes true: items under way are finished, others not started.
    pub fn stop(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = Some(flag);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("workers", &self.workers)
            .field("queue", &self.queue)
            .field("retry", &self.retry)
            .field("session", &self.session)
            .field("outage", &self.outage)
            .finish_non_exhaustive()
    }
}
