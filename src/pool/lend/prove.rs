//! Proving a connection about to be lent, within what is left of the caller's time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::call::{Call, Failure};
use crate::core::Outcome;
use crate::pool::fitness::aside::{Caller, send_aside};
use crate::pool::fitness::judge::{perform, probe, validation_of};
use crate::pool::fitness::suspect::found_dead;
use crate::pool::parts::errand::Check;
use crate::pool::shared::{Checked, Entry};
use crate::pool::supply::outcome::ping_timed_out;
use crate::pool::tell::notify::guarded;

/// What a validation came to.
pub(crate) enum Proof<M: ManageConnection> {
    Checked(Checked<M>),
    /// A helper still has the connection, and puts it back or gives it up.
    Gone,
}

/// Validates a connection: by a look at it where that says enough, else on the caller's thread where the driver bounds
/// itself and there is time for its whole limit.
pub(crate) fn prove<M: ManageConnection>(call: &Call, mut entry: Box<Entry<M>>) -> Result<Proof<M>, Failure> {
    let shared = Arc::clone(&entry.shared);
    let limit = shared.settings().validation_timeout;
    let left = match call.deadline {
        // One that does not wait still has its connection validated: that is not waiting for somebody else.
        Some(deadline) if !call.waits_for_nothing() => deadline.saturating_duration_since(Instant::now()),
        _ => limit,
    };
    let check = validation_of(&shared, &entry.body);
    let subject = entry.body.subject();
    if let Check::Validate { suspect: false } = check
        && let Some(outcome) = probe(&shared, &mut entry.body, left.min(limit))
    {
        return Ok(Proof::Checked(match outcome {
            Ok(()) => Checked::Fit(entry),
            Err(why) => {
                found_dead(&shared, subject, &why);
                Checked::Dead(entry)
            }
        }));
    }
    // A caller in a hurry must not make a slow answer look like a dead connection.
    let is_bounded = guarded(&shared, "is_bounded", || shared.hooks.is_bounded()).unwrap_or(false);
    if !is_bounded || left < limit {
        return prove_aside(call, entry, check, limit);
    }
    let begun = Instant::now();
    let card = shared.card(entry.seat.index());
    card.prove_begins(shared.now());
    let outcome = perform(&shared, &mut entry.body, check, limit);
    card.prove_ends();
    Ok(Proof::Checked(match outcome {
        Ok(()) => Checked::Fit(entry),
        Err(why) => {
            if begun.elapsed() >= limit {
                ping_timed_out(&shared, limit);
            }
            found_dead(&shared, subject, &why);
            Checked::Dead(entry)
        }
    }))
}

fn prove_aside<M: ManageConnection>(
    call: &Call,
    entry: Box<Entry<M>>,
    check: Check,
    limit: Duration,
) -> Result<Proof<M>, Failure> {
    let deadline = if call.waits_for_nothing() { Instant::now().checked_add(limit) } else { call.deadline };
    let caller = Arc::new(Caller::<M>::new());
    send_aside(entry, check, Some(Arc::clone(&caller)));
    match caller.wait(deadline) {
        Outcome::Served(checked) => Ok(Proof::Checked(*checked)),
        Outcome::Refused(()) => Ok(Proof::Gone),
        Outcome::Nothing => Err(Failure::Timeout { left: None }),
    }
}
