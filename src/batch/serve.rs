//! A worker's time: jobs, alone or in groups, until there are none.

use std::time::Instant;

use super::floor::{EndOnPanic, STOP_GRAIN};
use super::outcomes::Outcomes;
use super::report::BoxError;
use super::source::{Next, Source};
use super::worker::{Before, Worker};
use crate::postgres::{Ending, PgError, Session};

impl<S, T, E, F, D> Worker<'_, S, F, D>
where
    S: Source,
    E: From<PgError> + Into<BoxError>,
    F: for<'j> Fn(&mut Session<'_>, &'j S::Job) -> Result<Ending<'j, T>, E>,
    D: Fn(&S::Job, T),
{
    pub(super) fn serve(self) -> Outcomes<S::Item> {
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
}
