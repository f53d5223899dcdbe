//! The keeper: one thread that looks after the pools of a group. It decides and delegates, and never calls into a
//! database layer itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::clock::{Clock, TICK};

/// Ticks without a checkout after which the coarse clock rests.
const QUIET_TICKS: u32 = 5;

/// What a keeper does for a pool.
pub(crate) trait Kept: Send + Sync {
    /// Does what is due. Returns when, by the pool's clock in milliseconds, it wants to be called next, and when at
    /// the latest by real time.
    fn tend(self: Arc<Self>, now: u64) -> (u64, Option<Instant>);

    /// Does what cannot wait while the pool is in use. Returns a number that changes with every checkout, so that the
    /// keeper sees whether it is.
    fn pulse(self: Arc<Self>) -> u64;

    /// Whether the pool has been closed and needs no keeper any more.
    fn is_over(&self) -> bool;
}

struct State {
    wards: Vec<Weak<dyn Kept>>,
    /// Somebody wants the keeper to look now.
    roused: bool,
    running: bool,
}

/// The keeper of one pool, or of the two tiers of a budget.
pub(crate) struct Keeper {
    name: String,
    clock: Clock,
    /// No pool is tended under it.
    state: Mutex<State>,
    rouse: Condvar,
}

impl Keeper {
    pub(crate) fn new(name: &str, clock: Clock) -> Arc<Self> {
        let state = State { wards: Vec::new(), roused: false, running: false };
        let keeper = Arc::new(Keeper {
            name: format!("{name}-keeper"),
            clock: clock.clone(),
            state: Mutex::new(state),
            rouse: Condvar::new(),
        });
        let weak = Arc::downgrade(&keeper);
        clock.on_call(Box::new(move || {
            if let Some(keeper) = weak.upgrade() {
                keeper.wake();
            }
        }));
        keeper
    }

    /// Has the keeper look after a pool, on a thread that it starts if it has none.
    pub(crate) fn take_charge(self: &Arc<Self>, ward: Weak<dyn Kept>) -> std::io::Result<()> {
        let mut state = self.state.lock();
        state.wards.push(ward);
        state.roused = true;
        if !state.running {
            let keeper = Arc::clone(self);
            std::thread::Builder::new().name(self.name.clone()).spawn(move || keeper.run())?;
            state.running = true;
        }
        drop(state);
        self.rouse.notify_one();
        Ok(())
    }

    /// Makes the keeper look now, and not only when it had planned to.
    pub(crate) fn wake(&self) {
        let mut state = self.state.lock();
        if !state.roused {
            state.roused = true;
            self.rouse.notify_one();
        }
    }

    fn run(&self) {
        let (mut pulse, mut quiet) = (0, 0);
        let (mut due, mut due_by) = (0, None);
        loop {
            let Some((wards, roused)) = self.wards() else { return };
            self.clock.tick();
            let now = self.clock.precise_ms();
            if roused || now >= due || due_by.is_some_and(|by| Instant::now() >= by) {
                (due, due_by) = self.tend_all(&wards, now);
            }
            // Whoever roused the keeper had a reason: a few ticks show whether more is to come.
            let beat = wards.iter().map(|ward| Arc::clone(ward).pulse()).fold(0, u64::wrapping_add);
            quiet = if beat == pulse && !roused { quiet + 1 } else { 0 };
            pulse = beat;
            // A ward must not live on only because its keeper sleeps.
            drop(wards);
            self.sleep(now, due, due_by, quiet < QUIET_TICKS);
        }
    }

    /// The pools still open; `None` once there is none, and the thread is no longer counted as running.
    fn wards(&self) -> Option<(Vec<Arc<dyn Kept>>, bool)> {
        let mut state = self.state.lock();
        state.wards.retain(|ward| ward.upgrade().is_some_and(|ward| !ward.is_over()));
        if state.wards.is_empty() {
            state.running = false;
            return None;
        }
        let roused = std::mem::take(&mut state.roused);
        Some((state.wards.iter().filter_map(Weak::upgrade).collect(), roused))
    }

    fn tend_all(&self, wards: &[Arc<dyn Kept>], now: u64) -> (u64, Option<Instant>) {
        let (mut due, mut due_by) = (u64::MAX, None::<Instant>);
        for ward in wards {
            let tended = catch_unwind(AssertUnwindSafe(|| Arc::clone(ward).tend(now)));
            let (next, next_by) = tended.unwrap_or_else(|_| {
                log::error!(target: "tierpool", "the keeper `{}` panicked and goes on", self.name);
                (now + 1000, None)
            });
            due = due.min(next);
            due_by = [due_by, next_by].into_iter().flatten().min();
        }
        (due, due_by)
    }

    /// Sleeps until the next tick, or while all is quiet until something falls due.
    fn sleep(&self, now: u64, due: u64, due_by: Option<Instant>, ticking: bool) {
        let mut state = self.state.lock();
        if state.roused {
            return;
        }
        let real = Instant::now();
        let until_due = Duration::from_millis(due.saturating_sub(now));
        let mut wake_at = due_by;
        if !self.clock.is_manual() {
            let pause = if ticking { TICK } else { until_due };
            wake_at = [wake_at, real.checked_add(pause)].into_iter().flatten().min();
            if !ticking {
                self.clock.rest();
            }
        }
        match wake_at {
            Some(at) => {
                self.rouse.wait_until(&mut state, at);
            }
            None => self.rouse.wait(&mut state),
        }
    }
}
