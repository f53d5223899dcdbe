//! Proving a connection about to be lent, within what is left of the caller's time.

use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::call::{Call, Failure};
use crate::pool::fitness::aside::{Answer, check_for_caller};
use crate::pool::fitness::judge::{perform, probe, validation_of};
use crate::pool::fitness::suspect::found_dead;
use crate::pool::parts::errand::Check;
use crate::pool::shared::{Checked, Entry};
use crate::pool::supply::outcome::ping_timed_out;
use crate::pool::tell::notify::guarded;

/// How long after its deadline a caller may still look at its connection, amid a message of the server's whose rest is
/// on its way: a connection must not seem dead since its caller is in a hurry. Half of the 100 ms in which a call
/// returns.
const GRACE: Duration = Duration::from_millis(50);

/// What a validation came to.
pub(crate) enum Proof<M: ManageConnection> {
    Checked(Checked<M>),
    /// A helper still has the connection, and puts it back or gives it up.
    Gone,
}

/// Validates a connection, on the caller's thread where that can be done there. `now` is the time.
pub(crate) fn prove<M: ManageConnection>(
    call: &Call,
    mut entry: Box<Entry<M>>,
    now: Instant,
) -> Result<Proof<M>, Failure> {
    let limit = entry.shared.fast.validation_timeout();
    let (left, for_a_look) = match call.deadline {
        // One that does not wait still has its connection validated: that is not waiting for somebody else.
        Some(deadline) if !call.waits_for_nothing() => {
            let (left, late) =
                (deadline.saturating_duration_since(now), now.saturating_duration_since(deadline));
            (left, left.saturating_add(GRACE).saturating_sub(late))
        }
        _ => (limit, limit),
    };
    let check = validation_of(&entry.shared, &entry.body);
    let subject = entry.body.subject();
    match prove_here(&mut entry, check, for_a_look.min(limit), left >= limit) {
        None => prove_aside(call, entry, check, limit, now),
        Some(Ok(())) => Ok(Proof::Checked(Checked::Fit(entry))),
        Some(Err(why)) => {
            found_dead(&entry.shared, subject, &why);
            Ok(Proof::Checked(Checked::Dead(entry)))
        }
    }
}

/// Validates by a look at the connection where that says enough, else where the driver bounds itself and there is time
/// for its whole limit. `None` where it cannot be done on the caller's thread. A look writes to nothing that threads
/// share, for it may be part of every checkout.
fn prove_here<M: ManageConnection>(
    entry: &mut Entry<M>,
    check: Check,
    for_a_look: Duration,
    has_time: bool,
) -> Option<Result<(), String>> {
    let Entry { body, seat, shared } = entry;
    // A look is over at once but amid a message, and a helper in its place would cost each caller with little time many
    // times as much.
    if let Check::Validate { suspect: false } = check
        && !for_a_look.is_zero()
        && let Some(outcome) = probe(shared, body, for_a_look)
    {
        return Some(outcome);
    }
    // A caller in a hurry must not make a slow answer look like a dead connection.
    let is_bounded = guarded(shared, "is_bounded", || shared.hooks.is_bounded()).unwrap_or(false);
    if !is_bounded {
        shared.helpers.stand_by(shared.now());
        return None;
    }
    if !has_time {
        return None;
    }
    let limit = shared.fast.validation_timeout();
    let begun = Instant::now();
    let card = shared.card(seat.index());
    card.prove_begins(shared.now());
    let outcome = perform(shared, body, check, limit);
    card.prove_ends();
    if outcome.is_err() && begun.elapsed() >= limit {
        ping_timed_out(shared, limit);
    }
    Some(outcome)
}

fn prove_aside<M: ManageConnection>(
    call: &Call,
    entry: Box<Entry<M>>,
    check: Check,
    limit: Duration,
    now: Instant,
) -> Result<Proof<M>, Failure> {
    let deadline = if call.waits_for_nothing() { now.checked_add(limit) } else { call.deadline };
    match check_for_caller(entry, check, limit, now, deadline) {
        Answer::Checked(checked) => Ok(Proof::Checked(checked)),
        Answer::Gone => Ok(Proof::Gone),
        Answer::Late => Err(Failure::Timeout { left: None }),
    }
}
