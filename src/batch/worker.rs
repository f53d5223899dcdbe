//! One worker: takes jobs, gives each a session, tries again what is worth it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::floor::{EndOnPanic, Floor, STOP_GRAIN};
use super::outcomes::{Outcomes, record};
use super::report::{BoxError, Class, Failed};
use super::source::{Next, Source};
use crate::ErrorKind;
use crate::postgres::{Again, Attempts, PgError, Session, Uncommitted, attempt_on, is_outage};
use crate::tiers::Tier;

/// How soon a worker looks again whether the database can be reached; asking costs the pool nothing.
const OUTAGE_PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Worker<'a, S, F, D> {
    pub(super) floor: &'a Floor<'a>,
    pub(super) source: &'a S,
    pub(super) work: &'a F,
    pub(super) done: &'a D,
    /// What the work is called where it panics.
    pub(super) name: &'static str,
}

/// How one attempt failed.
pub(super) struct FailedAttempt {
    pub(super) error: BoxError,
    pub(super) class: Class,
    pub(super) again: Again,
    /// It had no connection to work on.
    pub(super) unconnected: bool,
}

/// Why a job is not done after an attempt.
pub(super) enum NotDone {
    Failed(FailedAttempt),
    /// The pool refused at once, since the database cannot be reached at the moment.
    Outage(PgError),
    /// The pool will not lend again, whatever the wait.
    NoPool(PgError),
}

/// What became of a job after all its attempts.
pub(super) enum Verdict<V> {
    Done(V),
    Failed(FailedAttempt, u32),
    /// It never had a connection: another run starts it, as it does those still in the queue.
    NotStarted,
}

/// What was tried before of a job, in a group.
#[derive(Default)]
pub(super) struct Before {
    pub(super) attempts: u32,
    /// What stands unless a further attempt says otherwise.
    pub(super) failure: Option<FailedAttempt>,
}

impl<S, T, E, F, D> Worker<'_, S, F, D>
where
    S: Source,
    E: From<PgError> + Into<BoxError>,
    F: Fn(&mut Session<'_>, &S::Job) -> Result<T, E>,
    D: Fn(&S::Job, T),
{
    pub(super) fn run(self) -> Outcomes<S::Item> {
        let _guard = EndOnPanic(&self.floor.signals);
        let begun = Instant::now();
        let mut outcomes = Outcomes::new();
        while self.source.goes_on(&self.floor.signals) {
            match self.next(STOP_GRAIN, &mut outcomes) {
                Next::Job(job) => match self.floor.options.group {
                    None => self.process(job, Before::default(), &mut outcomes),
                    Some(group) => self.process_group(job, group, &mut outcomes),
                },
                Next::Failed(failed) => self.fail(failed, &mut outcomes),
                Next::Nothing => {}
                Next::End => break,
            }
        }
        outcomes.lived = begun.elapsed();
        outcomes
    }

    /// Waits for something to do.
    pub(super) fn next(&self, limit: Duration, outcomes: &mut Outcomes<S::Item>) -> Next<S::Job, S::Item> {
        let asked = Instant::now();
        let next = self.source.next(limit);
        outcomes.idle += asked.elapsed();
        next
    }

    pub(super) fn fail(&self, failed: Failed<S::Item>, outcomes: &mut Outcomes<S::Item>) {
        outcomes.failed.push(failed);
        self.floor.item_failed();
    }

    /// Leaves a job to another run.
    pub(super) fn leave(&self, job: S::Job, outcomes: &mut Outcomes<S::Item>) {
        self.source.end(job);
        outcomes.not_started += 1;
    }

    /// Puts a committed job on record, and hands on what its work returned.
    pub(super) fn commit(&self, job: S::Job, value: T, outcomes: &mut Outcomes<S::Item>) {
        outcomes.committed += 1;
        (self.done)(&job, value);
        self.source.end(job);
        self.floor.item_committed();
    }

    pub(super) fn process(&self, job: S::Job, before: Before, outcomes: &mut Outcomes<S::Item>) {
        let verdict = self.persist(
            before,
            1,
            |_| true,
            outcomes,
            |outcomes| self.attempt(outcomes, |tx| (self.work)(tx, &job)),
        );
        match verdict {
            Verdict::Done(value) => self.commit(job, value, outcomes),
            Verdict::Failed(FailedAttempt { error, class, .. }, attempts) => {
                let item = self.source.end(job);
                self.fail(Failed { item, error, class, attempts }, outcomes);
            }
            Verdict::NotStarted => self.leave(job, outcomes),
        }
    }

    /// Makes attempts at what comes to `jobs` jobs until one succeeds or there are to be none: a failure is tried again
    /// where it passes and `may_repeat` says so; an outage is waited for.
    pub(super) fn persist<V>(
        &self,
        before: Before,
        jobs: u64,
        may_repeat: impl Fn(&FailedAttempt) -> bool,
        outcomes: &mut Outcomes<S::Item>,
        mut attempt: impl FnMut(&mut Outcomes<S::Item>) -> Result<V, NotDone>,
    ) -> Verdict<V> {
        let Floor { options, signals, .. } = self.floor;
        let mut attempts = Attempts::new(&options.retry, options.session.idempotent);
        let mut last = before.failure;
        let mut outage_since = None;
        loop {
            let outcome = attempt(outcomes);
            let tried_before = before.attempts > 0 || attempts.failed() > 0;
            if tried_before && !matches!(outcome, Err(NotDone::Outage(_) | NotDone::NoPool(_))) {
                outcomes.retried += jobs;
            }
            match outcome {
                Ok(value) => return Verdict::Done(value),
                Err(NotDone::Failed(failure)) => {
                    outage_since = None;
                    let again = if may_repeat(&failure) { failure.again } else { Again::No };
                    let delay = attempts.after_failure(again);
                    last = Some(failure);
                    // A stop ends the waiting; the item has failed then, with the error at hand.
                    if !delay.is_some_and(|delay| signals.pause(delay)) {
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
                    if !signals.pause(OUTAGE_PAUSE) {
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
            Some(failure) => Verdict::Failed(failure, before.attempts + attempts.failed()),
            None => Verdict::NotStarted,
        }
    }

    /// Makes one attempt at a session.
    pub(super) fn attempt<V>(
        &self,
        outcomes: &mut Outcomes<S::Item>,
        work: impl FnOnce(&mut Session<'_>) -> Result<V, E>,
    ) -> Result<V, NotDone> {
        let options = &self.floor.options.session;
        let begun = Instant::now();
        let mut lent = None;
        // The connection is inside: a panic unwinds through its guard, which has the pool roll it back.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let lent = || lent = Some(Instant::now());
            attempt_on(self.floor.pool, Tier::Automation, options, lent, work)
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
                Err(NotDone::Failed(FailedAttempt { error, class, again: setback.again, unconnected: false }))
            }
            Ok(Err(Uncommitted::NoConnection(error))) => {
                Err(no_connection(error, &mut outcomes.wait, begun.elapsed()))
            }
            // Not the work's, which has not begun.
            Err(payload) if lent.is_none() => resume_unwind(payload),
            Err(payload) => {
                let text = crate::pool::panic_text(&*payload);
                let error = format!("{} panicked: {text}", self.name).into();
                let class = Class::Panic;
                Err(NotDone::Failed(FailedAttempt { error, class, again: Again::No, unconnected: false }))
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
        ErrorKind::ConnectFailed | ErrorKind::Closed => NotDone::NoPool(error),
        _ => {
            record(wait, waited);
            let class = Class::Checkout;
            NotDone::Failed(FailedAttempt { error: error.into(), class, again, unconnected: true })
        }
    }
}
