//! The ad-hoc tier's part in a fleet: slots of the reserve, of which each connection of it holds one.
//!
//! People do not wait for shares. A new connection takes a free slot or closes, and comes again while somebody waits;
//! an idle one is given back where none is free, whoever may want it. `README.md` says why that is enough.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::core::Budget;
use super::keys::Keys;
use crate::pool::{Pool, WeakPool};
use crate::postgres::{PgError, PgManager};
use crate::text::harmless;

/// The limit of the first pause after a refusal; doubled by each in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The greatest limit of a pause.
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// After a turn one is left to others for so long: each that waits has tried meanwhile.
const LEAVE_FOR: Duration = LAST_PAUSE;
/// While no slot is free, a program has one of its connections for so long at least.
const TURN: Duration = Duration::from_secs(2);
/// One that was idle for so long is given back before that: who comes back at once has it still.
const REST: Duration = Duration::from_millis(250);
/// For so long after a refusal somebody is taken to wait still: more than the longest pause of a pool.
const HELD_UP_FOR: Duration = Duration::from_secs(6);
/// How often an idle connection is asked how many slots are taken, a quarter of it more or less.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Adhoc {
    pub(super) name: String,
    pub(super) keys: Keys,
    pub(super) budget: Budget,
    /// No I/O, no call into a pool and no log line under it.
    state: Mutex<State>,
    /// Anything has changed.
    pub(super) changed: Condvar,
    /// An idle connection is to be asked. `Relaxed`: a hint by which a return does without the lock.
    pub(super) is_due: AtomicBool,
    /// The turn is over, and nothing was idle: the next one that comes back is to be closed. `Relaxed`: a hint, of
    /// which the swap alone decides who takes it.
    pub(super) gives_next_back: AtomicBool,
    /// Slots that are taken, as seen last. `Relaxed`: a figure for people.
    taken: AtomicU32,
    pool: OnceLock<WeakPool<PgManager>>,
    pub(super) is_tended: AtomicBool,
}

pub(super) struct State {
    /// The slots of this program's connections, by their numbers.
    pub(super) held: HashMap<u64, u32>,
    next: u64,
    /// After a refusal: no attempt before that.
    not_before: Option<Instant>,
    pause: Duration,
    /// After a turn: no attempt before that either.
    left_until: Option<Instant>,
    /// Since when each look has seen no free slot, also over the moments without a connection.
    full_since: Option<Instant>,
    /// When a connection went last.
    left_at: Option<Instant>,
    /// When an idle connection is asked next.
    pub(super) look_at: Instant,
    /// That is closed for others as it comes back.
    pub(super) leaving: Option<u64>,
    /// The last look saw no free slot, and nobody has acted on it so far.
    pub(super) is_full: bool,
    /// There is no slot: to be told, once until there is one.
    pub(super) is_refused: bool,
    is_refusal_told: bool,
    /// Until then callers of the pool are taken to wait for a slot, unless one is had.
    held_up_until: Option<Instant>,
    pub(super) is_over: bool,
}

impl Adhoc {
    pub(super) fn new(name: &str, budget: Budget) -> Arc<Self> {
        let state = State {
            held: HashMap::new(),
            next: 0,
            not_before: None,
            pause: FIRST_PAUSE,
            left_until: None,
            full_since: None,
            left_at: None,
            look_at: Instant::now(),
            leaving: None,
            is_full: false,
            is_refused: false,
            is_refusal_told: false,
            held_up_until: None,
            is_over: false,
        };
        Arc::new(Adhoc {
            name: harmless(name),
            keys: Keys::new(name, budget),
            budget,
            state: Mutex::new(state),
            changed: Condvar::new(),
            is_due: AtomicBool::new(false),
            gives_next_back: AtomicBool::new(false),
            taken: AtomicU32::new(0),
            pool: OnceLock::new(),
            is_tended: AtomicBool::new(false),
        })
    }

    /// Tells it the pool whose connections it lets in.
    pub(super) fn join(&self, pool: &Pool<PgManager>) {
        // Under the lock, so that whoever has found none waits by now.
        let _state = self.lock();
        let _ = self.pool.set(pool.downgrade());
        self.changed.notify_all();
    }

    /// Whether it was told of its pool. That may be gone.
    pub(super) fn has_joined(&self) -> bool {
        self.pool.get().is_some()
    }

    pub(super) fn pool(&self) -> Option<Pool<PgManager>> {
        self.pool.get().and_then(WeakPool::upgrade)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Slots that are taken, as seen last.
    pub(super) fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }

    pub(super) fn note_taken(&self, taken: u32) {
        self.taken.store(taken, Relaxed);
    }

    /// Why there is no connection, for callers of the pool.
    pub(super) fn no_room(&self) -> PgError {
        let (name, taken, all) = (&self.name, self.taken(), self.budget.reserve());
        PgError::no_room(match taken < all {
            true => {
                format!("an ad-hoc slot of fleet {name} is tried for in a moment: {taken} of {all} are taken")
            }
            false => format!("no ad-hoc slot of fleet {name} is free: {taken} of {all} are taken"),
        })
    }
}

impl State {
    /// Notes a connection that has a slot, and returns its number.
    pub(super) fn let_in(&mut self, slot: u32) -> u64 {
        self.is_refusal_told = false;
        self.held_up_until = None;
        self.has_room();
        if self.held.is_empty() {
            self.look_later();
            if self.left_at.is_some_and(|at| at.elapsed() >= LEAVE_FOR) {
                self.full_since = None;
            }
        }
        let number = self.next;
        self.next += 1;
        self.held.insert(number, slot);
        number
    }

    /// Notes that a connection is gone, and returns whether it had a slot.
    pub(super) fn let_go(&mut self, number: u64) -> bool {
        let had_slot = self.held.remove(&number).is_some();
        if had_slot {
            self.left_at = Some(Instant::now());
            self.has_room();
            if self.leaving.take_if(|leaving| *leaving == number).is_some() {
                self.gave_back();
            }
        }
        had_slot
    }

    /// There was no slot: the next attempt is made after a pause.
    pub(super) fn refused(&mut self) {
        self.is_refused |= !std::mem::replace(&mut self.is_refusal_told, true);
        self.held_up_until = Some(Instant::now() + HELD_UP_FOR);
        self.not_before = Some(Instant::now() + self.pause.mul_f64(0.5 + fastrand::f64() / 2.0));
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    /// Whether there was no slot lately, and none was had since.
    pub(super) fn is_held_up(&self) -> bool {
        self.held_up_until.is_some_and(|end| Instant::now() < end)
    }

    /// There is a slot, as far as is known: attempts are made at once.
    fn has_room(&mut self) {
        self.not_before = None;
        self.pause = FIRST_PAUSE;
    }

    /// When the next attempt may be made, where that is not now.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before.max(self.left_until).filter(|at| *at > Instant::now())
    }

    /// A look has seen whether no slot is free.
    pub(super) fn looked(&mut self, is_full: bool) {
        self.is_full = is_full;
        self.full_since = if is_full { self.full_since.or_else(|| Some(Instant::now())) } else { None };
    }

    /// How long one has to be idle to be given back.
    pub(super) fn rest(&self) -> Duration {
        if self.is_turn_over() { Duration::ZERO } else { REST }
    }

    pub(super) fn is_turn_over(&self) -> bool {
        self.full_since.is_some_and(|since| since.elapsed() >= TURN)
    }

    /// One was given back. One that was at rest may be wanted again before anybody else tries: the turn goes on then.
    pub(super) fn gave_back(&mut self) {
        if self.is_turn_over() {
            self.left_until = Some(Instant::now() + LEAVE_FOR);
            self.full_since = None;
        }
    }

    /// Has the next look made when it is due again.
    pub(super) fn look_later(&mut self) {
        self.look_at = Instant::now() + LOOK_EVERY.mul_f64(0.75 + fastrand::f64() / 2.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_begin_anew_where_there_is_room() {
        let adhoc = Adhoc::new("news", Budget::new(60, 5).unwrap());
        let mut state = adhoc.lock();
        let mut pause = || {
            let before = Instant::now();
            state.refused();
            state.not_before.unwrap() - before
        };
        assert!(pause() <= FIRST_PAUSE + LAST_PAUSE / 10);
        let longest = (0..20).map(|_| pause()).max().unwrap();
        assert!(longest > LAST_PAUSE / 2, "{longest:?}");
        state.let_in(3);
        assert!(state.not_before().is_none() && state.pause == FIRST_PAUSE);
    }

    #[test]
    fn who_had_a_turn_while_none_was_free_leaves_a_slot_to_others_for_longer_than_any_waits() {
        let adhoc = Adhoc::new("news", Budget::new(60, 5).unwrap());
        let mut state = adhoc.lock();
        state.looked(true);
        assert_eq!(state.rest(), REST);
        state.gave_back();
        assert!(state.not_before().is_none(), "it was at rest, and nobody may want it");
        state.looked(true);
        state.full_since = Instant::now().checked_sub(TURN);
        assert_eq!(state.rest(), Duration::ZERO);
        state.gave_back();
        // The end of its own session tells of no room.
        state.has_room();
        assert!(state.not_before().unwrap() > Instant::now() + LEAVE_FOR / 2);
        state.looked(true);
        state.looked(false);
        assert!(state.full_since.is_none());
    }

    #[test]
    fn a_turn_goes_on_over_a_rest_in_which_nobody_else_could_try_and_no_longer() {
        let adhoc = Adhoc::new("news", Budget::new(60, 5).unwrap());
        let mut state = adhoc.lock();
        let first = state.let_in(3);
        state.looked(true);
        state.gave_back();
        assert!(state.full_since.is_some());
        state.full_since = Instant::now().checked_sub(TURN);
        assert!(state.let_go(first) && !state.let_go(first));
        let second = state.let_in(3);
        assert!(state.is_turn_over());
        state.let_go(second);
        state.left_at = Instant::now().checked_sub(LEAVE_FOR);
        state.let_in(3);
        assert!(!state.is_turn_over());
    }

    #[test]
    fn what_callers_are_told_has_the_figures() {
        let adhoc = Adhoc::new("ne\nws", Budget::new(60, 5).unwrap());
        adhoc.note_taken(5);
        assert_eq!(adhoc.no_room().to_string(), r"no ad-hoc slot of fleet ne\nws is free: 5 of 5 are taken");
    }
}
