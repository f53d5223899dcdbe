//! The keeper: one thread that looks after the pools of a group. It decides and delegates. Of a database layer it calls
//! only what may neither block nor do I/O: [`close_grace`](crate::Driver::close_grace), and
//! [`silence`](crate::SessionControl::silence) of a connection that it closes or gives up, whose control it then drops.

use std::sync::{Arc, Weak};
use std::time::Instant;

use log::Level;
use parking_lot::{Condvar, Mutex};

use super::generations::{AtomicGeneration, Generation};
use crate::clock::{AtomicMillis, Clock, Millis, TICK};
use crate::foreign::caught;
use crate::lines::say;
use crate::process::PoolThread;

/// Ticks without a checkout after which the coarse clock rests.
const QUIET_TICKS: u32 = 5;

/// How soon a pool is looked at again whose last look ended in a panic.
const AFTER_PANIC: Millis = Millis::new(1000);

/// When a pool wants its keeper again: at whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// By the pool's clock.
    pub(crate) at: Millis,
    /// By real time.
    pub(crate) by: Option<Instant>,
}

impl Due {
    /// Not on its own account.
    const NEVER: Due = Due { at: Millis::NEVER, by: None };

    fn first(self, other: Due) -> Due {
        Due { at: self.at.min(other.at), by: [self.by, other.by].into_iter().flatten().min() }
    }

    fn has_come(self, now: Millis) -> bool {
        now >= self.at || self.by.is_some_and(|by| Instant::now() >= by)
    }
}

/// What a keeper does for a pool.
pub(crate) trait Kept: Send + Sync {
    /// Does what is due, and says when it wants to be called next.
    fn tend(self: Arc<Self>, now: Millis) -> Due;

    /// Does what cannot wait while the pool is in use. Returns a number that changes with every checkout, so that the
    /// keeper sees whether it is.
    fn pulse(self: Arc<Self>) -> u64;

    /// Whether the pool has been closed and needs no keeper any more.
    fn is_over(&self) -> bool;
}

struct Tended {
    pools: Vec<Weak<dyn Kept>>,
    /// Somebody wants the keeper to look now.
    woken: bool,
    running: bool,
}

/// The keeper of one pool, or of the two tiers of a budget.
pub(crate) struct Keeper {
    name: String,
    clock: Clock,
    /// No pool is tended under it.
    state: Mutex<Tended>,
    wake: Condvar,
}

impl Keeper {
    pub(crate) fn new(name: &str, clock: Clock) -> Arc<Self> {
        let state = Tended { pools: Vec::new(), woken: false, running: false };
        let keeper = Arc::new(Keeper {
            name: format!("{name}-keeper"),
            clock: clock.clone(),
            state: Mutex::new(state),
            wake: Condvar::new(),
        });
        let weak = Arc::downgrade(&keeper);
        clock.on_call(Box::new(move || {
            if let Some(keeper) = weak.upgrade() {
                keeper.wake();
            }
        }));
        keeper
    }

    /// Has the keeper look after a pool, once, on a thread that it starts if it has none.
    pub(crate) fn take_charge(self: &Arc<Self>, pool: Weak<dyn Kept>) -> std::io::Result<()> {
        let mut state = self.state.lock();
        if !state.pools.iter().any(|known| known.ptr_eq(&pool)) {
            state.pools.push(pool);
        }
        state.woken = true;
        if !state.running {
            let keeper = Arc::clone(self);
            let counted = PoolThread::counted();
            std::thread::Builder::new().name(self.name.clone()).spawn(move || {
                let _counted = counted;
                keeper.run();
            })?;
            state.running = true;
        }
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Makes the keeper look now, and not only when it had planned to.
    pub(crate) fn wake(&self) {
        let mut state = self.state.lock();
        if !state.woken {
            state.woken = true;
            self.wake.notify_one();
        }
    }

    fn run(&self) {
        let (mut pulse, mut quiet) = (0, 0);
        let mut due = Due { at: Millis::ZERO, by: None };
        loop {
            let Some((pools, woken)) = self.open_pools() else { return };
            self.clock.tick();
            let now = self.clock.precise_ms();
            if woken || due.has_come(now) {
                due = self.tend_all(&pools, now);
            }
            // Whoever woke the keeper had a reason: a few ticks show whether more is to come.
            let beat = pools.iter().map(|pool| Arc::clone(pool).pulse()).fold(0, u64::wrapping_add);
            quiet = if beat == pulse && !woken { quiet + 1 } else { 0 };
            pulse = beat;
            // A pool must not live on only because its keeper sleeps.
            self.let_go(pools);
            self.sleep(now, due, quiet < QUIET_TICKS);
        }
    }

    /// The pools still open, and whether somebody has woken the keeper; `None` once there is none, and the thread is no
    /// longer counted as running.
    fn open_pools(&self) -> Option<(Vec<Arc<dyn Kept>>, bool)> {
        // Before the pools are asked: whoever ends one afterwards wakes the keeper again.
        let (all, woken) = {
            let mut state = self.state.lock();
            let woken = std::mem::take(&mut state.woken);
            (state.pools.iter().filter_map(Weak::upgrade).collect::<Vec<_>>(), woken)
        };
        // With nothing locked: a pool asks its parts.
        let (over, open): (Vec<_>, Vec<_>) = all.into_iter().partition(|pool| pool.is_over());
        let gone = |pool: &Weak<dyn Kept>| {
            pool.strong_count() == 0
                || over.iter().any(|over| std::ptr::addr_eq(pool.as_ptr(), Arc::as_ptr(over)))
        };
        let mut state = self.state.lock();
        // One that has got something to watch meanwhile is asked again.
        if !state.woken {
            state.pools.retain(|pool| !gone(pool));
        }
        state.running = !state.pools.is_empty();
        let goes_on = state.running;
        drop(state);
        self.let_go(over);
        if goes_on { Some((open, woken)) } else { None }
    }

    /// Lets go of pools with nothing locked: the last to do so ends the managers and handlers of one, which may panic.
    fn let_go(&self, pools: Vec<Arc<dyn Kept>>) {
        for pool in pools {
            if caught(|| drop(pool)).is_err() {
                let name = self.name.as_str();
                say!(
                    Level::Error,
                    "tierpool",
                    [thread = name],
                    "the end of a pool kept by `{name}` panicked"
                );
            }
        }
    }

    fn tend_all(&self, pools: &[Arc<dyn Kept>], now: Millis) -> Due {
        pools.iter().fold(Due::NEVER, |due, pool| {
            let tended = caught(|| Arc::clone(pool).tend(now));
            due.first(tended.unwrap_or_else(|_| {
                let name = self.name.as_str();
                say!(Level::Error, "tierpool", [thread = name], "the keeper `{name}` panicked and goes on");
                Due { at: now.plus(AFTER_PANIC), by: None }
            }))
        })
    }

    /// Sleeps until the next tick, or while all is quiet until something falls due.
    fn sleep(&self, now: Millis, due: Due, ticking: bool) {
        let mut state = self.state.lock();
        if state.woken {
            return;
        }
        let real = Instant::now();
        let mut wake_at = due.by;
        if !self.clock.is_manual() {
            let pause = if ticking { TICK } else { due.at.since(now).duration() };
            wake_at = [wake_at, real.checked_add(pause)].into_iter().flatten().min();
            if !ticking {
                self.clock.rest();
            }
        }
        match wake_at {
            Some(at) => {
                self.wake.wait_until(&mut state, at);
            }
            None => self.wake.wait(&mut state),
        }
    }
}

/// How long a pool must not have been crowded for the warning of it to be over.
const CROWDED_MEMORY: Millis = Millis::new(10_000);

/// What the keeper remembers of one pool. Relaxed: only the keeper touches it.
pub(crate) struct Rounds {
    /// The generation of its last look at every idle connection.
    swept: AtomicGeneration,
    /// When nearly all connections were last seen in use, while the warning of it holds.
    crowded_at: AtomicMillis,
}

/// What there is to be told of a pool nearly used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowding {
    Begins,
    Ends,
    Unchanged,
}

impl Rounds {
    /// Nothing has happened yet that the keeper would have to look at every connection for.
    pub(crate) fn new(generation: Generation) -> Self {
        let swept = AtomicGeneration::first();
        swept.catch_up(generation);
        Rounds { swept, crowded_at: AtomicMillis::default() }
    }

    /// Takes note of whether nearly all connections are in use. A small pool is full at one look and not at the next,
    /// so the end of it is told after a while.
    pub(crate) fn note_crowding(&self, crowded: bool, now: Millis) -> Crowding {
        let last = self.crowded_at.load();
        if crowded {
            self.crowded_at.store(now);
            return if last == Millis::NEVER { Crowding::Begins } else { Crowding::Unchanged };
        }
        if last == Millis::NEVER || now.since(last) < CROWDED_MEMORY {
            return Crowding::Unchanged;
        }
        self.crowded_at.store(Millis::NEVER);
        Crowding::Ends
    }

    /// Whether every idle connection has to be looked at, once for each generation.
    pub(crate) fn begin_sweep(&self, generation: Generation) -> bool {
        self.swept.catch_up(generation)
    }
}
