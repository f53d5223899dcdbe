//! Who is told of events, and how often the log is.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::event::{EventSender, HandleEvent};

/// Log lines of one kind are at least this far apart, so that an outage is not told once for each worker.
const QUIET_MS: u64 = 10_000;

/// Events that may wait for a helper before further ones are lost.
pub(crate) const MOST_PENDING: u32 = 1024;

/// Who is told of events.
pub(crate) struct Sinks {
    pub(crate) handler: Option<Box<dyn HandleEvent>>,
    /// Locked for a moment to send; a send never blocks.
    pub(crate) channels: RwLock<Vec<EventSender>>,
    /// When the next line of each kind may be logged.
    quiet_until: [AtomicU64; 3],
    /// Events that wait for a helper to deliver them.
    pub(crate) pending: AtomicU32,
}

/// Kinds of warnings that many threads may have reason to give at once.
#[derive(Clone, Copy)]
pub(crate) enum Warning {
    Slow,
    OpenFailed,
    Dead,
}

impl Sinks {
    pub(crate) fn new(handler: Option<Box<dyn HandleEvent>>) -> Self {
        Sinks {
            handler,
            channels: RwLock::new(Vec::new()),
            quiet_until: Default::default(),
            pending: AtomicU32::new(0),
        }
    }

    pub(crate) fn is_noisy(&self) -> bool {
        self.handler.is_some() || !self.channels.read().is_empty()
    }

    /// Whether a line of this kind may be logged now; if so, the next not for a while.
    pub(crate) fn may_log(&self, warning: Warning, now: u64) -> bool {
        let until = &self.quiet_until[warning as usize];
        let next = now + QUIET_MS;
        // Relaxed: at worst two lines instead of one.
        until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |t| (now >= t).then_some(next)).is_ok()
    }
}
