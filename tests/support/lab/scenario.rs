//! A fault as plain values: how it begins and ends, and the bars that hold meanwhile and afterwards.

use std::time::Duration;

use super::stage::{Stage, Way};
use super::subject::{Failure, GRACE, SOCKET_TIMEOUT};

/// One fault.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// As in the list of faults, such as `F7c`.
    pub name: &'static str,
    pub title: &'static str,
    pub way: Way,
    /// The pause of each worker between two pieces of work.
    pub think: Duration,
    pub begin: fn(&Stage),
    /// From the end of `begin` to the begin of `end`.
    pub lasts: Duration,
    pub end: fn(&Stage),
    pub bars: Bars,
}

/// What must hold besides what holds in every scenario.
#[derive(Clone, Copy)]
pub struct Bars {
    /// The longest block in a query; none where only the server could end it.
    pub query: Option<Duration>,
    /// The most checkouts that may fail.
    pub checkouts_failed: Option<usize>,
    /// The bar before this holds for an outage no longer than this: after it the breaker may open.
    pub short_outage: Duration,
    /// The most queries that may fail.
    pub queries_failed: Option<usize>,
    /// From when recovery counts.
    pub recovers_from: Moment,
    /// Until the first piece of work begun after that is done.
    pub first: Duration,
    /// Until work goes at full speed.
    pub full: Duration,
    /// Whether a failed checkout tells the right cause, from the first failed attempt to connect on.
    pub cause: fn(&Failure) -> bool,
    /// From how long after the begin of the fault a checkout fails at once, if it fails.
    pub refuses_after: Option<Duration>,
    /// The most attempts to connect from one second after the begin of the fault, and twice the machine's stall, to its
    /// end.
    pub attempts: Option<u64>,
    /// The most connections replaced for leading to the wrong server.
    pub evicted: Option<u64>,
    /// What an operator must find in the log.
    pub says: &'static [&'static str],
    /// The log has fewer lines than this.
    pub log_lines: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Begin,
    End,
}

/// The bars of a fault that the pool gets over within a second.
pub const BARS: Bars = Bars {
    // A margin for the way there and back beside the limit itself.
    query: Some(SOCKET_TIMEOUT.saturating_add(GRACE)),
    checkouts_failed: None,
    short_outage: Duration::MAX,
    queries_failed: None,
    recovers_from: Moment::End,
    first: Duration::from_secs(1),
    full: Duration::from_secs(1),
    cause: |failure| failure.names_cause,
    refuses_after: None,
    attempts: None,
    evicted: Some(0),
    says: &[],
    log_lines: Some(10),
};

impl Scenario {
    /// Whether its workers do too little in a second for a speed to be measured.
    pub fn is_slow(&self) -> bool {
        self.think >= Duration::from_secs(1)
    }

    /// The same fault over another way.
    pub const fn over(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// The same fault with other bars.
    pub const fn held_to(mut self, bars: Bars) -> Self {
        self.bars = bars;
        self
    }
}
