//! A look whether the other side is still there, step by step.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use super::exchange::Pending;

const OFF: u8 = 0;
const ASKED: u8 = 1;
const TURNED: u8 = 2;
const SETTLING: u8 = 3;
/// Settling, and it was the client's turn when it was last asked.
const CLIENT_ASKED: u8 = 4;

/// Stands for "nothing is drained" in [`Probe::may_drain`].
const NO_LIMIT: u64 = u64::MAX;

/// A probe of the connection, asked for by its owner and taken on by the stream. With the orderings of
/// [`WireState`](super::WireState).
pub(crate) struct Probe {
    step: AtomicU8,
    /// Bytes that may still be read of a reply that is drained; `NO_LIMIT` while none is.
    may_drain: AtomicU64,
    /// Until when, as [`WireState::now`](super::WireState::now).
    drain_until: AtomicU64,
}

impl Default for Probe {
    fn default() -> Self {
        Probe {
            step: AtomicU8::new(OFF),
            may_drain: AtomicU64::new(NO_LIMIT),
            drain_until: AtomicU64::new(0),
        }
    }
}

/// What the stream does next for a probe.
pub(crate) enum ProbeStep {
    Turn,
    End,
}

impl Probe {
    pub fn start(&self) {
        self.step.store(ASKED, Relaxed);
    }

    /// A probe that ends when no reply is pending, or none can come: in a `COPY` to the server that the client does not
    /// go on with.
    pub fn start_settling(&self) {
        self.step.store(SETTLING, Relaxed);
    }

    /// The same for a reply of which nobody wants more than its end, with that many bytes as the most, and up to that
    /// time.
    pub fn start_draining(&self, most: u64, until: u64) {
        self.may_drain.store(most, Relaxed);
        self.drain_until.store(until, Relaxed);
        self.start_settling();
    }

    pub fn end(&self) {
        self.step.store(OFF, Relaxed);
        self.may_drain.store(NO_LIMIT, Relaxed);
    }

    /// Takes note of bytes that have come.
    pub fn drained(&self, count: usize) {
        let may_drain = self.may_drain.load(Relaxed);
        if may_drain != NO_LIMIT {
            // Only the stream counts, so load and store lose nothing.
            self.may_drain.store(may_drain.saturating_sub(count as u64), Relaxed);
        }
    }

    /// Whether no more is to be read of a reply that is drained, for its bytes or for its time.
    pub fn is_drained_enough(&self, now: impl FnOnce() -> u64) -> bool {
        match self.may_drain.load(Relaxed) {
            NO_LIMIT => false,
            left => left == 0 || now() >= self.drain_until.load(Relaxed),
        }
    }

    /// Called when there is nothing to read. The first time it wants the reactor turned, which brings in what the
    /// kernel has; when there is nothing to read after that either, the connection is up, and the stream ends the
    /// probe.
    pub fn step(&self, pending: impl FnOnce() -> Pending) -> Option<ProbeStep> {
        match self.step.load(Relaxed) {
            ASKED => {
                self.step.store(TURNED, Relaxed);
                Some(ProbeStep::Turn)
            }
            TURNED => Some(ProbeStep::End),
            step @ (SETTLING | CLIENT_ASKED) => match pending() {
                Pending::Nothing => Some(ProbeStep::End),
                Pending::Server => None,
                // The client writes after it has read, so with the next turn it has sent what it has to send.
                Pending::Client if step == SETTLING => {
                    self.step.store(CLIENT_ASKED, Relaxed);
                    Some(ProbeStep::Turn)
                }
                Pending::Client => Some(ProbeStep::End),
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(probe: &Probe, pending: Pending) -> &'static str {
        match probe.step(|| pending) {
            Some(ProbeStep::Turn) => "turn",
            Some(ProbeStep::End) => "end",
            None => "wait",
        }
    }

    #[test]
    fn a_copy_is_given_one_turn_to_be_ended_by_the_client() {
        let probe = Probe::default();
        probe.start_settling();
        assert_eq!(step(&probe, Pending::Client), "turn");
        assert_eq!(step(&probe, Pending::Server), "wait", "it has ended it, and the answer is due");
        assert_eq!(step(&probe, Pending::Nothing), "end");

        probe.start_settling();
        assert_eq!(step(&probe, Pending::Client), "turn");
        assert_eq!(step(&probe, Pending::Client), "end", "it has nothing to say");
    }

    #[test]
    fn a_drained_reply_has_an_end() {
        let probe = Probe::default();
        probe.drained(usize::MAX);
        assert!(!probe.is_drained_enough(|| u64::MAX), "nobody drains");
        probe.start_draining(10, 100);
        probe.drained(9);
        assert!(!probe.is_drained_enough(|| 99));
        assert!(probe.is_drained_enough(|| 100), "too late");
        probe.drained(2);
        assert!(probe.is_drained_enough(|| 0), "too much");
        probe.end();
        assert!(!probe.is_drained_enough(|| u64::MAX));
    }
}
