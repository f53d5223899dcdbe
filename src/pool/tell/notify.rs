//! Telling the world: events, log lines, and keeping foreign code's panics where they belong.

use std::sync::Arc;

use log::Level;
use r2d2::ManageConnection;

use crate::event::{Event, EventReceiver};
use crate::foreign::caught;
use crate::lines::{is_on, say};
use crate::pool::parts::sinks::Warning;
use crate::pool::shared::Shared;

/// Calls foreign code. A panic in it is caught, counted and logged with the name of what was called: the same not again
/// for a while, since some of it is called at each checkout.
#[inline]
pub(crate) fn guarded<M: ManageConnection, T>(
    shared: &Shared<M>,
    what: &'static str,
    call: impl FnOnce() -> T,
) -> Result<T, Box<str>> {
    // Unwind safety: what the call may leave half-changed is the connection, which is closed then, or the user's
    // own state, which is theirs to keep.
    caught(call).map_err(|text| panicked(shared, what, &text))
}

#[cold]
fn panicked<M: ManageConnection>(shared: &Shared<M>, what: &'static str, text: &str) -> Box<str> {
    shared.counters.user_panics.bump();
    let text = format!("{what} panicked: {text}");
    if is_on(Level::Error, || shared.origin()) && shared.sinks.may_log_panic(what, shared.now()) {
        say!(Level::Error, shared.origin(), [call = what], "{text}");
    }
    text.into()
}

/// Delivers an event, which is made only where somebody listens. Called with no lock held.
pub(crate) fn emit<M: ManageConnection>(shared: &Shared<M>, event: impl FnOnce() -> Event) {
    if !shared.fast.is_noisy() {
        return;
    }
    let event = event();
    send(shared, &event);
    handle(shared, event);
}

fn send<M: ManageConnection>(shared: &Shared<M>, event: &Event) {
    let lost = shared.sinks.send(event, |noisy| shared.fast.set_noisy(noisy));
    if lost > 0 {
        shared.counters.events_lost.add(lost);
    }
}

fn handle<M: ManageConnection>(shared: &Shared<M>, event: Event) {
    if let Some(handler) = shared.sinks.handler() {
        let _ = guarded(shared, "the event handler", || event.deliver(handler));
    }
}

/// Delivers an event from a thread that must not be held up by a handler, such as the keeper: the handler is called on
/// a thread that does nothing else.
pub(crate) fn emit_aside<M: ManageConnection>(shared: &Arc<Shared<M>>, event: impl FnOnce() -> Event) {
    if !shared.fast.is_noisy() {
        return;
    }
    let event = event();
    send(shared, &event);
    if shared.sinks.handler().is_none() {
        return;
    }
    let Some(pending) = shared.sinks.begin_pending() else {
        shared.counters.events_lost.bump();
        return;
    };
    let pool = Arc::clone(shared);
    shared.helpers.tell(move || {
        handle(&pool, event);
        drop(pending);
    });
}

pub(crate) fn subscribe<M: ManageConnection>(shared: &Shared<M>, capacity: usize) -> EventReceiver {
    shared.sinks.subscribe(capacity, || shared.fast.set_noisy(true))
}

/// Whether a warning may be logged now; if so, the same kind not again for a while.
pub(crate) fn may_warn<M: ManageConnection>(shared: &Shared<M>, warning: Warning) -> bool {
    is_on(Level::Warn, || shared.origin()) && shared.sinks.may_log(warning, shared.now())
}
