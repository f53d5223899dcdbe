//! One caller's checkout under way.

use std::panic::Location;
use std::time::{Duration, Instant};

use crate::config::{Settings, WaitMode};
use crate::core::Ticket;
use crate::error::LimitSetBy;
use crate::pool::shared::Refusal;

/// How long a caller is willing to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// As the settings say, which the direct path need not know.
    Configured,
    /// Not at all.
    None,
    /// Not for others: for a connection of its own to be opened, where there is room for one.
    ForOpening,
    /// At most so long.
    For(Duration),
    Forever,
}

impl Patience {
    /// With what the settings say of a plain `get`.
    fn settled(self, settings: &Settings) -> Self {
        match (self, settings.wait_mode) {
            (Patience::Configured, WaitMode::Timed) => Patience::For(settings.connection_timeout),
            (Patience::Configured, WaitMode::NoWait) => Patience::ForOpening,
            (Patience::Configured, WaitMode::Forever) => Patience::Forever,
            (said, _) => said,
        }
    }
}

/// What is known of the caller, and of its way so far.
pub(crate) struct Call {
    pub(crate) start: Instant,
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
        settings: &Settings,
        location: &'static Location<'static>,
        thread: u64,
    ) -> Self {
        let start = Instant::now();
        let asked = matches!(patience, Patience::For(_));
        let patience = patience.settled(settings);
        let limit = match patience {
            Patience::For(limit) if asked => Some(LimitSetBy::Caller(limit)),
            Patience::For(limit) => Some(LimitSetBy::Settings(limit)),
            Patience::None | Patience::ForOpening | Patience::Forever | Patience::Configured => None,
        };
        let deadline = match patience {
            Patience::None | Patience::ForOpening => Some(start),
            Patience::For(limit) => start.checked_add(limit),
            Patience::Forever => None,
            Patience::Configured => unreachable!("BUG: settled above"),
        };
        Call {
            start,
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

    /// Whether it waits for nobody's return, so that a validation has its own limit.
    pub(crate) fn waits_for_nobody(&self) -> bool {
        matches!(self.patience, Patience::None | Patience::ForOpening)
    }

    /// Gives it the time that an opening may take, once it stands in line for one.
    pub(crate) fn wait_for_opening(&mut self, limit: Duration) {
        self.deadline = Instant::now().checked_add(limit);
        self.limit = Some(LimitSetBy::Opening(limit));
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
