//! The verdict on both tiers: healthy only where that has been seen. And the load, which is another matter.

use std::fmt;

use crate::config::utilization;
use crate::stats::Stats;

/// The percentage of its ceiling in use from which on the load of a tier is called high.
pub(super) const HIGH_LOAD: f64 = 90.0;

/// Whether a tiered pool can do what it promises: the one verdict of the status box, `is_healthy` and exit codes.
///
/// Where an ad-hoc tier leads to a server or as a role of its own, what one tier has seen says nothing of the other:
/// `Healthy` needs that of the ad-hoc tier to have been seen, and the other one's not to have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Verdict {
    /// Both tiers lend, there is a connection for ad-hoc work, the circuit breakers are closed, and the server was seen
    /// within 60 s: a connection was opened, a validation or a reset answered, or a reply came.
    Healthy,
    /// Nothing was heard of the server within 60 s, neither good nor bad.
    Unknown,
    /// What was tried last has failed, or an answer is due for so long that errors say that the server does not answer:
    /// an attempt to connect, a validation that got no answer in time, a question to the server. A connection found
    /// dead says nothing of the server, which may have closed it.
    Unreachable,
    /// No connection is left for ad-hoc work: all are out, or the server gives no more. Of the reserve alone: a pool
    /// without room is [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted), a full server
    /// [`FailureClass::Exhausted`](crate::FailureClass::Exhausted).
    Exhausted,
    /// The circuit breaker of a tier is open.
    CircuitOpen,
    /// Lending of a tier is suspended ([`Pool::suspend`](crate::Pool::suspend)).
    Suspended,
    /// A tier has been closed, or both.
    Closed,
}

impl Verdict {
    /// The name used in messages and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Healthy => "healthy",
            Verdict::Unknown => "unknown",
            Verdict::Unreachable => "unreachable",
            Verdict::Exhausted => "exhausted",
            Verdict::CircuitOpen => "circuit open",
            Verdict::Suspended => "suspended",
            Verdict::Closed => "closed",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much of a tier is in use. Whatever it is, the pool may be healthy: a batch is meant to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Load {
    /// Within the base size, and less than 90 % of the ceiling.
    Normal,
    /// More than the base size, and less than 90 % of the ceiling.
    Overflow,
    /// 90 % of the ceiling or more.
    High,
}

impl Load {
    /// The name used in messages and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Load::Normal => "normal",
            Load::Overflow => "overflow",
            Load::High => "high",
        }
    }

    pub(super) fn of(tier: &Stats, high_percent: f64) -> Self {
        let in_use = tier.gauges.in_use;
        if utilization(in_use, tier.ceiling) >= high_percent {
            Load::High
        } else if in_use > tier.base_size {
            Load::Overflow
        } else {
            Load::Normal
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
