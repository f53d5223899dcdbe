//! Threads on demand: started when there is a job, ended when there has been none for a while.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::process::PoolThread;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Whether somebody waits for the end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    Foreground,
    Background,
}

/// How long a thread without a job stays, so that a series of jobs does not start a thread for each.
const LINGER: Duration = Duration::from_millis(500);

struct Group {
    name: String,
    /// No job runs under it.
    state: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Bounded by its users: a job stands for a seat, or for a zombie, and both are bounded.
    jobs: VecDeque<Job>,
    /// Jobs for whose end nobody waits. They never take the last thread, so that closes that hang do not keep a
    /// caller's connection from being validated.
    background: VecDeque<Job>,
    background_running: usize,
    threads: usize,
    /// Threads given up on, in calls that may never return; others take their places meanwhile. Bounded by the zombies.
    lost: usize,
    lost_background: usize,
    resting: usize,
    limit: usize,
    /// No more jobs will come: threads end as soon as the queue is empty.
    ended: bool,
}

impl Queue {
    /// How many of the background jobs may begin.
    fn background_ready(&self) -> usize {
        // A group of one has no thread to spare; it is lent another once this one has been given up on.
        let most = self.limit.saturating_sub(1).max(1) + self.lost_background;
        self.background.len().min(most.saturating_sub(self.background_running))
    }

    /// How many threads there may be.
    fn most(&self) -> usize {
        self.limit + self.lost
    }

    fn ready(&self) -> usize {
        self.jobs.len() + self.background_ready()
    }

    /// The next job, with its rank.
    fn take(&mut self) -> Option<(Job, Rank)> {
        if let Some(job) = self.jobs.pop_front() {
            return Some((job, Rank::Foreground));
        }
        if self.background_ready() == 0 {
            return None;
        }
        self.background_running += 1;
        self.background.pop_front().map(|job| (job, Rank::Background))
    }
}

/// A bounded group of threads for calls into a database layer that may block.
pub(crate) struct Workers(Arc<Group>);

impl Workers {
    pub(crate) fn new(name: String, limit: usize) -> Self {
        let state = Queue { limit, ..Queue::default() };
        Workers(Arc::new(Group { name, state: Mutex::new(state), changed: Condvar::new() }))
    }

    pub(crate) fn submit(&self, job: Job) {
        self.0.state.lock().jobs.push_back(job);
        self.staff();
    }

    /// As `submit`, for a job that can wait for as long as it must.
    pub(crate) fn submit_in_background(&self, job: Job) {
        self.0.state.lock().background.push_back(job);
        self.staff();
    }

    /// Gives up on a thread that is stuck in a job of this rank: another may take its place as soon as `staff` is
    /// called.
    pub(crate) fn write_off(&self, rank: Rank) {
        let mut state = self.0.state.lock();
        state.lost += 1;
        state.lost_background += usize::from(rank == Rank::Background);
    }

    /// A thread written off has come back.
    pub(crate) fn found_again(&self, rank: Rank) {
        let mut state = self.0.state.lock();
        state.lost -= 1;
        state.lost_background -= usize::from(rank == Rank::Background);
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.0.state.lock().limit = limit;
        self.staff();
    }

    /// Sees to it that a thread takes up what is queued. Called again by the keeper, in case the system had no
    /// thread to give.
    pub(crate) fn staff(&self) {
        let mut state = self.0.state.lock();
        let ready = state.ready();
        if ready == 0 {
            return;
        }
        if state.resting >= ready || state.threads >= state.most() {
            drop(state);
            self.0.changed.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let group = Arc::clone(&self.0);
        let counted = PoolThread::counted();
        let started = std::thread::Builder::new().name(self.0.name.clone()).spawn(move || {
            let _counted = counted;
            group.run();
        });
        if let Err(error) = started {
            self.0.state.lock().threads -= 1;
            log::error!(target: "tierpool", "cannot start thread `{}`: {error}", self.0.name);
        }
    }

    /// Lets resting threads go at once; queued jobs are still done.
    pub(crate) fn end(&self) {
        self.0.state.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end();
    }
}

impl Group {
    fn run(&self) {
        while let Some((job, rank)) = self.next() {
            // Jobs catch the panics of user code where they know what to do about them; this is for our own.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                log::error!(target: "tierpool", "a job of thread `{}` panicked", self.name);
            }
            if rank == Rank::Background {
                self.state.lock().background_running -= 1;
            }
        }
    }

    /// The next job, or `None` when this thread has left the group.
    fn next(&self) -> Option<(Job, Rank)> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.take() {
                return Some(job);
            }
            let spare = state.ended || state.threads > state.most();
            state.resting += 1;
            let timed_out = spare || self.changed.wait_for(&mut state, LINGER).timed_out();
            state.resting -= 1;
            if timed_out && state.ready() == 0 {
                state.threads -= 1;
                return None;
            }
        }
    }
}
