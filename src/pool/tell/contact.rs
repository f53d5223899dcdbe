//! Whether the server has been seen: what the pool has noted, what its connections have heard, and what waits for an
//! answer.

use std::time::Duration;

use r2d2::ManageConnection;

use super::notify::guarded;
use super::observe::{opening, resetting, validating};
use crate::clock::Millis;
use crate::pool::driver::control::SessionControl;
use crate::pool::shared::Shared;
use crate::stats::{Contact, ContactFailure};
use crate::text::Time;

/// A silence is a whole number of milliseconds as the clock is, and what it is reckoned from may be one later.
const GRAIN: Millis = Millis::new(1);

/// A validation or a reset that takes longer is not slow any more: whoever is asked does not answer. Far more than an
/// answer takes on any network. Opening is another matter: a cold server takes seconds over it, so there the attempt's
/// own limit is the measure.
const SILENT_AFTER: Duration = Duration::from_secs(1);

/// By so much what waits may have been begun later than is told: the coarse clock's tick, and the calls in between.
/// What was heard at that time was an answer to something before it.
const UNCERTAIN: Duration = Duration::from_millis(50);

/// What is known of the server, without asking it.
pub(crate) fn contact<M: ManageConnection>(shared: &Shared<M>) -> Contact {
    let known = heard(shared);
    match unanswered(shared) {
        None => known,
        Some(unanswered) => known.or_newer(unanswered),
    }
}

/// Whether the server does not answer: something has waited for it for long, and nothing was heard of it since.
pub(crate) fn does_not_answer<M: ManageConnection>(shared: &Shared<M>) -> bool {
    let Some(unanswered) = unanswered(shared) else { return false };
    let known = Contact { failure: None, ..heard(shared) };
    known.or_newer(unanswered).failure.is_some()
}

/// What has been noted, with what the connections have heard.
fn heard<M: ManageConnection>(shared: &Shared<M>) -> Contact {
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

/// What waits longest for an answer, if for so long that it counts as a failure to reach the server already.
fn unanswered<M: ManageConnection>(shared: &Shared<M>) -> Option<Contact> {
    let checks = [("a validation", validating(shared)), ("a reset", resetting(shared))];
    let silent = checks.into_iter().filter(|(_, work)| work.longest >= SILENT_AFTER);
    let opening = Some(("an attempt to connect", opening(shared))).filter(|(_, work)| work.is_past_half);
    let (what, work) = silent.chain(opening).max_by_key(|(_, work)| work.longest)?;
    let cause = format!("{what} has had no answer for {}", Time(work.longest));
    let begun = work.longest.saturating_sub(UNCERTAIN);
    let failure = ContactFailure::new(begun, Duration::ZERO, cause);
    Some(Contact { last_seen: None, failure: Some(failure) })
}
