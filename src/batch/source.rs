//! Where workers get their jobs from.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::floor::Signals;
use super::report::Failed;

/// What a source has for a worker.
pub(super) enum Next<J, I> {
    Job(J),
    /// An item that failed ahead of the workers, for them to put on record.
    Failed(Failed<I>),
    /// Nothing within the time given.
    Nothing,
    /// Nothing any more.
    End,
}

/// Where workers get their jobs from: the items themselves, or the pages fetched for them.
pub(super) trait Source: Sync {
    type Item;
    type Job;

    fn next(&self, limit: Duration) -> Next<Self::Job, Self::Item>;

    /// Ends a job, and returns its item.
    fn end(&self, job: Self::Job) -> Self::Item;

    /// What the report keeps of an item that failed: nothing where the source has it on record.
    fn keep(&self, failed: Failed<Self::Item>) -> Option<Failed<Self::Item>>;

    /// Whether jobs are to be begun with, as the batch goes.
    fn goes_on(&self, signals: &Signals) -> bool;

    /// Whether nothing will come until a job has ended.
    fn holds_back(&self) -> bool;
}

impl<I: Send> Source for Receiver<I> {
    type Item = I;
    type Job = I;

    fn next(&self, limit: Duration) -> Next<I, I> {
        received(self, limit)
    }

    fn end(&self, job: I) -> I {
        job
    }

    fn keep(&self, failed: Failed<I>) -> Option<Failed<I>> {
        Some(failed)
    }

    fn goes_on(&self, signals: &Signals) -> bool {
        !signals.is_over()
    }

    fn holds_back(&self) -> bool {
        false
    }
}

/// The next job of a channel.
pub(super) fn received<J, I>(jobs: &Receiver<J>, limit: Duration) -> Next<J, I> {
    match jobs.recv_timeout(limit) {
        Ok(job) => Next::Job(job),
        Err(RecvTimeoutError::Timeout) => Next::Nothing,
        Err(RecvTimeoutError::Disconnected) => Next::End,
    }
}
