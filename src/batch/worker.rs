//! One worker: takes items, gives each a session, tries again what is worth it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use hdrhistogram::Histogram;

use super::floor::Floor;
use super::report::{BoxError, Class, Failed};
use crate::ErrorKind;
use crate::clock::Deadline;
use crate::postgres::{Again, Attempts, PgError, Session, Uncommitted, attempt_on, is_outage};
use crate::tiers::Tier;

/// How soon a worker notices a stop while it waits for an item or between two attempts.
const STOP_GRAIN: Duration = Duration::from_millis(20);
/// How soon a worker looks again whether the database can be reached; asking costs the pool nothing.
const OUTAGE_PAUSE: Duration = Duration::from_millis(200);
/// Percentiles to two significant digits: some 10 KiB a worker, from a microsecond to hours.
const DIGITS: u8 = 2;

/// What became of one worker's items.
pub(super) struct Outcomes<I> {
    pub(super) committed: u64,
    pub(super) failed: Vec<Failed<I>>,
    pub(super) not_started: u64,
    pub(super) retried: u64,
    pub(super) wait: Histogram<u64>,
    pub(super) session: Histogram<u64>,
}

impl<I> Outcomes<I> {
    pub(super) fn new() -> Self {
        let histogram = || match Histogram::new(DIGITS) {
            Ok(histogram) => histogram,
            Err(error) => unreachable!("BUG: {DIGITS} digits refused: {error}"),
        };
        Outcomes {
            committed: 0,
            failed: Vec::new(),
            not_started: 0,
            retried: 0,
            wait: histogram(),
            session: histogram(),
        }
    }

    pub(super) fn add(&mut self, other: Outcomes<I>) {
        self.committed += other.committed;
        self.failed.extend(other.failed);
        self.not_started += other.not_started;
        self.retried += other.retried;
        self.wait += other.wait;
        self.session += other.session;
    }
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    // Auto-resizing histograms take any value; one that does not fit is a reading worth dropping, not an error.
    let _ = histogram.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

pub(super) struct Worker<'a, F, D> {
    pub(super) floor: &'a Floor<'a>,
    pub(super) work: &'a F,
    pub(super) done: &'a D,
}

/// How one attempt failed.
struct FailedAttempt {
    error: BoxError,
    class: Class,
    again: Again,
}

/// Why an item is not done after an attempt.
enum NotDone {
    Failed(FailedAttempt),
    /// The pool refused at once, since the database cannot be reached at the moment.
    Outage(PgError),
    /// The pool will not lend again, whatever the wait.
    NoPool(PgError),
}

/// Ends the batch when its worker's thread panics in a callback: with its workers gone the feeder would wait for ever.
struct EndOnPanic<'a>(&'a Floor<'a>);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.halt();
        }
    }
}

impl<F, D> Worker<'_, F, D> {
    pub(super) fn run<I, T, E>(self, items: &Receiver<I>) -> Outcomes<I>
    where
        E: From<PgError> + Into<BoxError>,
        F: Fn(&mut Session<'_>, &I) -> Result<T, E>,
        D: Fn(&I, T),
    {
        let _guard = EndOnPanic(self.floor);
        let mut outcomes = Outcomes::new();
        while !self.floor.is_over() {
            match items.recv_timeout(STOP_GRAIN) {
                Ok(item) => self.process(item, &mut outcomes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        outcomes
    }

    fn process<I, T, E>(&self, item: I, outcomes: &mut Outcomes<I>)
    where
        E: From<PgError> + Into<BoxError>,
        F: Fn(&mut Session<'_>, &I) -> Result<T, E>,
        D: Fn(&I, T),
    {
        let options = self.floor.options;
        let mut attempts = Attempts::new(&options.retry, options.session.idempotent);
        let mut last = None;
        let mut outage_since = None;
        loop {
            let outcome = self.attempt(&item, outcomes);
            if attempts.failed() > 0 && !matches!(outcome, Err(NotDone::Outage(_) | NotDone::NoPool(_))) {
                outcomes.retried += 1;
            }
            match outcome {
                Ok(value) => {
                    outcomes.committed += 1;
                    (self.done)(&item, value);
                    return self.floor.item_committed();
                }
                Err(NotDone::Failed(failure)) => {
                    outage_since = None;
                    let delay = attempts.after_failure(failure.again);
                    last = Some(failure);
                    // A stop ends the waiting; the item has failed then, with the error at hand.
                    if !delay.is_some_and(|delay| self.pause(delay)) {
                        break;
                    }
                }
                // No attempt was made, so none of the item's is used up.
                Err(NotDone::Outage(error)) => {
                    let since = *outage_since.get_or_insert_with(Instant::now);
                    attempts.excuse(OUTAGE_PAUSE);
                    if since.elapsed() >= options.outage {
                        self.floor.give_up(error.into());
                    }
                    if !self.pause(OUTAGE_PAUSE) {
                        break;
                    }
                }
                Err(NotDone::NoPool(error)) => {
                    self.floor.give_up(error.into());
                    break;
                }
            }
        }
        match last {
            Some(FailedAttempt { error, class, .. }) => {
                outcomes.failed.push(Failed { item, error, class, attempts: attempts.failed() });
                self.floor.item_failed();
            }
            // It never had a connection: another run starts it, as it does those still in the queue.
            None => outcomes.not_started += 1,
        }
    }

    /// Waits before another attempt; false when the batch has been ended meanwhile.
    fn pause(&self, delay: Duration) -> bool {
        let until = Deadline::of(delay);
        while !self.floor.is_over() {
            let left = until.left();
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(STOP_GRAIN));
        }
        false
    }

    fn attempt<I, T, E>(&self, item: &I, outcomes: &mut Outcomes<I>) -> Result<T, NotDone>
    where
        E: From<PgError> + Into<BoxError>,
        F: Fn(&mut Session<'_>, &I) -> Result<T, E>,
    {
        let options = &self.floor.options.session;
        let begun = Instant::now();
        let mut lent = None;
        // The connection is inside: a panic unwinds through its guard, which has the pool roll it back.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let lent = || lent = Some(Instant::now());
            attempt_on(self.floor.pool, Tier::Automation, options, lent, |tx| (self.work)(tx, item))
        }));
        if let Some(lent) = lent {
            record(&mut outcomes.wait, lent - begun);
            record(&mut outcomes.session, lent.elapsed());
        }
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Uncommitted::Session(setback))) => {
                let error = setback.error.into();
                let class = Class::of(&*error);
                Err(NotDone::Failed(FailedAttempt { error, class, again: setback.again }))
            }
            Ok(Err(Uncommitted::NoConnection(error))) => {
                Err(no_connection(error, &mut outcomes.wait, begun.elapsed()))
            }
            // Not the work's, which has not begun.
            Err(payload) if lent.is_none() => resume_unwind(payload),
            Err(payload) => {
                let text = crate::pool::panic_text(&*payload);
                let error = format!("the work panicked: {text}").into();
                Err(NotDone::Failed(FailedAttempt { error, class: Class::Panic, again: Again::No }))
            }
        }
    }
}

/// Sorts a refused checkout. Its time counts where it was spent waiting.
fn no_connection(error: crate::Error, wait: &mut Histogram<u64>, waited: Duration) -> NotDone {
    let kind = error.kind();
    let again = match kind {
        // A deadlock of the caller's own making is not cured by waiting for it again and again.
        ErrorKind::WouldDeadlock => Again::No,
        _ if is_outage(&error) => Again::Outage,
        _ => Again::Yes,
    };
    let error = PgError::from(error);
    match kind {
        ErrorKind::CircuitOpen => NotDone::Outage(error),
        ErrorKind::ConnectFailed | ErrorKind::Closed | ErrorKind::Forked => NotDone::NoPool(error),
        _ => {
            record(wait, waited);
            NotDone::Failed(FailedAttempt { error: error.into(), class: Class::Checkout, again })
        }
    }
}
