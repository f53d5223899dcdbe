//! A look whether the other side is still there, step by step.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

const OFF: u8 = 0;
const ASKED: u8 = 1;
const TURNED: u8 = 2;
const SETTLING: u8 = 3;

/// A probe of the connection, asked for by its owner and taken on by the stream. With the orderings of
/// [`WireState`](super::WireState).
#[derive(Default)]
pub(crate) struct Probe(AtomicU8);

/// What the stream does next for a probe.
pub(crate) enum ProbeStep {
    Turn,
    End,
}

impl Probe {
    pub fn start(&self) {
        self.0.store(ASKED, Relaxed);
    }

    /// A probe that ends when no reply is pending.
    pub fn start_settling(&self) {
        self.0.store(SETTLING, Relaxed);
    }

    pub fn end(&self) {
        self.0.store(OFF, Relaxed);
    }

    /// Called when there is nothing to read. The first time it wants the reactor turned, which brings in what the
    /// kernel has; when there is nothing to read after that either, the connection is up, and the stream ends the
    /// probe.
    pub fn step(&self, is_reply_pending: impl FnOnce() -> bool) -> Option<ProbeStep> {
        match self.0.load(Relaxed) {
            ASKED => {
                self.0.store(TURNED, Relaxed);
                Some(ProbeStep::Turn)
            }
            TURNED => Some(ProbeStep::End),
            SETTLING if !is_reply_pending() => Some(ProbeStep::End),
            _ => None,
        }
    }
}
