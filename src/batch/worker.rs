//! One worker: takes items, gives each a session, tries again what is worth it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use hdrhistogram::Histogram;

use super::feed::Floor;
use super::report::{BoxError, Class, Failed, as_pg_error, as_postgres};
use crate::ErrorKind;
use crate::postgres::{PgError, Session, is_worth_repeating, run_session};
use crate::tiers::Tier;

/// How soon a worker notices a stop while it waits for an item or between two attempts.
const STOP_GRAIN: Duration = Duration::from_millis(20);
/// Percentiles to two significant digits: some 10 KiB a worker, from a microsecond to hours.
const DIGITS: u8 = 2;

/// What became of one worker's items.
pub(super) struct Tally<I> {
    pub(super) committed: u64,
    pub(super) failed: Vec<Failed<I>>,
    pub(super) not_started: u64,
    pub(super) retried: u64,
    pub(super) wait: Histogram<u64>,
    pub(super) session: Histogram<u64>,
}

impl<I> Tally<I> {
    pub(super) fn new() -> Self {
        let histogram = || match Histogram::new(DIGITS) {
            Ok(histogram) => histogram,
            Err(error) => unreachable!("BUG: {DIGITS} digits refused: {error}"),
        };
        Tally {
            committed: 0,
            failed: Vec::new(),
            not_started: 0,
            retried: 0,
            wait: histogram(),
            session: histogram(),
        }
    }

    pub(super) fn add(&mut self, other: Tally<I>) {
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
struct Failure {
    error: BoxError,
    class: Class,
    /// Worth another attempt.
    transient: bool,
    /// The pool cannot reach the database.
    unreachable: bool,
}

impl<F, D> Worker<'_, F, D> {
    pub(super) fn run<I, T, E>(self, items: &Receiver<I>) -> Tally<I>
    where
        E: From<PgError> + Into<BoxError>,
        F: Fn(&mut Session<'_>, &I) -> Result<T, E>,
        D: Fn(&I, T),
    {
        let mut tally = Tally::new();
        while !self.floor.is_over() {
            match items.recv_timeout(STOP_GRAIN) {
                Ok(item) => self.process(item, &mut tally),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        tally
    }

    fn process<I, T, E>(&self, item: I, tally: &mut Tally<I>)
    where
        E: From<PgError> + Into<BoxError>,
        F: Fn(&mut Session<'_>, &I) -> Result<T, E>,
        D: Fn(&I, T),
    {
        let mut delays = self.floor.options.retry.delays();
        let mut attempts = 0;
        let failure = loop {
            attempts += 1;
            match self.attempt(&item, tally) {
                Ok(value) => {
                    tally.committed += 1;
                    (self.done)(&item, value);
                    return self.floor.item_ended(true);
                }
                Err(failure) if !failure.transient => break failure,
                Err(failure) => match delays.next() {
                    // A stop ends the waiting; an item that was under way has failed then, with the error at hand.
                    Some(delay) if self.pause(delay) => tally.retried += 1,
                    _ => break failure,
                },
            }
        };
        if failure.unreachable {
            // It never had a connection: another run starts it, as it does those still in the queue.
            tally.not_started += 1;
            return self.floor.give_up(failure.error);
        }
        tally.failed.push(Failed { item, error: failure.error, class: failure.class, attempts });
        self.floor.item_ended(false);
    }

    /// Waits before another attempt; false when the batch has been ended meanwhile.
    fn pause(&self, delay: Duration) -> bool {
        let until = Instant::now() + delay;
        while !self.floor.is_over() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(STOP_GRAIN));
        }
        false
    }

    fn attempt<I, T, E>(&self, item: &I, tally: &mut Tally<I>) -> Result<T, Failure>
    where
        E: From<PgError> + Into<BoxError>,
        F: Fn(&mut Session<'_>, &I) -> Result<T, E>,
    {
        let begun = Instant::now();
        let got = self.floor.pool.get(Tier::Automation);
        record(&mut tally.wait, begun.elapsed());
        let mut conn = got.map_err(|error| no_connection(error.into()))?;
        let begun = Instant::now();
        // The connection is inside: a panic unwinds through its guard, which has the pool roll it back.
        let outcome = catch_unwind(AssertUnwindSafe(move || {
            run_session(&mut conn, &self.floor.options.session, |tx| (self.work)(tx, item))
        }));
        record(&mut tally.session, begun.elapsed());
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.judge(error.into())),
            Err(payload) => {
                let text = crate::pool::panic_text(&*payload);
                let error = format!("the work panicked: {text}").into();
                Err(Failure { error, class: Class::Panic, transient: false, unreachable: false })
            }
        }
    }

    fn judge(&self, error: BoxError) -> Failure {
        let retry = self.floor.options.retry;
        let class = Class::of(&*error);
        // Lost in the middle of the work: nothing was committed, since COMMIT comes last.
        let transient = class == Class::ConnectionLost
            || as_pg_error(&*error).is_some_and(|known| retry.applies_to(known))
            || as_postgres(&*error).is_some_and(is_worth_repeating);
        Failure { error, class, transient, unreachable: false }
    }
}

fn no_connection(error: PgError) -> Failure {
    let kind = error.as_checkout().map(crate::Error::kind);
    let closed = kind == Some(ErrorKind::Closed);
    // A deadlock of the caller's own making is not cured by waiting for it again and again.
    let transient = !closed && kind != Some(ErrorKind::WouldDeadlock);
    let unreachable = closed || matches!(kind, Some(ErrorKind::CircuitOpen | ErrorKind::ConnectFailed));
    Failure { error: Box::new(error), class: Class::Checkout, transient, unreachable }
}
