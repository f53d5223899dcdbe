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
    /// Jobs for whose end nobody waits. They never take the last thread, so that closes that hang do not keep a
    /// caller's connection from being validated.
    patient: VecDeque<Job>,
    patient_running: usize,
    threads: usize,
    /// Threads given up on, in calls that may never return; others take their places meanwhile. Bounded by the zombies.
    lost: usize,
    lost_patient: usize,
    resting: usize,
    limit: usize,
    /// No more jobs will come: threads end as soon as the queue is empty.
    ended: bool,
}

impl State {
    /// How many of the patient jobs may begin.
    fn patient_ready(&self) -> usize {
        // A crew of one has no thread to spare; it is lent another once this one has been given up on.
        let most = self.limit.saturating_sub(1).max(1) + self.lost_patient;
        self.patient.len().min(most.saturating_sub(self.patient_running))
    }

    /// How many threads there may be.
    fn most(&self) -> usize {
        self.limit + self.lost
    }

    fn ready(&self) -> usize {
        self.jobs.len() + self.patient_ready()
    }

    /// The next job, and whether it is a patient one.
    fn take(&mut self) -> Option<(Job, bool)> {
        if let Some(job) = self.jobs.pop_front() {
            return Some((job, false));
        }
        if self.patient_ready() == 0 {
            return None;
        }
        self.patient_running += 1;
        self.patient.pop_front().map(|job| (job, true))
    }
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

    /// As `submit`, for a job that can wait for as long as it must.
    pub(crate) fn submit_patient(&self, job: Job) {
        self.0.state.lock().patient.push_back(job);
        self.staff();
    }

    /// Lets another thread take the place of one that is stuck in a job, a patient one or not.
    pub(crate) fn write_off(&self, patient: bool) {
        let mut state = self.0.state.lock();
        state.lost += 1;
        state.lost_patient += usize::from(patient);
        drop(state);
        self.staff();
    }

    /// A thread written off has come back.
    pub(crate) fn found_again(&self, patient: bool) {
        let mut state = self.0.state.lock();
        state.lost -= 1;
        state.lost_patient -= usize::from(patient);
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
        while let Some((job, patient)) = self.next() {
            // Jobs catch the panics of user code where they know what to do about them; this is for our own.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                log::error!(target: "tierpool", "a job of thread `{}` panicked", self.name);
            }
            if patient {
                self.state.lock().patient_running -= 1;
            }
        }
    }

    /// The next job, or `None` when this thread has left the crew.
    fn next(&self) -> Option<(Job, bool)> {
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
