//! Standing in line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::call::{Call, Failure};
use crate::core::{Joined, Outcome, Waiter};
use crate::pool::parts::line::InLine;
use crate::pool::shared::{Entry, Refusal, Shared};
use crate::pool::supply::close::dispose;
use crate::pool::supply::demand::demand;
use crate::pool::tell::deadlock::completes_deadlock;
use crate::stats::CloseCause;

/// How long a deadlock must last before it is called one.
const DEADLOCK_GRACE: Duration = Duration::from_millis(100);

/// A connection that could not be lent, closed when this is dropped: once its caller stands in line again or has
/// found another, for until then the next connection in its seat would go to somebody behind the caller.
pub(crate) struct Unlendable<M: ManageConnection>(pub(crate) Option<(Box<Entry<M>>, CloseCause)>);

impl<M: ManageConnection> Drop for Unlendable<M> {
    fn drop(&mut self) {
        if let Some((entry, cause)) = self.0.take() {
            dispose(entry, cause);
        }
    }
}

/// Waits in line, with one in hand whose seat is freed only then.
pub(crate) fn stand_in_line<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    call: &mut Call,
    in_hand: Unlendable<M>,
) -> Result<Box<Entry<M>>, Failure> {
    let max_waiting = shared.settings().max_waiting.map(|max| max as usize);
    let joined = shared.lending.join(call.ticket, max_waiting);
    drop(in_hand);
    let (waiter, ticket) = match joined {
        Joined::Got(entry) => return Ok(entry),
        Joined::Full => return Err(Failure::QueueFull),
        Joined::Refused(refusal) => return Err(Failure::Refused(refusal)),
        Joined::Closed => return Err(Failure::Refused(Refusal::Closed)),
        Joined::InLine { waiter, ticket, ahead } => {
            call.ahead.get_or_insert(ahead);
            (waiter, ticket)
        }
    };
    call.ticket = Some(ticket);
    let listed =
        shared.line.list(ticket, InLine { thread: call.thread, location: call.location, since: call.start });
    demand(shared);
    let deadlocked = shared.settings().deadlock_detection && is_deadlocked(shared, call, &waiter);
    let outcome = if deadlocked { waiter.leave() } else { waiter.wait(call.deadline) };
    drop(listed);
    match outcome {
        Outcome::Served(entry) => {
            shared.lending.recycle(waiter);
            Ok(entry)
        }
        Outcome::Refused(refusal) => {
            shared.lending.recycle(waiter);
            Err(Failure::Refused(refusal))
        }
        Outcome::Nothing => {
            let left = shared.lending.ahead_of(ticket);
            shared.lending.forget(waiter, ticket);
            Err(if deadlocked { Failure::Deadlock } else { Failure::Timeout { left: Some(left) } })
        }
    }
}

/// Whether nobody is left who could serve this caller, looked at twice: a guard that was passed to another thread
/// shows itself in between by being used or returned.
fn is_deadlocked<M: ManageConnection>(
    shared: &Shared<M>,
    call: &Call,
    waiter: &Waiter<Entry<M>, Refusal>,
) -> bool {
    if !completes_deadlock(shared, call.thread) {
        return false;
    }
    let grace = Instant::now() + DEADLOCK_GRACE;
    if call.deadline.is_some_and(|deadline| deadline <= grace) {
        return false;
    }
    !waiter.watch(Some(grace)) && completes_deadlock(shared, call.thread)
}
