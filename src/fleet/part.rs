//! One pool's part in a fleet: the machine, and those who carry out what it says.
//!
//! The threads that open connections do what has to be done on a new one; what has to be asked of one at hand is asked
//! at its return or by a validation; a thread of the fleet's own tells the machine the time. So no thread waits for the
//! server under the lock.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::adhoc::Adhoc;
use super::core::{Event, Plan, View};
use super::keys::{Key, Keys};
use super::questions;
use super::state::State;
use crate::pool::{Pool, WeakPool};
use crate::postgres::{Holding, PgError, PgManager};
use crate::text::{counted, harmless};

pub(super) struct Fleet {
    pub(super) name: String,
    pub(super) keys: Keys,
    pub(super) plan: Plan,
    /// No I/O, no call into a pool and no log line under it.
    state: Mutex<State>,
    /// Anything has changed.
    pub(super) changed: Condvar,
    /// Something is to be asked by way of a connection at hand. `Relaxed`: a hint by which a return does without the
    /// lock, and whoever misses it is one of many.
    pub(super) is_due: AtomicBool,
    /// Two sessions have been seen to keep a lock from each other. `Relaxed`: it only saves a proof.
    pub(super) is_proven: AtomicBool,
    pool: OnceLock<WeakPool<PgManager>>,
    pub(super) is_tended: AtomicBool,
    /// The ad-hoc tier's part.
    pub(super) adhoc: Arc<Adhoc>,
    /// Its locks are where the automation tier's are, so that a look sees them.
    sees_adhoc: bool,
}

impl Fleet {
    pub(super) fn new(name: &str, plan: Plan, adhoc: Arc<Adhoc>, sees_adhoc: bool) -> Arc<Self> {
        Arc::new(Fleet {
            name: harmless(name),
            keys: Keys::new(name, plan.budget),
            plan,
            state: Mutex::new(State::new(plan)),
            changed: Condvar::new(),
            is_due: AtomicBool::new(false),
            is_proven: AtomicBool::new(false),
            pool: OnceLock::new(),
            is_tended: AtomicBool::new(false),
            adhoc,
            sees_adhoc,
        })
    }

    /// Tells it the pool whose connections it lets in, which had to begin before that.
    pub(super) fn join(&self, pool: &Pool<PgManager>) {
        let _ = self.pool.set(pool.downgrade());
        self.changed.notify_all();
    }

    /// Has the ad-hoc tier's part know how many of its slots are taken, as a look has seen.
    pub(super) fn note_adhoc(&self, taken: u32) {
        if self.sees_adhoc {
            self.adhoc.note_taken(taken);
        }
    }

    pub(super) fn pool(&self) -> Option<Pool<PgManager>> {
        self.pool.get().and_then(WeakPool::upgrade)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Has everybody see what has changed.
    pub(super) fn tell(&self, state: &State) {
        self.is_due.store(state.is_any_due(), Relaxed);
        self.changed.notify_all();
    }

    /// Why there is no connection, for callers of the pool.
    pub(super) fn no_room(&self, state: &State) -> PgError {
        let (name, slots) = (&self.name, self.plan.budget.slots());
        let View { slots_held, members, asking, .. } = state.view;
        let programs = counted(members, "program");
        PgError::no_room(if members == 0 {
            format!("fleet {name} has given no slot so far")
        } else if slots_held >= slots {
            format!("no slot of fleet {name} is free: {slots_held} of {slots} are taken, by {programs}")
        } else if asking > 0 {
            let first = counted(asking, "program");
            format!(
                "fleet {name} gives its next slot to {first} without any: {slots_held} of {slots} are taken"
            )
        } else {
            let share = state.ceiling;
            format!("this program has its share of fleet {name}, {share} of {slots} slots with {programs}")
        })
    }
}

impl Holding for Fleet {
    fn lost(&self, number: u64) {
        let mut state = self.lock();
        if state.held.remove(&number).is_some() {
            state.want = state.want.filter(|want| !want.is_on(number));
            state.step(Event::Closed);
            state.tell_wants();
            self.tell(&state);
        }
    }

    fn kept(&self, number: u64) -> [String; 2] {
        let mut keys: Vec<Key> = Vec::new();
        let mut state = self.lock();
        // That goes, and is put anew where it is needed.
        state.want = state.want.filter(|want| !want.is_on(number));
        if let Some(held) = state.held.get(&number) {
            keys.push(held.slot);
            if held.has_marks {
                keys.extend((0..self.plan.weight).map(|index| self.keys.mark(index)));
            }
        }
        questions::kept(&self.keys, &keys)
    }
}
