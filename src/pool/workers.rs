//! Threads on demand: started when there is a job, ended when there has been none for a while.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// How long a thread without a job stays, so that a series of jobs does not start a thread for each.
const LINGER: Duration = Duration::from_millis(500);

struct Crew {
    name: String,
    /// No job runs under it.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Bounded by its users: a job stands for a seat, or for a zombie, and both are bounded.
    jobs: VecDeque<Job>,
    threads: usize,
    resting: usize,
    limit: usize,
    /// No more jobs will come: threads end as soon as the queue is empty.
    ended: bool,
}

/// A bounded crew of threads for calls into a database layer that may block.
pub(crate) struct Workers(Arc<Crew>);

impl Workers {
    pub(crate) fn new(name: String, limit: usize) -> Self {
        let state = State { limit, ..State::default() };
        Workers(Arc::new(Crew { name, state: Mutex::new(state), changed: Condvar::new() }))
    }

    pub(crate) fn submit(&self, job: Job) {
        self.0.state.lock().jobs.push_back(job);
        self.staff();
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.0.state.lock().limit = limit;
        self.staff();
    }

    /// Sees to it that a thread takes up what is queued. Called again by the keeper, in case the system had no
    /// thread to give.
    pub(crate) fn staff(&self) {
        let mut state = self.0.state.lock();
        if state.jobs.is_empty() {
            return;
        }
        if state.resting >= state.jobs.len() || state.threads >= state.limit {
            drop(state);
            self.0.changed.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let crew = Arc::clone(&self.0);
        let started = std::thread::Builder::new().name(self.0.name.clone()).spawn(move || crew.run());
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

impl Crew {
    fn run(&self) {
        while let Some(job) = self.next() {
            // Jobs catch the panics of user code where they know what to do about them; this is for our own.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                log::error!(target: "tierpool", "a job of thread `{}` panicked", self.name);
            }
        }
    }

    /// The next job, or `None` when this thread has left the crew.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            let spare = state.ended || state.threads > state.limit;
            state.resting += 1;
            let timed_out = spare || self.changed.wait_for(&mut state, LINGER).timed_out();
            state.resting -= 1;
            if timed_out && state.jobs.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }
}
