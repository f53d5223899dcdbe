//! A connection in the hands of a helper thread, and the right to give it up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::core::Waiter;
use crate::stats::CloseCause;

/// What a helper is to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chore {
    /// With `suspect` for one that another's death makes doubtful: nothing but a sign of life will do.
    Validate { suspect: bool },
    /// With `suspect` for a connection whose borrower panicked.
    Reset { suspect: bool },
}

/// What an attempt to open a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Somebody waits, or there are fewer connections than the pool keeps.
    Demand,
    /// The replacement of one that is due.
    Renewal,
    /// To see whether the server is back.
    Probe,
}

/// Why a helper has a connection in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Do(Chore),
    /// For this cause, which has been counted.
    Close(CloseCause),
    Open(Purpose),
}

pub(crate) struct Progress<S> {
    /// Here while the errand is under way; whoever takes it decides what becomes of the connection.
    pub(crate) seat: Option<S>,
    /// When the keeper gives up; `None` is too far away to be expressed.
    pub(crate) give_up_at: Option<Instant>,
    /// A helper has taken it up: from then on its silence is the server's.
    pub(crate) begun: bool,
    /// It has been given up once, and kept for want of room among the zombies.
    pub(crate) late: bool,
    /// The helper's thread has been written off.
    pub(crate) lost: bool,
    /// The helper's call has returned.
    pub(crate) done: bool,
}

impl<S> Progress<S> {
    pub(crate) fn new(seat: S, limit: Duration) -> Self {
        let give_up_at = Instant::now().checked_add(limit);
        Progress { seat: Some(seat), give_up_at, begun: false, late: false, lost: false, done: false }
    }
}

/// One connection in the hands of a helper: `S` is its seat, `T` what its customer is served.
pub(crate) struct Errand<S, T> {
    /// Guards the seat and the time alone.
    pub(crate) progress: Mutex<Progress<S>>,
    /// The thread that waits for the outcome. It is served the connection, or refused when there is none.
    pub(crate) customer: Option<Arc<Waiter<T, ()>>>,
    /// Born, seen and id of the connection, to judge what its silence means for others.
    pub(crate) seen: u64,
    pub(crate) id: u64,
    pub(crate) task: Task,
}

impl<S, T> Errand<S, T> {
    /// A helper takes it up. False where its seat is gone already, for want of a helper: then only the helper's thread
    /// is left to be watched, and this has to be put on the keeper's list again.
    pub(crate) fn begin(&self, limit: Duration) -> bool {
        let mut progress = self.progress.lock();
        progress.begun = true;
        if !progress.late || progress.seat.is_none() {
            progress.give_up_at = Instant::now().checked_add(limit);
        }
        progress.seat.is_some()
    }

    /// A part of the work is done: the next may take this long.
    pub(crate) fn allow(&self, limit: Duration) {
        let mut progress = self.progress.lock();
        if !progress.late {
            progress.give_up_at = Instant::now().checked_add(limit);
        }
    }

    /// The helper is done: takes the seat, if it has not been freed.
    pub(crate) fn finish(&self) -> Option<S> {
        let mut progress = self.progress.lock();
        progress.done = true;
        progress.seat.take()
    }

    /// Whether the keeper has given up waiting.
    pub(crate) fn is_late(&self) -> bool {
        self.progress.lock().late
    }

    /// Whether the helper's thread has been written off. Asked after `finish`, from when on it does not change.
    pub(crate) fn is_lost(&self) -> bool {
        self.progress.lock().lost
    }

    /// Sends whoever waits for it away, to look for another connection.
    pub(crate) fn dismiss_customer(&self) {
        if let Some(customer) = &self.customer {
            customer.refuse(());
            customer.wake();
        }
    }

    pub(crate) fn give_up_at(&self) -> Option<Instant> {
        self.progress.lock().give_up_at
    }

    /// Whether the keeper has nothing more to watch: the seat is taken, and the helper's thread accounted for.
    pub(crate) fn is_over(&self) -> bool {
        let progress = self.progress.lock();
        progress.done || (progress.seat.is_none() && (progress.lost || !progress.begun))
    }
}

impl Task {
    /// The cause with which the connection is closed if it does not come out of it well.
    pub(crate) fn cause(self) -> CloseCause {
        match self {
            Task::Do(Chore::Validate { .. }) => CloseCause::Invalid,
            Task::Do(Chore::Reset { .. }) => CloseCause::Broken,
            Task::Close(cause) => cause,
            Task::Open(_) => CloseCause::Invalid,
        }
    }

    pub(crate) fn is_close(self) -> bool {
        matches!(self, Task::Close(_))
    }

    pub(crate) fn is_open(self) -> bool {
        matches!(self, Task::Open(_))
    }

    /// Whether there is a connection that has not been counted as closed yet.
    pub(crate) fn has_connection(self) -> bool {
        matches!(self, Task::Do(_))
    }
}
