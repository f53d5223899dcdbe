//! A gate that holds threads until it is opened.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// No thread of a test lives for ever, even when the test forgets it.
const LONGEST: Duration = Duration::from_secs(60);

/// A gate, shut at first. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    waiting: usize,
}

impl Gate {
    /// A shut gate.
    pub fn new() -> Self {
        Gate::default()
    }

    /// Lets all through that wait or will.
    pub fn open(&self) {
        self.0.state.lock().open = true;
        self.0.changed.notify_all();
    }

    /// Holds those that come from now on.
    pub fn shut(&self) {
        self.0.state.lock().open = false;
    }

    /// Returns how many threads wait at it.
    pub fn waiting(&self) -> usize {
        self.0.state.lock().waiting
    }

    /// Waits until the gate is open, for `limit` or 60 s at the most, and says whether it is.
    pub fn pass(&self, limit: Option<Duration>) -> bool {
        let end = Instant::now() + limit.map_or(LONGEST, |limit| limit.min(LONGEST));
        let mut state = self.0.state.lock();
        state.waiting += 1;
        // A gate shut again before a woken thread has looked holds it on; the others got through.
        let timed_out = self.0.changed.wait_while_until(&mut state, |state| !state.open, end).timed_out();
        state.waiting -= 1;
        !timed_out
    }
}
