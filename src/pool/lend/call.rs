//! One caller's checkout under way.

use std::panic::Location;
use std::time::{Duration, Instant};

use crate::clock::Millis;
use crate::config::WaitMode;
use crate::core::Ticket;
use crate::error::LimitSetBy;
use crate::pool::parts::fast::Fast;
use crate::pool::shared::Refusal;

/// How long a caller is willing to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// As the settings say, which the direct path need not know.
    Configured,
    /// Not at all.
    None,
    /// Not for other borrowers: for a connection of its own to be opened, where there is room for one, or for one that
    /// the pool itself has in hand. At most so long.
    ForOpening(Duration),
    /// At most so long.
    For(Duration),
    Forever,
}

impl Patience {
    /// With what the settings say of a plain `get`.
    fn settled(self, fast: &Fast) -> Self {
        let Patience::Configured = self else { return self };
        match fast.wait() {
            (WaitMode::Timed, limit) => Patience::For(limit),
            (WaitMode::NoWait, limit) => Patience::ForOpening(limit),
            (WaitMode::Forever, _) => Patience::Forever,
        }
    }
}

/// What is known of the caller, and of its way so far.
pub(crate) struct Call {
    pub(crate) start: Instant,
    /// The same by the pool's clock, which may be a tick late.
    pub(crate) begun: Millis,
    /// None without a deadline, or one too far away to be expressed.
    pub(crate) deadline: Option<Instant>,
    pub(crate) patience: Patience,
    /// None without a time to wait.
    pub(crate) limit: Option<LimitSetBy>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) thread: u64,
    /// Its place in line, kept when it has to come back.
    pub(crate) ticket: Option<Ticket>,
    /// Waiters ahead when it joined.
    pub(crate) ahead: Option<usize>,
    /// When its time ran out, every connection was with a thread that waited itself.
    pub(crate) in_deadlock: bool,
}

impl Call {
    pub(crate) fn new(
        patience: Patience,
        fast: &Fast,
        begun: Millis,
        location: &'static Location<'static>,
        thread: u64,
    ) -> Self {
        let start = Instant::now();
        let asked = matches!(patience, Patience::For(_));
        let patience = patience.settled(fast);
        let limit = match patience {
            Patience::For(limit) if asked => Some(LimitSetBy::Caller(limit)),
            Patience::For(limit) => Some(LimitSetBy::Settings(limit)),
            Patience::ForOpening(limit) => Some(LimitSetBy::Settings(limit)),
            Patience::None | Patience::Forever | Patience::Configured => None,
        };
        let deadline = match patience {
            Patience::None => Some(start),
            Patience::For(limit) | Patience::ForOpening(limit) => start.checked_add(limit),
            Patience::Forever => None,
            Patience::Configured => unreachable!("BUG: settled above"),
        };
        Call {
            start,
            begun,
            deadline,
            patience,
            limit,
            location,
            thread,
            ticket: None,
            ahead: None,
            in_deadlock: false,
        }
    }

    /// Whether it does not wait at all, so that a validation has its own limit.
    pub(crate) fn waits_for_nothing(&self) -> bool {
        matches!(self.patience, Patience::None)
    }

    /// Whether its time has run out.
    pub(crate) fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Leaves it no more time than an opening may take, once it stands in line for one.
    pub(crate) fn wait_for_opening(&mut self, limit: Duration) {
        let Some(end) = Instant::now().checked_add(limit) else { return };
        if self.deadline.is_none_or(|deadline| end < deadline) {
            self.deadline = Some(end);
            self.limit = Some(LimitSetBy::Opening(limit));
        }
    }
}

/// Why a checkout ended without a connection.
pub(crate) enum Failure {
    /// With the number of waiters still ahead, for one that stood in line.
    Timeout {
        left: Option<usize>,
    },
    QueueFull,
    /// No room for a caller that does not wait for others.
    Exhausted,
    Deadlock,
    Refused(Refusal),
}
