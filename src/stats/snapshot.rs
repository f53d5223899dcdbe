//! One pool's gauges and counters at one moment.

use std::fmt;
use std::time::Duration;

use super::contact::Contact;
use super::histogram::Histogram;

/// The four gauges, and zombies, of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Gauges {
    /// Connections ready to be lent.
    #[doc(alias("checkedin"))]
    pub idle: u32,
    /// Connections lent, or in the pool's own hands for validation or reset.
    #[doc(alias("busy", "checkedout"))]
    pub in_use: u32,
    /// Connections being opened.
    pub opening: u32,
    /// Threads queued for a connection.
    pub waiting: u32,
    /// Connections being closed or given up on, whose close has not finished.
    pub zombies: u32,
}

impl Gauges {
    /// `idle + in_use + opening`.
    #[doc(alias("opened"))]
    pub fn size(&self) -> u32 {
        self.idle + self.in_use + self.opening
    }
}

/// How checkouts ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Checkouts {
    /// Served without queueing.
    pub direct: u64,
    /// Served after queueing.
    pub waited: u64,
    /// Not served by the deadline, or not at once by `try_get`.
    pub timed_out: u64,
    /// Refused, for whatever reason: the sum of `refused`.
    pub rejected: u64,
    /// Refused, by the kind of error.
    pub refused: Refused,
}

/// Checkouts refused, by the [`ErrorKind`](crate::ErrorKind) that their callers got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Refused {
    /// No room, for a caller that does not wait for others.
    pub exhausted: u64,
    /// As many callers as `max_waiting` allows were waiting.
    pub queue_full: u64,
    /// The circuit breaker was open.
    pub circuit_open: u64,
    /// A connection could not be opened, for a cause that waiting does not cure.
    pub connect_failed: u64,
    /// Waiting would have been a deadlock.
    pub would_deadlock: u64,
    /// The pool was closed.
    pub closed: u64,
}

impl Refused {
    /// How many were refused in all.
    pub fn total(&self) -> u64 {
        let Refused { exhausted, queue_full, circuit_open, connect_failed, would_deadlock, closed } = self;
        exhausted + queue_full + circuit_open + connect_failed + would_deadlock + closed
    }
}

/// Why a connection was closed, or left the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum CloseCause {
    /// Returned broken, marked so by its borrower, or its reset failed or could not help.
    Broken,
    /// Failed its validation, or did not answer in time.
    Invalid,
    /// Reached `max_lifetime` or `max_uses`.
    Expired,
    /// Idle for `idle_timeout`, or for `overflow_linger` where the base lingers, or above a ceiling that was lowered.
    Idle,
    /// Above the base size and idle for `overflow_linger`.
    Overflow,
    /// Drained, evicted, replaced after a failover, or held for so long that its statement was cancelled or its session
    /// ended.
    Evicted,
    /// The pool closed.
    Closed,
    /// Taken out by its borrower; it lives on outside.
    Detached,
}

impl CloseCause {
    /// All causes, in the order of the counters.
    pub const ALL: [CloseCause; 8] = [
        CloseCause::Broken,
        CloseCause::Invalid,
        CloseCause::Expired,
        CloseCause::Idle,
        CloseCause::Overflow,
        CloseCause::Evicted,
        CloseCause::Closed,
        CloseCause::Detached,
    ];

    /// The name used in messages and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            CloseCause::Broken => "broken",
            CloseCause::Invalid => "invalid",
            CloseCause::Expired => "expired",
            CloseCause::Idle => "idle",
            CloseCause::Overflow => "overflow",
            CloseCause::Evicted => "evicted",
            CloseCause::Closed => "closed",
            CloseCause::Detached => "detached",
        }
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Connections closed, by cause; `Debug` and JSON (feature `serde`) have each with its name.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ClosedBy(pub(crate) [u64; CloseCause::ALL.len()]);

impl ClosedBy {
    /// How many were closed for this cause.
    pub fn count(&self, cause: CloseCause) -> u64 {
        self.0[cause as usize]
    }

    /// How many were closed in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl fmt::Debug for ClosedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("ClosedBy");
        for cause in CloseCause::ALL {
            told.field(cause.as_str(), &self.count(cause));
        }
        told.finish()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for ClosedBy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(CloseCause::ALL.map(|cause| (cause.as_str(), self.count(cause))))
    }
}

/// Failed attempts to open, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OpenFailures {
    /// See [`FailureClass::Transient`](crate::FailureClass::Transient).
    pub transient: u64,
    /// See [`FailureClass::Exhausted`](crate::FailureClass::Exhausted).
    pub exhausted: u64,
    /// See [`FailureClass::Permanent`](crate::FailureClass::Permanent).
    pub permanent: u64,
}

/// The state of the circuit breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum BreakerState {
    /// Connections are opened as needed.
    #[default]
    Closed,
    /// Callers that no idle connection can serve fail at once; the pool itself probes the server.
    Open,
    /// A probe is on its way.
    Probing,
}

impl BreakerState {
    /// The name used in messages and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::Probing => "probing",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a pool lends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum LendingState {
    /// It does.
    #[default]
    Lending,
    /// Callers wait until it is resumed: see [`Pool::suspend`](crate::Pool::suspend).
    Suspended,
    /// It has been closed, and lends no more.
    Closed,
}

impl LendingState {
    /// The name used in messages and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            LendingState::Lending => "lending",
            LendingState::Suspended => "suspended",
            LendingState::Closed => "closed",
        }
    }
}

impl fmt::Display for LendingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything that a pool counts, as one snapshot.
///
/// The gauges are of one moment and always add up. Counters only grow; each is counted before what it counts can be
/// seen, so `closed.total() <= opened` and returned connections never outnumber lent ones.
///
/// Hold times are measured by the pool's coarse clock (grain 10 ms), so single short ones count as zero or as one
/// grain; sums over many are right.
#[doc(alias("get_stats"))]
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// The pool's name.
    pub pool: String,
    /// The gauges.
    pub gauges: Gauges,
    /// Of those in use, how many borrowers have: the rest the pool itself is validating or putting back in order.
    pub lent: u32,
    /// Whether it lends.
    pub lending: LendingState,
    /// The hard ceiling, `base_size + max_overflow`; less while growth waits for the other tier of a budget.
    pub ceiling: u32,
    /// Connections kept once opened.
    pub base_size: u32,
    /// The bound of the queue, if any.
    pub max_waiting: Option<u32>,
    /// Connections above the base size just now.
    pub overflow: u32,
    /// The most connections seen in use at once: looked at whenever a caller has to wait, a connection opens, the
    /// keeper ticks or statistics are taken, so a peak shorter than 10 ms between those may be missed.
    pub peak_in_use: u32,
    /// The most threads waiting at once.
    pub peak_waiting: u32,
    /// The most connections in use within the last 30 s to 60 s, by the pool's clock: two windows of 30 s, which nobody
    /// who asks resets. Looked at when a caller begins to wait, a connection opens, the keeper ticks (each 10 ms while
    /// checkouts go on) or statistics are taken, and by no direct checkout: what came and went between these is missed.
    pub recent_peak_in_use: u32,
    /// The most threads waiting, within the same time and at the same moments: each wait is seen as it begins.
    pub recent_peak_waiting: u32,
    /// Checkouts by outcome.
    pub checkouts: Checkouts,
    /// Connections opened.
    pub opened: u64,
    /// Connections closed, by cause.
    pub closed: ClosedBy,
    /// Failed attempts to open, by class.
    pub open_failures: OpenFailures,
    /// Connections returned in an open transaction or otherwise in need of a reset; over a Unix socket every return,
    /// since nothing tells there whether it is.
    pub returned_dirty: u64,
    /// Checkouts slower than `slow_checkout`.
    pub slow_checkouts: u64,
    /// Holds longer than `leak_threshold`.
    pub long_holds: u64,
    /// Checkouts whose statement the pool asked the server to cancel, after `cancel_stuck_after`.
    pub stuck_cancelled: u64,
    /// Checkouts that the pool ended, after `terminate_stuck_after`, whether or not the server could be reached for it.
    pub stuck_terminated: u64,
    /// Statements that took longer than `slow_query`, where the database layer measures them.
    pub slow_queries: u64,
    /// Statements that the server cancelled, where the database layer sees it (PostgreSQL's over TCP, by SQLSTATE
    /// 57014): at their `statement_timeout`, or since somebody asked for it on another connection, as `psql` can. What
    /// was under way when the pool asked for it, by `cancel_stuck_after`, or a `CancelHandle` did, is not counted; the
    /// statement after it is, should the request have come too late and hit that one.
    pub statement_timeouts: u64,
    /// Times that a dead connection made all older ones suspect.
    pub suspicions: u64,
    /// Panics caught in managers, customizers and handlers. Those in one of their methods are logged once in 10 s.
    pub user_panics: u64,
    /// Events that a full channel lost, or that found too many waiting for their handler.
    pub events_lost: u64,
    /// Items of batches that took effect, in the tier whose connections batches have: automation.
    pub items_committed: u64,
    /// Items of batches that failed for good.
    pub items_failed: u64,
    /// How long checkouts queued; direct ones count as zero.
    pub wait: Histogram,
    /// How long connections were held.
    pub hold: Histogram,
    /// How long successful opens took.
    pub open: Histogram,
    /// How long statements took, from the request until the reply was read: empty unless asked for, where the database
    /// layer measures them (`query_times`; PostgreSQL's over TCP). To prepare one does not count.
    pub query: Histogram,
    /// How long the oldest waiter has waited.
    pub oldest_waiter: Option<Duration>,
    /// Connection-seconds spent in use by borrowers who have returned them.
    pub busy: Duration,
    /// The state of the circuit breaker.
    pub breaker: BreakerState,
    /// How long ago the breaker opened; `None` while it is closed. Probes in between do not count as an end.
    pub breaker_open_for: Option<Duration>,
    /// Times the breaker opened.
    pub breaker_openings: u64,
    /// The last failure to open since an open succeeded, in words.
    pub last_open_failure: Option<String>,
    /// When the server was last seen, and what has failed since.
    pub contact: Contact,
}
