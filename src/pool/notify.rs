//! Telling the world: events, log lines, and keeping foreign code's panics where they belong.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use r2d2::ManageConnection;

use super::shared::{Counters, NOISY, Shared};
use super::sinks::{MOST_PENDING, Warning};
use crate::event::{Event, EventReceiver, EventSender};

/// The text of a panic, where it has one.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

impl<M: ManageConnection> Shared<M> {
    /// Calls foreign code. A panic in it is caught, counted and logged with the name of what was called.
    pub(crate) fn guarded<T>(&self, what: &str, call: impl FnOnce() -> T) -> Result<T, Box<str>> {
        // Unwind safety: what the call may leave half-changed is the connection, which is closed then, or the user's
        // own state, which is theirs to keep.
        catch_unwind(AssertUnwindSafe(call)).map_err(|payload| self.panicked(what, &*payload))
    }

    #[cold]
    fn panicked(&self, what: &str, payload: &(dyn Any + Send)) -> Box<str> {
        Counters::bump(&self.counters.user_panics);
        let text = format!("{what} panicked: {}", panic_text(payload));
        log::error!(target: &self.target(), "{text}");
        text.into()
    }

    pub(crate) fn target(&self) -> String {
        format!("tierpool::{}", self.settings().name)
    }

    /// Whether anybody listens; checked before an event is made.
    #[inline]
    pub(crate) fn is_noisy(&self) -> bool {
        self.fast.care.load(Ordering::Relaxed) & NOISY != 0
    }

    /// Delivers an event. Called with no lock held.
    pub(crate) fn emit(&self, event: impl FnOnce() -> Event) {
        if !self.is_noisy() {
            return;
        }
        let event = event();
        let mut lost = 0;
        let mut deaf = false;
        for channel in self.sinks.channels.read().iter() {
            if channel.has_listener() {
                lost += channel.send(event.clone());
            } else {
                deaf = true;
            }
        }
        if deaf {
            let mut channels = self.sinks.channels.write();
            channels.retain(EventSender::has_listener);
            // Under the lock, so that a subscription made meanwhile is not overlooked.
            let noisy = self.sinks.handler.is_some() || !channels.is_empty();
            self.fast.set_care(NOISY, noisy);
        }
        if lost > 0 {
            self.counters.events_lost.fetch_add(lost, Ordering::Relaxed);
        }
        if let Some(handler) = &self.sinks.handler {
            let _ = self.guarded("the event handler", || event.deliver(&**handler));
        }
    }

    /// Delivers an event from a thread that must not be held up by a handler, such as the keeper: a helper does it.
    pub(crate) fn emit_aside(self: &Arc<Self>, event: impl FnOnce() -> Event) {
        if !self.is_noisy() {
            return;
        }
        let more = |pending: u32| (pending < MOST_PENDING).then_some(pending + 1);
        // Relaxed: a bound; nothing else is published by it.
        if self.sinks.pending.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            Counters::bump(&self.counters.events_lost);
            return;
        }
        let (shared, event) = (Arc::clone(self), event());
        self.closers.submit(Box::new(move || {
            shared.emit(|| event);
            shared.sinks.pending.fetch_sub(1, Ordering::Relaxed);
        }));
    }

    pub(crate) fn subscribe(&self, capacity: usize) -> EventReceiver {
        let (sender, receiver) = EventSender::pair(capacity);
        let mut channels = self.sinks.channels.write();
        channels.push(sender);
        self.fast.set_care(NOISY, true);
        receiver
    }

    /// Logs a warning, but not the same kind again for a while.
    pub(crate) fn warn(&self, warning: Warning, text: impl FnOnce() -> String) {
        if log::max_level() >= log::LevelFilter::Warn
            && log::log_enabled!(target: &self.target(), log::Level::Warn)
            && self.sinks.may_log(warning, self.clock.coarse_ms())
        {
            log::warn!(target: &self.target(), "{}", text());
        }
    }
}
