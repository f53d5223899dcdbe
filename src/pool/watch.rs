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

/// Why a helper has a connection in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Do(Chore),
    /// For this cause, which has been counted.
    Close(CloseCause),
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
    /// A helper takes it up. False where it has been given up already.
    pub(crate) fn begin(&self, limit: Duration) -> bool {
        let mut progress = self.progress.lock();
        progress.begun = true;
        if !progress.late {
            progress.give_up_at = Instant::now().checked_add(limit);
        }
        progress.seat.is_some()
    }

    /// Takes the seat, if it has not been given up.
    pub(crate) fn finish(&self) -> Option<S> {
        self.progress.lock().seat.take()
    }

    /// Takes the seat, if it has not been freed, and tells whether the keeper had given up waiting.
    pub(crate) fn end(&self) -> (Option<S>, bool) {
        let mut progress = self.progress.lock();
        (progress.seat.take(), progress.late)
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

    /// Whether somebody has taken the seat.
    pub(crate) fn is_over(&self) -> bool {
        self.progress.lock().seat.is_none()
    }
}

impl Task {
    /// The cause with which the connection is closed if it does not come out of it well.
    pub(crate) fn cause(self) -> CloseCause {
        match self {
            Task::Do(Chore::Validate { .. }) => CloseCause::Invalid,
            Task::Do(Chore::Reset { .. }) => CloseCause::Broken,
            Task::Close(cause) => cause,
        }
    }

    pub(crate) fn is_close(self) -> bool {
        matches!(self, Task::Close(_))
    }
}
