//! A fleet as what lets the connections of a pool in.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::claim::Opening;
use super::core::View;
use super::part::Fleet;
use super::questions;
use super::tend;
use super::want::{self, Want};
use crate::clock::Deadline;
use crate::postgres::{Admission, Claim, PgConnection, PgError};
use crate::stats::FleetStatus;

impl Admission for Fleet {
    fn claim(self: Arc<Self>, limit: Duration, work: Duration) -> Result<Box<dyn Claim>, PgError> {
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
            if let Some(job) = state.next_job() {
                break Ok(job);
            }
            let held = state.member.held();
            // One that has nothing may always have one.
            let is_beyond = held > 0 && held + state.claims > state.ceiling;
            if is_beyond || deadline.left().is_zero() {
                break Err(self.no_room(&state));
            }
            self.changed.wait_until(&mut state, deadline.instant());
        };
        state.waiting -= 1;
        let opening = match job {
            Ok(job) => Ok((job, state.begin(job, work))),
            Err(error) => {
                state.end_claim(false);
                Err(error)
            }
        };
        self.tell(&state);
        drop(state);
        opening.map(|(job, number)| Opening::boxed(self, job, number))
    }

    fn refusal(&self) -> PgError {
        self.no_room(&self.lock())
    }

    fn held_up(&self) -> Option<PgError> {
        let state = self.lock();
        state.is_held_up().then(|| self.no_room(&state))
    }

    fn is_due(&self, number: u64) -> bool {
        self.is_due.load(Relaxed) && self.lock().is_due(number)
    }

    /// A lower ceiling of the pool does that.
    fn gives_back(&self, _: u64) -> bool {
        false
    }

    fn check(&self, number: u64, conn: &mut PgConnection, limit: Duration) -> Result<(), PgError> {
        let Some(errand) = Errand::of(self, number) else { return Ok(()) };
        let mut look = errand.look.map(|number| UnderWay { fleet: self, number, view: None });
        let answer = conn.ask(&errand.text, limit);
        if let (Some(look), Ok(rows)) = (&mut look, &answer) {
            look.view = rows.last().map(questions::view);
            if let Some(row) = rows.last() {
                self.note_adhoc(questions::adhoc_taken(row));
            }
        }
        if let (Ok(_), Some(held)) = (&answer, self.lock().held.get_mut(&number)) {
            held.has_marks |= errand.puts_marks;
        }
        if answer.is_ok() && (errand.puts_want || errand.drops_want) {
            self.lock().want = errand.puts_want.then(|| Want::put(number));
        }
        drop(look);
        self.tell(&self.lock());
        questions::is_held(&answer?, &self.name)
    }

    fn status(&self) -> Option<FleetStatus> {
        // Outside of the lock: where this is the last handle, the pool closes with it, and tells the fleet.
        let most = self.pool().map_or(u32::MAX, |pool| pool.max_size());
        let state = self.lock();
        let View { slots_held, members, wanting, asking, .. } = state.view;
        Some(FleetStatus {
            name: self.name.clone(),
            slots: self.plan.budget.slots(),
            slots_held,
            members,
            wanting,
            asking,
            share: state.member.share().min(most),
            held: state.member.held(),
            ceiling: state.ceiling.min(most),
            adhoc_slots: self.plan.budget.reserve(),
            adhoc_held: self.adhoc.taken(),
            age: state.noted.map(|at| at.elapsed()),
        })
    }

    fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        self.tell(&state);
    }
}

/// A look whose end is told, whatever that is.
struct UnderWay<'a> {
    fleet: &'a Fleet,
    number: u64,
    view: Option<View>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.fleet.lock().end_look(self.number, self.view);
    }
}

/// What is asked by way of a connection at hand.
struct Errand {
    text: String,
    /// The number of the look that it is.
    look: Option<u64>,
    puts_marks: bool,
    puts_want: bool,
    drops_want: bool,
}

impl Errand {
    /// What is due by way of this one: whether it holds its slot, and the look where that is due.
    fn of(fleet: &Fleet, number: u64) -> Option<Errand> {
        let mut state = fleet.lock();
        if !state.held.contains_key(&number) {
            return None;
        }
        let look = state.begin_look();
        let held = &state.held[&number];
        let slot = held.slot;
        let drops_want = !state.wants_more && state.want.is_some_and(|want| want.is_on(number));
        let puts_marks = look.is_some() && state.needs_marks();
        let puts_want = look.is_some() && state.wants_more && state.needs_want();
        drop(state);
        let (keys, plan) = (&fleet.keys, fleet.plan);
        let parts = [
            Some(questions::holds(keys, slot)),
            puts_marks.then(|| questions::put_marks(keys, plan.weight)),
            puts_want.then(|| want::put(keys, &questions::locks(keys))),
            drops_want.then(|| want::take_back(keys, &questions::locks(keys))),
            look.map(|_| questions::count(keys, plan.budget)),
        ];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
        Some(Errand { text, look, puts_marks, puts_want, drops_want })
    }
}
