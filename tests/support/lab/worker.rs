//! Threads that work through the pool under test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::record::{Record, STRIDE};
use super::subject::{Failure, Outcome, Step, Subject};
use crate::support::wait::comes_true;

/// The workers of one run.
pub struct Crew {
    start: Instant,
    /// Relaxed: read once before each piece of work; joining the threads orders the rest.
    stop: Arc<AtomicBool>,
    desks: Vec<Arc<Desk>>,
    threads: Vec<JoinHandle<()>>,
}

/// What a worker leaves for others to read, also while it is stuck.
struct Desk {
    records: Mutex<Vec<Record>>,
    now: Mutex<Option<Current>>,
}

#[derive(Clone)]
struct Current {
    number: i64,
    start: Duration,
    step: Step,
    since: Duration,
    steps: [Duration; 3],
}

impl Crew {
    /// Starts `count` workers that pause for `think` between two pieces of work. Their numbers begin above `first`.
    pub fn start(
        subject: &Arc<dyn Subject>,
        count: usize,
        think: Duration,
        start: Instant,
        first: i64,
    ) -> Crew {
        let stop = Arc::new(AtomicBool::new(false));
        let desks: Vec<_> = (0..count)
            .map(|_| Arc::new(Desk { records: Mutex::new(Vec::new()), now: Mutex::new(None) }))
            .collect();
        let threads = desks.iter().zip(1..).map(|(desk, worker)| {
            let (subject, stop, desk) = (Arc::clone(subject), Arc::clone(&stop), Arc::clone(desk));
            let mut number = first + worker * STRIDE;
            let body = move || {
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    desk.work(&*subject, number, start);
                    // The pause of a program between two pieces of work: part of the load, waits for nothing.
                    thread::sleep(think);
                }
            };
            let named = thread::Builder::new().name(format!("worker-{worker}"));
            named.spawn(body).expect("a worker's thread can be started")
        });
        Crew { start, threads: threads.collect(), stop, desks }
    }

    /// The records of what has ended since.
    pub fn records_since(&self, time: Duration) -> Vec<Record> {
        let later = |desk: &Arc<Desk>| {
            let records = desk.records.lock();
            records[records.partition_point(|record| record.end < time)..].to_vec()
        };
        self.desks.iter().flat_map(later).collect()
    }

    /// How many pieces of work have been done by the worker that did the fewest.
    pub fn least_done(&self) -> usize {
        let done = |desk: &Arc<Desk>| desk.records.lock().iter().filter(|record| record.is_done()).count();
        self.desks.iter().map(done).min().unwrap_or(0)
    }

    /// How many workers are in a checkout that they began before `time`.
    pub fn in_checkout_since(&self, time: Duration) -> usize {
        let waits = |current: &Current| current.step == Step::Get && current.since < time;
        self.desks.iter().filter(|desk| desk.now.lock().as_ref().is_some_and(waits)).count()
    }

    /// Stops the workers. Those not back within `bound` are left behind; what they are in counts as of unknown outcome
    /// and as lasting until now. Returns all records and how many are left behind.
    pub fn stop(self, bound: Duration) -> (Vec<Record>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        comes_true(bound, || self.threads.iter().all(JoinHandle::is_finished));
        let mut records = Vec::new();
        let mut stuck = 0;
        let now = self.start.elapsed();
        for (thread, desk) in self.threads.into_iter().zip(self.desks) {
            if thread.is_finished() {
                thread.join().expect("a worker does not panic");
            } else {
                stuck += 1;
                records.extend(desk.now.lock().clone().map(|current| current.cut_off(now)));
            }
            records.append(&mut desk.records.lock());
        }
        (records, stuck)
    }
}

impl Desk {
    fn work(&self, subject: &dyn Subject, number: i64, start: Instant) {
        let begun = start.elapsed();
        let step = |next: Step| {
            let at = start.elapsed();
            let mut now = self.now.lock();
            let current = match now.take() {
                Some(current) => current.enters(next, at),
                None => Current { number, start: begun, step: next, since: at, steps: Default::default() },
            };
            *now = Some(current);
        };
        let outcome = subject.work(number, &step);
        let end = start.elapsed();
        let last = self.now.lock().take().map(|current| current.enters(Step::Drop, end));
        let steps = last.map_or_else(Default::default, |current| current.steps);
        self.records.lock().push(Record { number, start: begun, end, steps, outcome });
    }
}

impl Current {
    fn enters(mut self, next: Step, at: Duration) -> Self {
        self.steps[self.step as usize] = at.saturating_sub(self.since);
        (self.step, self.since) = (next, at);
        self
    }

    fn cut_off(self, now: Duration) -> Record {
        let text = format!("never returned from {:?}", self.step);
        let outcome = Outcome::Unknown(Failure { text, code: None, names_cause: false });
        let (number, start) = (self.number, self.start);
        let steps = self.enters(Step::Drop, now).steps;
        Record { number, start, end: now, steps, outcome }
    }
}
