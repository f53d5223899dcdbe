//! The verdict on both tiers: healthy only where that has been seen. And the load, which is another matter.

use std::fmt;
use std::time::Duration;

use crate::config::utilization;
use crate::stats::{BreakerState, Contact, Stats};

/// A server seen within this counts as being there. The keepalive of idle connections, by default, comes in less.
pub(super) const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// The percentage of its ceiling in use from which on the load of a tier is called high.
pub(super) const HIGH_LOAD: f64 = 90.0;

/// What is known of the server that both tiers lead to.
pub(super) fn contact_of_both(automation: &Stats, adhoc: &Stats) -> Contact {
    automation.contact.clone().or_newer(adhoc.contact.clone())
}

/// Whether a tiered pool can do what it promises: the one verdict of the status box, `is_healthy` and exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Verdict {
    /// There is a connection for ad-hoc work, the circuit breaker is closed, and the server was seen within 60 s.
    Healthy,
    /// Nothing was heard of the server within 60 s, neither good nor bad.
    Unknown,
    /// What was tried last has failed, or an answer is due for so long that errors say that the server does not answer:
    /// an attempt to connect, a validation that got no answer in time, a question to the server. A connection found
    /// dead says nothing of the server, which may have closed it.
    Unreachable,
    /// No connection is left for ad-hoc work: all are out, or the server gives no more.
    Exhausted,
    /// The circuit breaker of a tier is open.
    CircuitOpen,
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

/// A number of connections, as a person writes it.
pub(super) fn connections(count: u32) -> String {
    format!("{count} connection{}", if count == 1 { "" } else { "s" })
}

/// What is left of the reserve, where that is not all of it.
pub(super) fn free_now(left: u32, reserved: u32) -> String {
    if left < reserved { format!(", {left} free now") } else { String::new() }
}

/// The verdict and what it rests on.
pub(super) struct Judgement {
    pub verdict: Verdict,
    pub message: String,
    /// Ad-hoc connections that nobody has, and that can be had.
    pub guaranteed: u32,
}

impl Judgement {
    pub(super) fn of(automation: &Stats, adhoc: &Stats, reserved: u32, contact: &Contact) -> Self {
        // Its ceiling is less while its growth waits for the other tier to close what it has above its own.
        let left = reserved.min(adhoc.ceiling).saturating_sub(adhoc.gauges.in_use);
        let tiers = [automation, adhoc];
        let cause = |stats: &Stats| stats.last_open_failure.clone();
        let open = tiers.into_iter().find(|stats| stats.breaker != BreakerState::Closed);
        // Of a tier that has none at hand and could not open one, nothing is guaranteed.
        let adhoc_is_cut_off = cause(adhoc).filter(|_| adhoc.gauges.idle == 0);
        let guaranteed = if open.is_some() || adhoc_is_cut_off.is_some() { 0 } else { left };
        let (verdict, message) = if let Some(open) = open {
            let cause = cause(open).or_else(|| tiers.into_iter().find_map(cause));
            let cause = cause.unwrap_or_else(|| "no cause known".to_owned());
            (Verdict::CircuitOpen, format!("Circuit open: {cause}"))
        } else if contact.failure.is_some() {
            (Verdict::Unreachable, format!("Unreachable: {contact}"))
        } else if left == 0 {
            (Verdict::Exhausted, "EXHAUSTED: no connection left for ad-hoc work".to_owned())
        } else if let Some(cause) = adhoc_is_cut_off {
            (Verdict::Exhausted, format!("EXHAUSTED: no connection for ad-hoc work can be opened: {cause}"))
        } else if contact.is_within(SEEN_WITHIN) {
            // What is promised is the whole reserve; what somebody has of it just now is no breach of that.
            let promised = connections(reserved);
            let rest = free_now(guaranteed, reserved);
            (Verdict::Healthy, format!("Healthy: {promised} always available for ad-hoc work{rest}"))
        } else {
            (Verdict::Unknown, format!("Unknown: the server was {contact}"))
        };
        Judgement { verdict, message, guaranteed }
    }
}
