//! Who is told of events, and how often the log is.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::counters::{Counted, Gauge};
use crate::clock::{AtomicMillis, Millis};
use crate::event::{Event, EventReceiver, EventSender, HandleEvent};

/// Log lines of one kind are at least this far apart, so that an outage is not told once for each worker.
const QUIET: Millis = Millis::new(10_000);

/// Events that may wait for their handler before further ones are lost to it.
const MOST_PENDING: u32 = 1024;

/// Kinds of warnings that many threads may have reason to give at once.
#[derive(Clone, Copy)]
pub(crate) enum Warning {
    Slow,
    OpenFailed,
    Dead,
    /// Told once: what looks like a deadlock may be the way in which a program works.
    Deadlock,
}

/// Who is told of events.
pub(crate) struct Sinks {
    handler: Option<Box<dyn HandleEvent>>,
    /// Locked for a moment to send; a send never blocks.
    channels: RwLock<Vec<EventSender>>,
    /// When the next line of each [`Warning`] may be logged.
    quiet_until: [AtomicMillis; 4],
    /// The same of panics, by what of the user's was called. Locked for a look.
    panics_quiet_until: Mutex<Vec<(&'static str, Millis)>>,
    /// Events that wait for the handler to be called with them on a thread of its own.
    pending: Gauge,
    /// It was told that the pool is ready.
    told_ready: AtomicBool,
}

impl Sinks {
    pub(crate) fn new(handler: Option<Box<dyn HandleEvent>>) -> Self {
        Sinks {
            handler,
            channels: RwLock::new(Vec::new()),
            quiet_until: std::array::from_fn(|_| AtomicMillis::new(Millis::ZERO)),
            panics_quiet_until: Mutex::default(),
            pending: Gauge::default(),
            told_ready: AtomicBool::new(false),
        }
    }

    /// Whether it was told that the pool is ready.
    pub(crate) fn was_ready(&self) -> bool {
        // Relaxed: as below, and whoever finds it unset asks again by setting it.
        self.told_ready.load(Ordering::Relaxed)
    }

    /// Whether this is the first time that the pool is ready.
    pub(crate) fn is_first_ready(&self) -> bool {
        // Relaxed: a flag on its own.
        !self.told_ready.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn handler(&self) -> Option<&dyn HandleEvent> {
        self.handler.as_deref()
    }

    pub(crate) fn is_noisy(&self) -> bool {
        self.handler.is_some() || !self.channels.read().is_empty()
    }

    /// Adds a channel. `noisy` is called with the channels locked, so that a subscription and the end of another take
    /// effect in one order.
    pub(crate) fn subscribe(&self, capacity: usize, noisy: impl FnOnce()) -> EventReceiver {
        let (sender, receiver) = EventSender::pair(capacity);
        let mut channels = self.channels.write();
        channels.push(sender);
        noisy();
        receiver
    }

    /// Sends an event to all who still listen, and returns how many older ones were lost for it. Where somebody has
    /// left, `noisy` is told whether anybody remains, with the channels locked.
    pub(crate) fn send(&self, event: &Event, noisy: impl FnOnce(bool)) -> u64 {
        let mut lost = 0;
        let mut deaf = false;
        for channel in self.channels.read().iter() {
            if channel.has_listener() {
                lost += channel.send(event.clone());
            } else {
                deaf = true;
            }
        }
        if deaf {
            let mut channels = self.channels.write();
            channels.retain(EventSender::has_listener);
            noisy(self.handler.is_some() || !channels.is_empty());
        }
        lost
    }

    /// Counts an event that waits for the handler; `None` where too many do.
    pub(crate) fn begin_pending(&self) -> Option<Counted> {
        self.pending.enter_below(MOST_PENDING)
    }

    /// Whether a line of this kind may be logged now; if so, the next not for a while.
    pub(crate) fn may_log(&self, warning: Warning, now: Millis) -> bool {
        let next = if matches!(warning, Warning::Deadlock) { Millis::NEVER } else { now.plus(QUIET) };
        // At worst two lines instead of one.
        self.quiet_until[warning as usize].pass(now, next)
    }

    /// Whether a panic in this call may be logged now; if so, the next in the same not for a while.
    pub(crate) fn may_log_panic(&self, what: &'static str, now: Millis) -> bool {
        let mut known = self.panics_quiet_until.lock();
        match known.iter_mut().find(|(name, _)| *name == what) {
            Some((_, until)) if now < *until => false,
            Some((_, until)) => {
                *until = now.plus(QUIET);
                true
            }
            None => {
                known.push((what, now.plus(QUIET)));
                true
            }
        }
    }
}
