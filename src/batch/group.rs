//! Groups: several jobs in one transaction, taken apart where it fails.

use std::cell::Cell;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::floor::STOP_GRAIN;
use super::options::Group;
use super::outcomes::Outcomes;
use super::report::{BoxError, Failed};
use super::source::{Next, Source};
use super::worker::{Before, FailedAttempt, Verdict, Worker};
use crate::clock::Deadline;
use crate::postgres::{Committed, Ending, PgError, Session};

impl<S, T, E, F, D> Worker<'_, S, F, D>
where
    S: Source,
    E: From<PgError> + Into<BoxError>,
    F: for<'j> Fn(&mut Session<'_>, &'j S::Job) -> Result<Ending<'j, T>, E>,
    D: Fn(&S::Job, T),
{
    /// Gathers a group from its first job on, and ends each of its jobs in one way or another.
    pub(super) fn process_group(&self, first: S::Job, group: Group, outcomes: &mut Outcomes<S::Item>) {
        let jobs = self.gather(first, group, outcomes);
        if !self.source.goes_on(&self.floor.signals) {
            return jobs.into_iter().for_each(|job| self.leave(job, outcomes));
        }
        let turns = Cell::new(Turns::default());
        // A refused checkout meets all alike, so there the group is tried again as one.
        let may_repeat = |failure: &FailedAttempt| failure.unconnected;
        let count = jobs.len() as u64;
        let verdict = self.persist(Before::default(), count, may_repeat, outcomes, |outcomes| {
            turns.set(Turns::default());
            let outcome = self.attempt(outcomes, |tx| {
                let mut ended = Vec::with_capacity(jobs.len());
                for (index, job) in jobs.iter().enumerate() {
                    turns.set(Turns { had: index + 1, is_in_one: true });
                    let ending = (self.work)(tx, job)?;
                    if index + 1 == jobs.len() {
                        turns.set(Turns { had: index + 1, is_in_one: false });
                        return Ok(ending.map(|value| {
                            ended.push(Committed::Value(value));
                            ended
                        }));
                    }
                    ended.push(ending.run(tx)?);
                    turns.set(Turns { had: index + 1, is_in_one: false });
                }
                unreachable!("BUG: a group without a job");
            });
            Ok(outcome?.value().into_iter().map(Committed::value).collect::<Vec<T>>())
        });
        match verdict {
            Verdict::Done(values) => {
                outcomes.groups.committed += 1;
                for (job, value) in jobs.into_iter().zip(values) {
                    self.commit(job, value, outcomes);
                }
            }
            Verdict::NotStarted => jobs.into_iter().for_each(|job| self.leave(job, outcomes)),
            Verdict::Failed(failure, attempts) => {
                let is_final = failure.is_unknown() && !self.floor.options.session.idempotent;
                if failure.unconnected || is_final {
                    self.fail_all(jobs, failure, attempts, outcomes);
                } else {
                    self.take_apart(jobs, failure, turns.get(), outcomes);
                }
            }
        }
    }

    /// Takes what comes until the group is full or the time is up. No connection is held meanwhile.
    fn gather(&self, first: S::Job, group: Group, outcomes: &mut Outcomes<S::Item>) -> Vec<S::Job> {
        let until = Deadline::of(group.within);
        let mut jobs = vec![first];
        while jobs.len() < group.most {
            let is_over = self.floor.signals.is_over();
            let left = if is_over { Duration::ZERO } else { until.left().min(STOP_GRAIN) };
            match self.next(left, outcomes) {
                Next::Job(job) => jobs.push(job),
                Next::Failed(failed) => self.fail(failed, outcomes),
                Next::Nothing if is_over || until.left().is_zero() || self.source.holds_back() => break,
                Next::Nothing => {}
                Next::End => break,
            }
        }
        jobs
    }

    /// Fails all jobs of a group for the one reason.
    fn fail_all(
        &self,
        jobs: Vec<S::Job>,
        failure: FailedAttempt,
        attempts: u32,
        outcomes: &mut Outcomes<S::Item>,
    ) {
        let FailedAttempt { error, class, in_doubt, .. } = failure;
        let error = InGroup::of(jobs.len(), error);
        for job in jobs {
            let item = self.source.end(job);
            let error = error.clone().into();
            self.fail(Failed { item, error, class, attempts, in_doubt }, outcomes);
        }
    }

    /// Does each job of a group that failed by itself; those that had a turn in it have had one attempt.
    fn take_apart(
        &self,
        jobs: Vec<S::Job>,
        failure: FailedAttempt,
        turns: Turns,
        outcomes: &mut Outcomes<S::Item>,
    ) {
        outcomes.groups.taken_apart += 1;
        if failure.is_unknown() {
            return self.do_again(jobs, failure, outcomes);
        }
        let FailedAttempt { error, class, in_doubt, .. } = failure;
        let mut error = Some(error);
        for (index, job) in jobs.into_iter().enumerate() {
            if !self.floor.signals.is_over() {
                let before = Before { attempts: u32::from(index < turns.had), failure: None };
                self.process(job, before, outcomes);
            } else if let Some(error) = error.take_if(|_| turns.failed() == Some(index)) {
                let item = self.source.end(job);
                self.fail(Failed { item, error, class, attempts: 1, in_doubt }, outcomes);
            } else {
                // It was rolled back with its group, so another run can start it.
                self.leave(job, outcomes);
            }
        }
    }

    /// Does each job again of a group that may have been committed, where that does no harm. Whatever ends the batch,
    /// none of them is called not started.
    fn do_again(&self, jobs: Vec<S::Job>, failure: FailedAttempt, outcomes: &mut Outcomes<S::Item>) {
        let FailedAttempt { error, class, again, unconnected, in_doubt } = failure;
        let error = InGroup::of(jobs.len(), error);
        for job in jobs {
            let error = error.clone().into();
            if self.floor.signals.is_halted() {
                // There is no database to do it in.
                let item = self.source.end(job);
                self.fail(Failed { item, error, class, attempts: 1, in_doubt }, outcomes);
            } else {
                let failure = Some(FailedAttempt { error, class, again, unconnected, in_doubt });
                self.process(job, Before { attempts: 1, failure }, outcomes);
            }
        }
    }
}

/// How far an attempt at a group has come.
#[derive(Clone, Copy, Default)]
struct Turns {
    /// How many of its jobs had their turn.
    had: usize,
    /// The last of these has not come to its end.
    is_in_one: bool,
}

impl Turns {
    /// The job in whose turn the attempt failed, where it did in one.
    fn failed(self) -> Option<usize> {
        self.had.checked_sub(1).filter(|_| self.is_in_one)
    }
}

/// The error of a group, for each of its items.
#[derive(Clone, Debug)]
struct InGroup {
    size: usize,
    error: Arc<dyn StdError + Send + Sync>,
}

impl InGroup {
    fn of(size: usize, error: BoxError) -> Self {
        InGroup { size, error: error.into() }
    }
}

impl fmt::Display for InGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a group of {} items failed as one", self.size)
    }
}

impl StdError for InGroup {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.error)
    }
}
