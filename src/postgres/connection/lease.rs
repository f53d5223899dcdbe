//! For how long the handles of a connection work: for the checkout in which they were taken.
//!
//! A handle is a clone that any thread keeps for as long as it likes, and its connection goes to the next borrower
//! meanwhile. So each handle has the *lease* of its checkout, and the checkin ends the lease before it looks at the
//! connection in any other way. From then on a handle does nothing and says so. What a handle has begun before that is
//! an [`Act`] of the lease, in one of three positions when the lease ends:
//!
//! - **not over yet**: the checkin, which must not block, sends the connection to a helper, and that one waits for the
//!   act's end, for a moment; where it takes longer the connection is closed;
//! - **over, and its request has arrived**: the server has closed the stream of a request to cancel, which it does once
//!   the signal is sent. A backend acts on a signal before it reads its next message, so after one round trip there is
//!   nothing of it left, and the connection may be lent;
//! - **over, and where its request is nobody knows**: it could arrive in a minute. The connection is closed.
//!
//! A child made by `fork` has a copy of the lease, which nobody ends there. So a lease is of one process, and in
//! another nothing begins.
//!
//! So no statement but the borrower's own is ever cancelled. A request that arrives when the connection is closed names
//! a backend that has ended by its secret key, and no other has that.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::clock::Deadline;
use crate::process::Process;

/// What is left of requests to cancel, the worse the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::postgres) enum Trace {
    /// Nothing was sent.
    None,
    /// The server has dealt with it.
    Arrived,
    /// It may still arrive.
    UnderWay,
}

/// One checkout, as its handles know it.
///
/// The lock guards the state for the time of a look or a change. It is taken by a checkin only where a handle was taken
/// in the checkout.
pub(super) struct Lease {
    /// Asked for ahead of the lock, which a thread may have held at the moment of a `fork`.
    process: Process,
    state: Mutex<State>,
    over: Condvar,
}

/// Why nothing may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The checkout has ended.
    Over,
    /// It is of the process from which this one was forked.
    Inherited,
}

struct State {
    ended: bool,
    acts: u32,
    trace: Trace,
}

impl Default for State {
    fn default() -> Self {
        State { ended: false, acts: 0, trace: Trace::None }
    }
}

impl Default for Lease {
    fn default() -> Self {
        Lease { process: Process::this(), state: Mutex::default(), over: Condvar::new() }
    }
}

impl Lease {
    /// Begins to act on the connection.
    pub fn begin(self: &Arc<Self>) -> Result<Act, Refusal> {
        if !self.process.is_this() {
            return Err(Refusal::Inherited);
        }
        let mut state = self.state.lock();
        if state.ended {
            return Err(Refusal::Over);
        }
        state.acts += 1;
        Ok(Act { lease: Arc::clone(self), trace: Trace::None })
    }

    /// Ends the checkout; true where something is left of it that the next one must not meet.
    pub fn end(&self) -> bool {
        if !self.process.is_this() {
            return false;
        }
        let mut state = self.state.lock();
        state.ended = true;
        state.acts > 0 || state.trace > Trace::None
    }

    /// Whether something may begin.
    pub fn is_open(&self) -> bool {
        self.process.is_this() && !self.state.lock().ended
    }

    /// Waits until nothing is done to the connection any more, and says what is left.
    pub fn wait(&self, limit: Duration) -> Trace {
        let end = Deadline::of(limit);
        let mut state = self.state.lock();
        while state.acts > 0 {
            if self.over.wait_for(&mut state, end.left()).timed_out() && state.acts > 0 {
                return Trace::UnderWay;
            }
        }
        state.trace
    }
}

/// The leases of one connection. The last one ends with it.
#[derive(Default)]
pub(super) struct Leases {
    /// That of the present checkout, once a handle was taken in it.
    present: OnceLock<Arc<Lease>>,
    /// That of the last one, where something may be left of what its handles did.
    left: Option<Arc<Lease>>,
}

impl Leases {
    pub fn present(&self) -> Arc<Lease> {
        Arc::clone(self.present.get_or_init(Arc::default))
    }

    /// Ends the present one.
    pub fn end(&mut self) {
        if let Some(lease) = self.present.take()
            && lease.end()
        {
            self.left = Some(lease);
        }
    }

    pub fn is_something_left(&self) -> bool {
        self.left.is_some()
    }

    /// Waits until no handle of the last checkout does anything any more, and says what is left of it.
    pub fn await_acts(&mut self, limit: Duration) -> Trace {
        self.left.take().map_or(Trace::None, |lease| lease.wait(limit))
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.end();
    }
}

/// What one handle does; over when it is dropped.
pub(super) struct Act {
    lease: Arc<Lease>,
    /// What it leaves behind.
    pub trace: Trace,
}

impl Drop for Act {
    fn drop(&mut self) {
        let mut state = self.lease.state.lock();
        state.acts -= 1;
        state.trace = state.trace.max(self.trace);
        drop(state);
        self.lease.over.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_checkout_that_has_ended_lets_nothing_begin() {
        let lease = Arc::new(Lease::default());
        drop(lease.begin().unwrap());
        assert!(!lease.end(), "nothing was sent");
        assert_eq!(lease.begin().err(), Some(Refusal::Over));
        assert_eq!(lease.wait(LONG), Trace::None);
    }

    #[test]
    fn what_had_begun_is_waited_for() {
        let lease = Arc::new(Lease::default());
        let mut act = lease.begin().unwrap();
        assert!(lease.end());
        assert_eq!(lease.wait(Duration::from_millis(1)), Trace::UnderWay);
        let waiter = std::thread::spawn({
            let lease = Arc::clone(&lease);
            move || lease.wait(LONG)
        });
        act.trace = Trace::Arrived;
        drop(act);
        assert_eq!(waiter.join().unwrap(), Trace::Arrived);
    }

    #[test]
    fn the_worst_of_several_requests_counts() {
        let lease = Arc::new(Lease::default());
        for trace in [Trace::Arrived, Trace::UnderWay, Trace::None] {
            lease.begin().unwrap().trace = trace;
        }
        assert!(lease.end());
        assert_eq!(lease.wait(LONG), Trace::UnderWay);
    }
}
