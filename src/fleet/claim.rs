//! One opening: what is done on a new connection for the machine, and what the machine is told of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use postgres::SimpleQueryRow;

use super::core::{Action, Asked, Event, Reserved, Slot, View};
use super::part::Fleet;
use super::questions::{self, Taker};
use super::state::{Call, Job};
use crate::clock::Deadline;
use crate::postgres::{Claim, Holding, Pass, PgConnection, PgError};

/// An opening that has its job.
pub(super) struct Opening {
    fleet: Arc<Fleet>,
    job: Job,
    /// By which the state knows it.
    number: u64,
    is_let_in: bool,
}

/// What came of trying for a slot.
struct Tried {
    /// Other sessions that hold the slot from which on it was looked for.
    others_at_start: u32,
    slot: Option<u32>,
    place: Option<u32>,
    view: View,
}

impl Opening {
    pub(super) fn boxed(fleet: Arc<Fleet>, job: Job, number: u64) -> Box<dyn Claim> {
        Box::new(Opening { fleet, job, number, is_let_in: false })
    }

    /// Tries for a slot on the connection, after what `before` says.
    fn attempt(
        &self,
        conn: &mut PgConnection,
        taker: Taker,
        before: Option<String>,
        limit: Duration,
    ) -> Result<Tried, PgError> {
        let fleet = &self.fleet;
        let (keys, budget) = (&fleet.keys, fleet.plan.budget);
        let own = self.proof();
        let start = own.unwrap_or_else(|| fastrand::u32(..budget.slots()));
        let take = questions::take(keys, budget, taker, start);
        let others = questions::others(keys, keys.slot(start));
        let asked = [before, Some(take), Some(others), Some(questions::count(keys, budget))];
        let text: Vec<_> = asked.into_iter().flatten().collect();
        let rows = conn.ask(&text.join("; "), limit).map_err(questions::explained)?;
        let tried = Tried::read(&rows).ok_or_else(|| questions::unreal("answers otherwise"))?;
        if let Some(slot) = tried.slot {
            // Its own lock has to be among those that are counted, and one that another session holds is not granted.
            // That a connection of this process held the slot says nothing: its session may have ended unseen.
            if tried.view.slots_held == 0 || (slot == start && tried.others_at_start > 0) {
                return Err(questions::unreal("grants them to everybody"));
            }
            if own.is_some_and(|own| own != slot) {
                fleet.is_proven.store(true, Relaxed);
            }
        }
        Ok(tried)
    }

    /// A slot that another connection of this process holds, while it is not proven that it cannot be taken.
    fn proof(&self) -> Option<u32> {
        if self.fleet.is_proven.load(Relaxed) {
            return None;
        }
        self.fleet.lock().held.values().next().map(|held| held.slot.1 as u32)
    }

    /// A connection of a process that has others.
    fn reserve(
        &mut self,
        conn: &mut PgConnection,
        beyond_share: bool,
        limit: Duration,
    ) -> Result<Option<Pass>, PgError> {
        let Tried { slot, view, .. } = self.attempt(conn, Taker::Member { beyond_share }, None, limit)?;
        let fleet = Arc::clone(&self.fleet);
        let mut state = fleet.lock();
        state.note(view);
        if !state.is_heard(self.number) {
            return Ok(None);
        }
        let Some(slot) = slot.map(Slot) else {
            state.step(Event::Reserved(Reserved::None(view)));
            return Ok(None);
        };
        let answer = state.step(Event::Reserved(Reserved::Slot(slot, view)));
        // Nobody needs it any more: its end frees the slot.
        if !answer.contains(&Action::Open(slot)) {
            return Ok(None);
        }
        let number = state.let_in(fleet.keys.slot(slot.0), false);
        state.step(Event::Opened(slot));
        drop(state);
        Ok(Some(self.pass(number)))
    }

    /// A connection of a process that has none.
    fn ask(&mut self, conn: &mut PgConnection, limit: Duration) -> Result<Option<Pass>, PgError> {
        let deadline = Deadline::of(limit);
        let fleet = Arc::clone(&self.fleet);
        let has_marks = fleet.lock().needs_marks();
        let mut before = has_marks.then(|| questions::put_marks(&fleet.keys, fleet.plan.weight));
        let mut place = None;
        loop {
            let taker = Taker::Asker { has_place: place.is_some() };
            let tried = self.attempt(conn, taker, before.take(), deadline.left())?;
            place = place.or(tried.place);
            if let (Some(_), Some(place)) = (tried.slot, place) {
                conn.ask(&questions::leave_place(&fleet.keys, place), deadline.left())?;
            }
            let mut state = fleet.lock();
            state.note(tried.view);
            if !state.is_heard(self.number) {
                return Ok(None);
            }
            if let Some(slot) = tried.slot {
                let number = state.let_in(fleet.keys.slot(slot), has_marks);
                state.step(Event::Asked(Asked::Slot(Slot(slot), tried.view)));
                drop(state);
                return Ok(Some(self.pass(number)));
            }
            if place.is_none() {
                state.step(Event::Asked(Asked::NoPlace(tried.view)));
                return Ok(None);
            }
            state.call = None;
            state.step(Event::Asked(Asked::NoSlot(tried.view)));
            fleet.tell(&state);
            // The machine calls within ASK_FOR, unless nobody tells it the time; and the pool's end is told too.
            let call = loop {
                if state.is_over {
                    return Err(PgError::closed_meanwhile());
                }
                match state.call.take() {
                    Some(call) => break call,
                    None if deadline.left().is_zero() => break Call::Leave,
                    None => _ = fleet.changed.wait_until(&mut state, deadline.instant()),
                }
            };
            if call == Call::Leave || !state.is_at_work(self.number) {
                return Ok(None);
            }
        }
    }

    fn not_opened(&self, error: &PgError) {
        self.fleet.lock().fail(self.number, error.sqlstate() == Some("53300"));
    }

    fn pass(&mut self, number: u64) -> Pass {
        self.is_let_in = true;
        Pass::new(number, Arc::clone(&self.fleet) as Arc<dyn Holding>)
    }
}

impl Tried {
    /// Of the last rows of an attempt: what was taken, who else has the first that was tried, and what there is.
    fn read(rows: &[SimpleQueryRow]) -> Option<Tried> {
        let [.., taken, others, counted] = rows else { return None };
        Some(Tried {
            others_at_start: questions::number(others, 0)?,
            slot: questions::number(taken, 0),
            place: questions::number(taken, 1),
            view: questions::view(counted),
        })
    }
}

impl Claim for Opening {
    fn welcome(
        mut self: Box<Self>,
        conn: &mut PgConnection,
        limit: Duration,
    ) -> Result<Option<Pass>, PgError> {
        questions::require_session(conn)?;
        match self.job {
            Job::Ask => self.ask(conn, limit),
            Job::Reserve { beyond_share } => self.reserve(conn, beyond_share, limit),
        }
    }

    fn failed(self: Box<Self>, error: &PgError) {
        self.not_opened(error);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mut state = self.fleet.lock();
        state.finish(self.number, self.is_let_in);
        self.fleet.tell(&state);
    }
}
