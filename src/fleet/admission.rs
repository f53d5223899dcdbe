//! A fleet as what lets the connections of a pool in.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::claim::Opening;
use super::core::{Event, View};
use super::part::Fleet;
use super::questions;
use super::state::Look;
use super::tend;
use crate::clock::Deadline;
use crate::postgres::{Admission, Claim, PgConnection, PgError};
use crate::stats::FleetStatus;

impl Admission for Fleet {
    fn claim(self: Arc<Self>, limit: Duration) -> Result<Box<dyn Claim>, PgError> {
        tend::see_to_it(&self)?;
        let deadline = Deadline::of(limit);
        let mut state = self.lock();
        state.claims += 1;
        state.waiting += 1;
        state.tell_wants();
        self.tell(&state);
        let job = loop {
            if state.is_over {
                break Err(PgError::closed_meanwhile());
            }
            if let Some(job) = state.jobs.pop_front() {
                break Ok(job);
            }
            let held = state.member.held();
            // One that has nothing may always have one.
            let is_beyond = held > 0 && held + state.claims > state.ceiling;
            if is_beyond || deadline.left().is_zero() {
                break Err(self.no_room(&state.view));
            }
            self.changed.wait_until(&mut state, deadline.instant());
        };
        state.waiting -= 1;
        if job.is_err() {
            state.claims -= 1;
            state.tell_wants();
        }
        self.tell(&state);
        drop(state);
        job.map(|job| Opening::boxed(self, job))
    }

    fn is_due(&self, number: u64) -> bool {
        self.is_due.load(Relaxed) && self.lock().is_due(number)
    }

    fn check(&self, number: u64, conn: &mut PgConnection, limit: Duration) -> Result<(), PgError> {
        let Some(errand) = Errand::of(self, number) else { return Ok(()) };
        let answer = conn.ask(&errand.text, limit);
        let last = answer.as_ref().ok().filter(|_| errand.is_look).and_then(|rows| rows.last());
        let view = last.map(questions::view);
        if let Some(row) = last {
            self.note_adhoc(questions::adhoc_taken(row));
        }
        let mut state = self.lock();
        if let (Ok(_), Some(held)) = (&answer, state.held.get_mut(&number)) {
            held.has_marks |= errand.puts_marks;
            held.has_want = (held.has_want || errand.puts_want) && !errand.drops_want;
        }
        if errand.is_look {
            state.look = Look::None;
            state.view = view.unwrap_or(state.view);
            state.step(Event::Looked(view));
        }
        self.tell(&state);
        drop(state);
        questions::is_held(&answer?, &self.name)
    }

    fn status(&self) -> Option<FleetStatus> {
        let state = self.lock();
        let View { slots_held, members, wanting, asking, .. } = state.view;
        Some(FleetStatus {
            name: self.name.clone(),
            slots: self.plan.budget.slots(),
            slots_held,
            members,
            wanting,
            asking,
            share: state.member.share(),
            held: state.member.held(),
            ceiling: state.ceiling,
            adhoc_slots: self.plan.budget.reserve(),
            adhoc_held: self.adhoc.taken(),
        })
    }

    fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        self.tell(&state);
    }
}

/// What is asked by way of a connection at hand.
struct Errand {
    text: String,
    is_look: bool,
    puts_marks: bool,
    puts_want: bool,
    drops_want: bool,
}

impl Errand {
    /// What is due by way of this one: whether it holds its slot, and the look where that is due.
    fn of(fleet: &Fleet, number: u64) -> Option<Errand> {
        let mut state = fleet.lock();
        let is_look = match state.look {
            Look::Due { want } => {
                state.wants_more = want;
                true
            }
            Look::None | Look::UnderWay => false,
        };
        let held = state.held.get(&number)?;
        let (slot, drops_want) = (held.slot, held.has_want && !state.wants_more);
        let puts_marks = is_look && state.needs_marks();
        let puts_want = is_look && state.wants_more && state.needs_want();
        if is_look {
            state.look = Look::UnderWay;
        }
        drop(state);
        let (keys, plan) = (&fleet.keys, fleet.plan);
        let parts = [
            Some(questions::holds(keys, slot)),
            puts_marks.then(|| questions::put_marks(keys, plan.weight)),
            puts_want.then(|| format!("SELECT {}", questions::shared(keys.want()))),
            drops_want.then(|| format!("SELECT {}", questions::let_go(keys.want()))),
            is_look.then(|| questions::count(keys, plan.budget)),
        ];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
        Some(Errand { text, is_look, puts_marks, puts_want, drops_want })
    }
}
