//! When a connection may be opened: back-off, permanent failures, circuit breaker, slow start. A plain state
//! machine that is told the time, so that every rule can be tested without waiting.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Millis;
use crate::config::Settings;
use crate::error::{FailureClass, OpenFailure, Outage};
use crate::stats::BreakerState;

/// The first back-off; doubled by each failure in a row.
const BACKOFF_FIRST: Millis = Millis::new(200);
/// The longest back-off.
const BACKOFF_LAST: Millis = Millis::new(5_000);
/// The distance of attempts after a permanent failure: slow enough that no account is locked for wrong passwords.
const PERMANENT: Millis = Millis::new(30_000);
/// The part of `open_for` after which an open breaker probes first.
const FIRST_PROBE: u64 = 20;
/// From the begin of one probe to the next it is this part of the outage so far, up to `open_for`: whatever the length
/// of an outage, noticing its end adds an eighth to it at the most.
const PROBE_PART: u64 = 8;

/// What may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// So many may be in the making at a time.
    Open(usize),
    /// One, to see whether the server is back, wanted or not.
    Probe,
    /// Nothing before this time.
    NotBefore(Millis),
    /// Nothing until the probe on its way has ended.
    AwaitProbe,
}

/// What a failure calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Nothing: waiters wait on.
    None,
    /// The breaker has opened: all waiters fail, and whoever would have to wait from now on.
    Opened,
    /// It stays open, for a newer cause.
    StillOpen,
    /// It has closed: the server answered, though with a refusal.
    Closed,
    /// The cause is permanent: all present waiters fail with it.
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Closed,
    Open { since: Millis },
    Probing { since: Millis },
}

/// The policy of opening connections, with its memory of failures.
#[derive(Debug)]
pub(crate) struct Breaker {
    threshold: u32,
    open_for: Millis,
    concurrency: usize,
    mode: Mode,
    /// Failures that count towards the threshold, in a row.
    strikes: u32,
    /// When the last failure of any class came, since a success. What began by then is no further sign: several
    /// attempts at a time fail for one cause, and would open the breaker, or have the back-off at its longest, at the
    /// first hiccup.
    struck_at: Option<Millis>,
    /// Failed attempts of any class since one last succeeded.
    attempts: u64,
    /// None has succeeded since one failed, or was not made since the last failure still holds.
    is_failing: bool,
    backoff: Millis,
    not_before: Millis,
    /// Attempts that may be in the making at a time: 1 after a failure, doubled by each success.
    ramp: usize,
    permanent: bool,
    last: Option<Arc<OpenFailure>>,
    /// The last failure before a success, for those whose time ran out soon after it.
    past: Option<Arc<OpenFailure>>,
    openings: u64,
}

impl Breaker {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut breaker = Breaker {
            threshold: 0,
            open_for: Millis::ZERO,
            concurrency: 1,
            mode: Mode::Closed,
            strikes: 0,
            struck_at: None,
            attempts: 0,
            is_failing: false,
            backoff: Millis::ZERO,
            not_before: Millis::ZERO,
            ramp: usize::MAX,
            permanent: false,
            last: None,
            past: None,
            openings: 0,
        };
        breaker.reconfigure(settings);
        breaker
    }

    /// Adopts settings. True where that switched an open breaker off.
    pub(crate) fn reconfigure(&mut self, settings: &Settings) -> bool {
        self.threshold = settings.failure_threshold;
        self.open_for = Millis::of(settings.open_for).max(Millis::new(1));
        self.concurrency = settings.open_concurrency as usize;
        let lifted = self.threshold == 0 && self.mode != Mode::Closed;
        if lifted {
            self.mode = Mode::Closed;
        }
        lifted
    }

    pub(crate) fn advice(&self, now: Millis) -> Advice {
        match self.mode {
            Mode::Probing { .. } => Advice::AwaitProbe,
            _ if now < self.not_before => Advice::NotBefore(self.not_before),
            Mode::Open { .. } => Advice::Probe,
            Mode::Closed => Advice::Open(self.ramp.min(self.concurrency)),
        }
    }

    /// Takes up the advice to probe.
    pub(crate) fn begin_probe(&mut self) {
        if let Mode::Open { since } = self.mode {
            self.mode = Mode::Probing { since };
        }
    }

    /// A probe ended without telling anything, since there was no capacity for it: demand may try again.
    pub(crate) fn probe_abandoned(&mut self) {
        if matches!(self.mode, Mode::Probing { .. }) {
            self.mode = Mode::Closed;
            // One more failure opens it again.
            self.strikes = self.threshold.saturating_sub(1);
            self.ramp = 1;
        }
    }

    /// A connection was opened. True where waiters had been refused until now.
    pub(crate) fn succeeded(&mut self) -> bool {
        let refused = self.mode != Mode::Closed || self.permanent;
        self.ramp = if refused { 1 } else { self.ramp.saturating_mul(2) };
        self.mode = Mode::Closed;
        (self.strikes, self.attempts, self.is_failing) = (0, 0, false);
        (self.backoff, self.not_before) = (Millis::ZERO, Millis::ZERO);
        self.struck_at = None;
        self.permanent = false;
        self.past = self.last.take().or(self.past.take());
        refused
    }

    /// An attempt that began at `begun` failed; `probe` where it was the one. `spread` is a random number from 0 to 1
    /// that keeps many programs out of step.
    pub(crate) fn failed(
        &mut self,
        now: Millis,
        begun: Millis,
        failure: Arc<OpenFailure>,
        spread: f64,
        probe: bool,
    ) -> Reaction {
        let class = failure.class();
        self.attempts += u64::from(failure.was_tried());
        self.is_failing = true;
        self.ramp = 1;
        self.last = Some(failure);
        self.permanent = class == FailureClass::Permanent;
        let opened = matches!(self.mode, Mode::Open { .. } | Mode::Probing { .. });
        if opened && class != FailureClass::Exhausted {
            // One that began before the breaker opened says nothing new: the probe decides.
            return if probe { self.probe_failed(now, begun, class) } else { Reaction::None };
        }
        if !opened && class != FailureClass::Permanent && !self.is_news(begun) {
            return Reaction::None;
        }
        self.struck_at = Some(now);
        self.backoff = self.backoff.plus(self.backoff).clamp(BACKOFF_FIRST, BACKOFF_LAST);
        // From three quarters of the back-off to all of it, and never less than the first.
        let jitter = Millis::new((self.backoff.get() as f64 / 4.0 * spread) as u64);
        self.not_before = now.plus(self.backoff.since(jitter).max(BACKOFF_FIRST));
        match class {
            FailureClass::Permanent => {
                self.strikes = 0;
                self.not_before = now.plus(PERMANENT);
                Reaction::Refuse
            }
            FailureClass::Exhausted => {
                // The server is there. Whoever waits may get a returned connection.
                self.strikes = 0;
                self.mode = Mode::Closed;
                if opened { Reaction::Closed } else { Reaction::None }
            }
            FailureClass::Transient => self.strike(now),
        }
    }

    fn probe_failed(&mut self, now: Millis, begun: Millis, class: FailureClass) -> Reaction {
        if let Mode::Open { since } | Mode::Probing { since } = self.mode {
            self.mode = Mode::Open { since };
            let part = Millis::new(now.since(since).get() / PROBE_PART);
            let interval = part.clamp(self.first_probe(), self.open_for);
            // From its begin on: one that got no answer has cost its whole limit already.
            self.not_before = match class {
                FailureClass::Permanent => now.plus(interval.max(PERMANENT)),
                _ => begun.plus(interval).max(now),
            };
        }
        Reaction::StillOpen
    }

    fn first_probe(&self) -> Millis {
        Millis::new(self.open_for.get() / FIRST_PROBE).max(BACKOFF_FIRST).min(self.open_for)
    }

    /// Whether an attempt that began at `begun` tells more than the last failure did. One refused within the
    /// millisecond in which it began may have begun together with that: what comes after a failure is a back-off away.
    fn is_news(&self, begun: Millis) -> bool {
        self.struck_at.is_none_or(|struck_at| begun > struck_at)
    }

    /// A validation that began at `begun` did not answer in time: as bad a sign as a connection that cannot be opened.
    pub(crate) fn ping_timed_out(
        &mut self,
        now: Millis,
        begun: Millis,
        failure: Arc<OpenFailure>,
    ) -> Reaction {
        self.last = Some(failure);
        // It has lasted for its whole limit, so a burst of them has begun before the first of it fails.
        if self.struck_at.is_some_and(|struck_at| begun < struck_at) {
            return Reaction::None;
        }
        self.struck_at = Some(now);
        self.strike(now)
    }

    /// A validation was answered: those that were not are no longer in a row.
    pub(crate) fn ping_answered(&mut self) {
        if !self.is_failing && self.mode == Mode::Closed {
            (self.strikes, self.struck_at) = (0, None);
            self.past = self.last.take().or(self.past.take());
        }
    }

    fn strike(&mut self, now: Millis) -> Reaction {
        self.strikes = self.strikes.saturating_add(1);
        if self.threshold == 0 || self.strikes < self.threshold || self.mode != Mode::Closed {
            return Reaction::None;
        }
        self.mode = Mode::Open { since: now };
        self.not_before = now.plus(self.first_probe());
        self.openings += 1;
        Reaction::Opened
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.mode {
            Mode::Closed => BreakerState::Closed,
            Mode::Open { .. } => BreakerState::Open,
            Mode::Probing { .. } => BreakerState::Probing,
        }
    }

    pub(crate) fn openings(&self) -> u64 {
        self.openings
    }

    pub(crate) fn attempts(&self) -> u64 {
        self.attempts
    }

    /// The last failure since a success, for the errors of those who wait.
    pub(crate) fn last(&self) -> Option<&Arc<OpenFailure>> {
        self.last.as_ref()
    }

    /// The last failure that a caller has waited through, which a success may have followed since: it is why the time
    /// of one who still got nothing ran out.
    pub(crate) fn last_within(&self, waited: Duration) -> Option<&Arc<OpenFailure>> {
        self.last.as_ref().or_else(|| self.past.as_ref().filter(|past| past.age() <= waited))
    }

    /// How long callers have been refused, and how long it is until the next attempt.
    pub(crate) fn outage(&self, now: Millis) -> Option<Outage> {
        let next_attempt_in = self.not_before.since(now).duration();
        match self.mode {
            Mode::Open { since } | Mode::Probing { since } => {
                Some(Outage { since: now.since(since).duration(), next_attempt_in })
            }
            Mode::Closed => None,
        }
    }

    /// Whether the last cause is permanent.
    pub(crate) fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// Whether the server had no connection left at the last attempt, and the next is still to come.
    pub(crate) fn is_server_full(&self, now: Millis) -> bool {
        now < self.not_before
            && self.last.as_ref().is_some_and(|last| last.class() == FailureClass::Exhausted)
    }

    /// Ends the pause after attempts for which there was no room; after any other failure it stays.
    #[cfg(feature = "postgres")]
    pub(crate) fn forget_fullness(&mut self, now: Millis) {
        if self.mode == Mode::Closed && self.is_server_full(now) {
            (self.backoff, self.not_before) = (Millis::ZERO, Millis::ZERO);
        }
    }

    /// Whether the last cause is permanent and the next attempt is still far off.
    pub(crate) fn is_locked(&self, now: Millis) -> bool {
        self.permanent && now < self.not_before
    }
}

#[cfg(test)]
mod tests;
