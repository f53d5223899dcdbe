//! What the pool knew at the moment of an error.

use std::time::Duration;

use crate::stats::{Gauges, Holder};

/// The state of the breaker, as far as an error tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) since: Duration,
    pub(crate) next_attempt_in: Duration,
}

/// Who set the limit that a caller waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitSetBy {
    /// The pool's `connection_timeout`.
    Settings(Duration),
    Caller(Duration),
    /// What an opening may take, for a caller that waits for nothing else.
    Opening(Duration),
}

impl LimitSetBy {
    pub(crate) fn time(self) -> Duration {
        match self {
            LimitSetBy::Settings(time) | LimitSetBy::Caller(time) | LimitSetBy::Opening(time) => time,
        }
    }
}

/// What a caller waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Awaited {
    #[default]
    Connection,
    /// All connections that the pool keeps open.
    Filling,
    /// One connection of a pool that keeps none open.
    First,
}

/// Work on connections that no caller has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UnderWay {
    pub(crate) count: u32,
    /// How long the longest has been going on.
    pub(crate) longest: Duration,
    /// Some of it has taken more than half of the time that it is given.
    pub(crate) is_past_half: bool,
}

/// The evidence that an error carries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) pool: String,
    pub(crate) awaited: Awaited,
    pub(crate) waited: Duration,
    /// None where no limit ran out.
    pub(crate) limit: Option<LimitSetBy>,
    /// Waiters ahead when the caller joined and when it left, for one that stood in line.
    pub(crate) ahead: Option<(usize, usize)>,
    pub(crate) max_waiting: Option<u32>,
    pub(crate) gauges: Gauges,
    /// Of those in use, the ones in the pool's own hands.
    pub(crate) validating: UnderWay,
    pub(crate) resetting: UnderWay,
    pub(crate) opening: UnderWay,
    /// Some of it has waited for long, and nothing was heard of the server since.
    pub(crate) does_not_answer: bool,
    pub(crate) is_suspended: bool,
    pub(crate) ceiling: u32,
    /// Beyond the ceiling in force, what is asked for and cannot be opened before the other pool of the budget has
    /// closed as many.
    pub(crate) yet_to_come: u32,
    /// Failed attempts to open since one last succeeded.
    pub(crate) open_failures: u64,
    pub(crate) outage: Option<Outage>,
    /// What openings wait for, other than the server.
    pub(crate) opening_waits_for: Option<String>,
    /// Longest first; as many as are worth printing.
    pub(crate) holders: Vec<Holder>,
    /// Connections of this pool that the caller's own thread holds.
    pub(crate) own: usize,
    /// Every connection was with a thread that waited itself when the caller left.
    pub(crate) in_deadlock: bool,
}
