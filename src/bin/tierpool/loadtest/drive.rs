//! Threads that make the load, and the one that watches them.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::cores;
use super::probe::{Probe, Probed};
use super::record::{Counts, Record, Times};
use super::scenario::{Plan, Work};
use super::schedule::Schedule;
use super::spread::{NEVER, Outcome};
use super::target::{Opened, Target};
use crate::outcome::Failure;

/// An arrival for which no thread was free for so long is not started any more.
pub const UNSTARTED_AFTER: Duration = Duration::from_secs(1);

/// A request that is answered later, from the moment at which it was due, is answered to nobody.
pub const LATE_AFTER: Duration = Duration::from_secs(2);

/// What is under way at the end of the schedule has so long to end.
const GRACE: Duration = Duration::from_secs(30);

/// How often the run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A thread does next to nothing, and there may be a thousand.
const STACK: usize = 512 * 1024;

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Ran {
    pub pool: &'static str,
    pub ceiling: u32,
    pub record: Record,
    pub probed: Probed,
    pub opened: Option<Opened>,
    /// Requests of the load before were still under way when this one began.
    pub is_disturbed: bool,
}

/// What the threads of a run have in common.
struct Shared {
    target: Arc<dyn Target>,
    work: Work,
    schedule: Schedule,
    record: Mutex<Record>,
}

/// Makes the load that a plan asks for, and calls `look` with what was counted and the time since the start, many
/// times a second.
///
/// Waits first, for at most 30 s, for the end of what a load before has left. Ends at the latest 30 s after
/// the schedule does: what has no answer by then counts as timed out.
pub fn drive(
    target: &Arc<dyn Target>,
    plan: &Plan,
    mut look: impl FnMut(&Counts, Duration),
) -> Result<Ran, Failure> {
    let is_disturbed = !is_at_rest(target, &mut look);
    let shared = Arc::new(Shared {
        target: Arc::clone(target),
        work: plan.work.clone(),
        schedule: Schedule::of(plan.model, plan.time),
        record: Mutex::new(Record::over(plan.time)),
    });
    let (start, started) = crossbeam_channel::bounded(plan.threads as usize);
    // Where one cannot be had the others end, as nobody starts them.
    let threads: Vec<_> = (0..plan.threads)
        .map(|user| spawn(user, Arc::clone(&shared), started.clone()))
        .collect::<Result<_, _>>()?;
    let probe = Probe::start(Arc::clone(target))?;
    let begun = Instant::now();
    threads.iter().for_each(|_| {
        let _ = start.send(begun);
    });
    let last = begun + plan.time + GRACE;
    while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < last {
        thread::sleep(LOOK_EVERY);
        let counts = shared.record.lock().counts;
        look(&counts, begun.elapsed());
    }
    let probed = probe.stop();
    // In this order, which no thread takes the other way round: a thread has at most one of the two.
    let mut record = shared.record.lock();
    let offered = shared.schedule.drain(|due| record.series.offer(due));
    let mut record = record.clone();
    let unanswered = threads.iter().filter(|thread| !thread.is_finished()).count() as u64;
    settle(&mut record, offered, unanswered);
    Ok(Ran {
        pool: target.name(),
        ceiling: target.ceiling(),
        record,
        probed,
        opened: target.opened(),
        is_disturbed,
    })
}

/// Waits until no thread of a load before has the target any more, but the caller alone; false where one still has it
/// after 30 s.
fn is_at_rest(target: &Arc<dyn Target>, mut look: impl FnMut(&Counts, Duration)) -> bool {
    let last = Instant::now() + GRACE;
    while Arc::strong_count(target) > 1 {
        if Instant::now() >= last {
            return false;
        }
        look(&Counts::default(), Duration::ZERO);
        thread::sleep(LOOK_EVERY);
    }
    true
}

/// Counts what has come to nothing by the end: each thread that has not ended has one request without an answer; for
/// the rest of what was offered there was no thread.
fn settle(record: &mut Record, offered: Option<u64>, unanswered: u64) {
    let missing = offered.map_or(unanswered, |offered| offered.saturating_sub(record.counts.offered()));
    let unanswered = unanswered.min(missing);
    record.add_many(Outcome::TimedOut, unanswered, NEVER);
    record.add_many(Outcome::Unstarted, missing - unanswered, NEVER);
    record.series.settle();
}

fn spawn(user: u32, shared: Arc<Shared>, started: Receiver<Instant>) -> Result<JoinHandle<()>, Failure> {
    let work = move || {
        if let Ok(begun) = started.recv() {
            // Its start was no request's: where there are few, those of all threads would be most of what is counted.
            let before = cores::waited_for();
            shared.make_requests(user, begun);
            if let (Some(before), Some(queued)) = (before, cores::waited_for()) {
                shared.record.lock().queued += queued.saturating_sub(before);
            }
        }
    };
    let thread = thread::Builder::new().name(format!("load-{user}")).stack_size(STACK).spawn(work);
    thread.map_err(|error| Failure::new(format_args!("thread {user} of the load cannot be had: {error}")))
}

impl Shared {
    fn make_requests(&self, user: u32, begun: Instant) {
        let mut ended = None;
        while let Some(at) = self.schedule.next(user, ended) {
            self.record.lock().series.offer(at);
            self.make_request(begun, at);
            ended = Some(begun.elapsed());
        }
    }

    fn make_request(&self, begun: Instant, at: Duration) {
        let due = begun + at;
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            thread::sleep(early);
        }
        let lag = due.elapsed();
        if lag > UNSTARTED_AFTER {
            let times = Times { due: at, latency: lag, ..Times::default() };
            return self.record.lock().add(Outcome::Unstarted, times, None);
        }
        let served = self.target.serve(&self.work);
        let times = Times {
            due: at,
            latency: due.elapsed(),
            lag: Some(lag),
            generator: (!early.is_zero()).then_some(lag),
            wait: Some(served.wait),
            service: served.service,
            hold: served.hold,
        };
        let (outcome, error) = match served.fault {
            Some(fault) => (fault.outcome, Some(fault.told)),
            None if times.latency > LATE_AFTER => (Outcome::Late, None),
            None => (Outcome::Done, None),
        };
        self.record.lock().add(outcome, times, error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_answer_at_the_end_counts_and_so_does_what_found_no_thread() {
        let counts = |offered, unanswered| {
            let mut record = Record::over(GRACE);
            (0..3).for_each(|_| record.add(Outcome::Done, Times::default(), None));
            settle(&mut record, offered, unanswered);
            assert_eq!(record.latency.count(), record.counts.offered());
            (record.counts.done, record.counts.timed_out, record.counts.unstarted)
        };
        assert_eq!(counts(Some(3), 0), (3, 0, 0));
        assert_eq!(counts(Some(10), 2), (3, 2, 5));
        assert_eq!(counts(Some(4), 2), (3, 1, 0), "one of the two has ended meanwhile");
        assert_eq!(counts(None, 2), (3, 2, 0), "nothing else was due in the closed model");
    }
}
