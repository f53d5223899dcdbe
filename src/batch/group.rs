//! Groups: several jobs in one transaction, taken apart where it fails.

use std::cell::Cell;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::floor::STOP_GRAIN;
use super::options::Group;
use super::outcomes::Outcomes;
use super::report::{BoxError, Class, Failed};
use super::source::{Next, Source};
use super::worker::{Before, FailedAttempt, Verdict, Worker};
use crate::clock::Deadline;
use crate::postgres::{PgError, Session};

impl<S, T, E, F, D> Worker<'_, S, F, D>
where
    S: Source,
    E: From<PgError> + Into<BoxError>,
    F: Fn(&mut Session<'_>, &S::Job) -> Result<T, E>,
    D: Fn(&S::Job, T),
{
    /// Gathers a group from its first job on, and ends each of its jobs in one way or another.
    pub(super) fn process_group(&self, first: S::Job, group: Group, outcomes: &mut Outcomes<S::Item>) {
        let jobs = self.gather(first, group, outcomes);
        if !self.source.goes_on(&self.floor.signals) {
            return jobs.into_iter().for_each(|job| self.leave(job, outcomes));
        }
        // How many had their turn in the attempt at hand.
        let tried = Cell::new(0);
        // A refused checkout meets all alike, so there the group is tried again as one.
        let may_repeat = |failure: &FailedAttempt| failure.unconnected;
        let count = jobs.len() as u64;
        let verdict = self.persist(Before::default(), count, may_repeat, outcomes, |outcomes| {
            tried.set(0);
            self.attempt(outcomes, |tx| {
                let one = |job| {
                    tried.set(tried.get() + 1);
                    (self.work)(tx, job)
                };
                jobs.iter().map(one).collect::<Result<Vec<T>, E>>()
            })
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
                let unknown = failure.class == Class::OutcomeUnknown;
                if failure.unconnected || unknown && !self.floor.options.session.idempotent {
                    self.fail_all(jobs, failure, attempts, outcomes);
                } else {
                    self.take_apart(jobs, failure, tried.get(), outcomes);
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
        let error = InGroup::of(jobs.len(), failure.error);
        for job in jobs {
            let item = self.source.end(job);
            let error = error.clone().into();
            self.fail(Failed { item, error, class: failure.class, attempts }, outcomes);
        }
    }

    /// Does each job of a group that failed by itself; those that had a turn in it have had one attempt.
    fn take_apart(
        &self,
        jobs: Vec<S::Job>,
        failure: FailedAttempt,
        tried: usize,
        outcomes: &mut Outcomes<S::Item>,
    ) {
        outcomes.groups.taken_apart += 1;
        let FailedAttempt { error, class, again, unconnected } = failure;
        let unknown = class == Class::OutcomeUnknown;
        let error = InGroup::of(jobs.len(), error);
        for (index, job) in jobs.into_iter().enumerate() {
            // What may have been done must not be called not started.
            let failure =
                unknown.then(|| FailedAttempt { error: error.clone().into(), class, again, unconnected });
            match failure {
                // The group was rolled back, so another run can start it.
                None if self.floor.signals.is_over() => self.leave(job, outcomes),
                failure => {
                    let before = Before { attempts: u32::from(index < tried), failure };
                    self.process(job, before, outcomes);
                }
            }
        }
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
