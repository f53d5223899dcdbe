//! One worker: gives each job a session, tries again what is worth it.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::floor::{Floor, OUTAGE_PAUSE};
use super::outcomes::{Outcomes, record};
use super::report::{BoxError, Class, Failed};
use super::source::{Next, Source};
use crate::ErrorKind;
use crate::foreign::caught;
use crate::postgres::{
    Again, Attempts, Committed, Ending, Loan, PgError, Session, Uncommitted, attempt_on, is_outage, look,
};
use crate::tiers::Tier;

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
    /// It or one before it may have taken effect.
    pub(super) in_doubt: bool,
}

impl FailedAttempt {
    /// Whether the attempt may have taken effect.
    pub(super) fn is_unknown(&self) -> bool {
        self.class == Class::OutcomeUnknown
    }

    /// What stands after this failure and one before it: a server that was away, or was not asked, said nothing of
    /// whether an earlier attempt has taken effect.
    fn after(self, before: Option<FailedAttempt>) -> FailedAttempt {
        let says_nothing = self.unconnected || self.again == Again::Outage;
        let in_doubt = self.in_doubt || before.as_ref().is_some_and(|before| before.in_doubt);
        let stands = before.filter(|before| says_nothing && before.is_unknown()).unwrap_or(self);
        FailedAttempt { in_doubt, ..stands }
    }
}

/// Why a job is not done after an attempt.
pub(super) enum NotDone {
    Failed(FailedAttempt),
    /// The pool refused at once, since the database cannot be reached at the moment.
    Outage(PgError),
    /// The pool will not lend again, whatever the wait.
    NoPool(PgError),
}

impl NotDone {
    fn failed(error: BoxError, class: Class, again: Again) -> NotDone {
        let in_doubt = class == Class::OutcomeUnknown;
        NotDone::Failed(FailedAttempt { error, class, again, unconnected: false, in_doubt })
    }
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
    F: for<'j> Fn(&mut Session<'_>, &'j S::Job) -> Result<Ending<'j, T>, E>,
    D: Fn(&S::Job, T),
{
    /// Waits for something to do.
    pub(super) fn next(&self, limit: Duration, outcomes: &mut Outcomes<S::Item>) -> Next<S::Job, S::Item> {
        let asked = Instant::now();
        let next = self.source.next(limit);
        outcomes.idle += asked.elapsed();
        next
    }

    pub(super) fn fail(&self, failed: Failed<S::Item>, outcomes: &mut Outcomes<S::Item>) {
        outcomes.failed.extend(self.source.keep(failed));
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
            |outcomes| self.attempt(outcomes, |tx| (self.work)(tx, &job)).map(Committed::value),
        );
        match verdict {
            Verdict::Done(value) => self.commit(job, value, outcomes),
            Verdict::Failed(FailedAttempt { error, class, in_doubt, .. }, attempts) => {
                let item = self.source.end(job);
                self.fail(Failed { item, error, class, attempts, in_doubt }, outcomes);
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
        let Floor { pool, options, caller, signals, .. } = self.floor;
        let mut attempts = Attempts::new(&options.retry, options.session.idempotent);
        let mut last = before.failure;
        let mut outage_since = None;
        let mut is_away = false;
        loop {
            // What the work does ahead of its first statement is not repeated in vain. The first attempt, which an
            // outage has kept from being made, may begin whenever it can.
            let left = (attempts.failed() > 0).then(|| attempts.left());
            let outcome = match if is_away { look(pool, Tier::Automation, caller, left) } else { Ok(()) } {
                Ok(()) => attempt(outcomes),
                Err(refusal) => {
                    Err(no_connection(Box::new(PgError::from(refusal.again())), refusal, &mut outcomes.wait))
                }
            };
            let tried_before = before.attempts > 0 || attempts.failed() > 0;
            if tried_before && !matches!(outcome, Err(NotDone::Outage(_) | NotDone::NoPool(_))) {
                outcomes.retried += jobs;
            }
            match outcome {
                Ok(value) => return Verdict::Done(value),
                Err(NotDone::Failed(failure)) => {
                    outage_since = None;
                    is_away = failure.again.tells_of_outage();
                    let again = if may_repeat(&failure) { failure.again } else { Again::No };
                    let delay = attempts.after_failure(again);
                    let unconnected = failure.unconnected;
                    last = Some(failure.after(last.take()));
                    // A stop ends the waiting; the item has failed then, with the error at hand.
                    if !delay.is_some_and(|delay| signals.pause(delay)) {
                        // What else was fetched by then would wait as long, one after the other.
                        if unconnected && signals.is_over() {
                            signals.halt();
                        }
                        break;
                    }
                }
                // No attempt was made, so none of the item's is used up.
                Err(NotDone::Outage(error)) => {
                    let since = *outage_since.get_or_insert_with(Instant::now);
                    is_away = true;
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

    /// Makes one attempt at a session. What was committed is to be asked for its value outside of what catches the
    /// work's panics here: a panic in that undoes nothing.
    pub(super) fn attempt<'e, V: 'e>(
        &self,
        outcomes: &mut Outcomes<S::Item>,
        work: impl FnOnce(&mut Session<'_>) -> Result<Ending<'e, V>, E>,
    ) -> Result<Committed<'e, V>, NotDone> {
        let Floor { pool, options, caller, .. } = self.floor;
        let mut loan = None;
        // The connection is inside: a panic unwinds through its guard, which has the pool roll it back.
        let outcome =
            caught(|| attempt_on(pool, Tier::Automation, caller, &options.session, &mut loan, work));
        if let Some(Loan { wait, since }) = loan {
            record(&mut outcomes.wait, wait);
            record(&mut outcomes.session, since.elapsed());
        }
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Uncommitted::Session(setback))) => {
                let error = setback.error.into();
                let class = setback.of_frame.map_or_else(|| Class::of(&*error), Class::of_frame);
                Err(NotDone::failed(error, class, setback.again))
            }
            Ok(Err(Uncommitted::NoConnection { error, refusal })) => {
                Err(no_connection(error.into(), refusal, &mut outcomes.wait))
            }
            Err(text) => {
                let error = format!("{} panicked: {text}", self.name).into();
                Err(NotDone::failed(error, Class::Panic, Again::No))
            }
        }
    }
}

/// Sorts a refused checkout, with the error that the work made of it. Its time counts where it was spent waiting.
fn no_connection(error: BoxError, refusal: crate::Error, wait: &mut Histogram<u64>) -> NotDone {
    let kind = refusal.kind();
    let again = match kind {
        // A deadlock of the caller's own making is not cured by waiting for it again and again.
        ErrorKind::WouldDeadlock => Again::No,
        _ if is_outage(&refusal) => Again::Outage,
        _ => Again::Yes,
    };
    match kind {
        ErrorKind::CircuitOpen => NotDone::Outage(refusal.into()),
        ErrorKind::ConnectFailed | ErrorKind::Closed | ErrorKind::Forked => NotDone::NoPool(refusal.into()),
        _ => {
            record(wait, refusal.waited());
            let (class, unconnected, in_doubt) = (Class::Checkout, true, false);
            NotDone::Failed(FailedAttempt { error, class, again, unconnected, in_doubt })
        }
    }
}
