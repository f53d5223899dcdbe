//! Whether the server has been seen: what the pool has noted, and what its connections have heard.

use r2d2::ManageConnection;

use super::notify::guarded;
use crate::clock::Millis;
use crate::pool::driver::control::SessionControl;
use crate::pool::shared::Shared;
use crate::stats::Contact;

/// A silence is a whole number of milliseconds as the clock is, and what it is reckoned from may be one later.
const GRAIN: Millis = Millis::new(1);

/// What is known of the server, without asking it.
pub(crate) fn contact<M: ManageConnection>(shared: &Shared<M>) -> Contact {
    for slot in shared.lending.slots() {
        if let Some(control) = slot.card.present_control() {
            note_heard(shared, &*control);
        }
    }
    shared.supply.contact().told(shared.exact_now())
}

/// Takes note of when a connection last heard of the server.
pub(crate) fn note_heard<M: ManageConnection>(shared: &Shared<M>, control: &dyn SessionControl) {
    if let Ok(Some(silence)) = guarded(shared, "silence", || control.silence()) {
        let at = shared.exact_now().less(Millis::of(silence).plus(GRAIN));
        shared.supply.contact().seen(at);
    }
}
