//! Lets the connections of the ad-hoc tier in, each with a slot of the reserve.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use postgres::SimpleQueryRow;

use super::adhoc::Adhoc;
use super::give_back;
use super::questions;
use crate::clock::Deadline;
use crate::postgres::{Admission, Claim, Holding, Pass, PgConnection, PgError};
use crate::stats::FleetStatus;

impl Adhoc {
    /// How many slots are taken, by an answer whose last row says so.
    fn note(&self, rows: &[SimpleQueryRow]) -> Option<u32> {
        let taken = rows.last().and_then(|row| questions::number(row, 0))?;
        self.note_taken(taken);
        Some(taken)
    }
}

impl Admission for Adhoc {
    fn claim(self: Arc<Self>, limit: Duration, _: Duration) -> Result<Box<dyn Claim>, PgError> {
        give_back::see_to_it(&self)?;
        let deadline = Deadline::of(limit);
        let mut state = self.lock();
        loop {
            if state.is_over {
                return Err(PgError::closed_meanwhile());
            }
            match state.not_before() {
                None => break,
                Some(_) if deadline.left().is_zero() => return Err(self.no_room()),
                Some(at) => drop(self.changed.wait_until(&mut state, at.min(deadline.instant()))),
            }
        }
        drop(state);
        Ok(Box::new(Newcomer(self)))
    }

    fn refusal(&self) -> PgError {
        self.no_room()
    }

    fn held_up(&self) -> Option<PgError> {
        self.lock().is_held_up().then(|| self.no_room())
    }

    fn is_due(&self, _: u64) -> bool {
        self.is_due.load(Relaxed)
    }

    fn gives_back(&self, number: u64) -> bool {
        let leaves = self.gives_next_back.load(Relaxed) && self.gives_next_back.swap(false, Relaxed);
        if leaves {
            self.lock().leaving = Some(number);
        }
        leaves
    }

    fn check(&self, number: u64, conn: &mut PgConnection, limit: Duration) -> Result<(), PgError> {
        let Some(slot) = self.lock().held.get(&number).copied() else { return Ok(()) };
        let is_look = self.is_due.swap(false, Relaxed);
        let keys = &self.keys;
        let asked =
            [questions::holds(keys, keys.adhoc_slot(slot)), questions::count_adhoc(keys, self.budget)];
        let rows = conn.ask(&asked.join("; "), limit)?;
        if let (Some(taken), true) = (self.note(&rows), is_look) {
            let is_full = taken >= self.budget.reserve();
            self.gives_next_back.fetch_and(is_full, Relaxed);
            self.lock().looked(is_full);
            self.changed.notify_all();
        }
        questions::is_held(&rows, &self.name)
    }

    /// Told by the automation tier.
    fn status(&self) -> Option<FleetStatus> {
        None
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }
}

/// An opening.
struct Newcomer(Arc<Adhoc>);

impl Newcomer {
    fn let_in(self, conn: &mut PgConnection, limit: Duration) -> Result<Option<Pass>, PgError> {
        questions::require_session(conn)?;
        let Newcomer(adhoc) = self;
        let (keys, budget) = (&adhoc.keys, adhoc.budget);
        // From one of this program's own on: a server that grants that one beside another session has no such locks.
        let own = adhoc.lock().held.values().next().copied();
        let start = own.unwrap_or_else(|| fastrand::u32(..budget.reserve()));
        let asked = [
            questions::take_adhoc(keys, budget, start),
            questions::others(keys, keys.adhoc_slot(start)),
            questions::count_adhoc(keys, budget),
        ];
        let rows = conn.ask(&asked.join("; "), limit).map_err(questions::explained)?;
        let taken = adhoc.note(&rows).ok_or_else(|| questions::unreal("answers otherwise"))?;
        let [slot, others] = [0, 1].map(|at| rows.get(at).and_then(|row| questions::number(row, 0)));
        let mut state = adhoc.lock();
        let Some(slot) = slot else {
            state.refused();
            adhoc.changed.notify_all();
            return Ok(None);
        };
        if taken == 0 || (slot == start && others != Some(0)) {
            return Err(questions::unreal("grants them to everybody"));
        }
        let number = state.let_in(slot);
        adhoc.changed.notify_all();
        drop(state);
        Ok(Some(Pass::new(number, adhoc)))
    }
}

impl Claim for Newcomer {
    fn welcome(self: Box<Self>, conn: &mut PgConnection, limit: Duration) -> Result<Option<Pass>, PgError> {
        self.let_in(conn, limit)
    }

    /// The pool's own back-off is for that.
    fn failed(self: Box<Self>, _: &PgError) {}
}

impl Holding for Adhoc {
    fn lost(&self, number: u64) {
        if self.lock().let_go(number) {
            self.changed.notify_all();
        }
    }

    fn kept(&self, number: u64) -> [String; 2] {
        let slot = self.lock().held.get(&number).copied();
        let keys: Vec<_> = slot.into_iter().map(|slot| self.keys.adhoc_slot(slot)).collect();
        questions::kept(&self.keys, &keys)
    }
}
