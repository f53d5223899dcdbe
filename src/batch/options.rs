//! What a batch may be told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
#[derive(Default)]
pub struct Options {
    pub(super) workers: Option<usize>,
    pub(super) queue: Option<usize>,
    pub(super) retry: Retry,
    pub(super) session: SessionOptions,
    pub(super) on_progress: Option<OnProgress>,
    pub(super) stop: Option<Arc<AtomicBool>>,
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

    /// Sets how many items may wait for a worker, at least 1: the memory that the batch takes. Default: two a worker.
    pub fn queue(mut self, queue: usize) -> Self {
        self.queue = Some(queue.max(1));
        self
    }

    /// Sets when an item is tried again. Default: [`Retry::default`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the options of each item's session.
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
            .finish_non_exhaustive()
    }
}
