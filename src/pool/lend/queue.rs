//! Standing in line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::call::{Call, Failure, Patience};
use super::linger::{self, turn_ns};
use crate::core::{Joined, Lingered, Outcome, Ticket, Waited, Waiter};
use crate::pool::parts::line::InLine;
use crate::pool::parts::linger::cores;
use crate::pool::shared::{Entry, Refusal, Shared};
use crate::pool::supply::close::dispose;
use crate::pool::supply::connect::connect_limit;
use crate::pool::supply::demand::demand_in_line;
use crate::pool::tell::deadlock::{Deadlock, deadlock_of, warn_of_apparent};
use crate::pool::tell::observe::in_own_hands;
use crate::stats::CloseCause;

/// How long what may be none must look like a deadlock before it is called one.
const DEADLOCK_GRACE: Duration = Duration::from_millis(100);

/// How often whoever waits for an opening alone looks whether the server has any left.
const LOOK_EVERY: Duration = Duration::from_millis(10);

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
    let max_waiting = shared.fast.max_waiting();
    let for_opening = matches!(call.patience, Patience::ForOpening(_));
    let joined = if for_opening {
        // Of a closed pool no caller is told anything else.
        if is_server_full(shared) && !shared.lending.is_closed() {
            return Err(Failure::Exhausted);
        }
        if call.ticket.is_none() {
            call.wait_for_opening(connect_limit(shared));
        }
        // Before the look at the room: what is back by then is found by the sweep.
        let returning = in_own_hands(shared);
        shared.lending.join_if_room(call.ticket, max_waiting, usize::from(in_hand.0.is_some()), returning)
    } else {
        shared.lending.join(call.ticket, max_waiting)
    };
    drop(in_hand);
    let (waiter, ticket, ahead, hope_ns, has_room) = match joined {
        Joined::Got(entry) => return Ok(entry),
        Joined::NoRoom => return Err(Failure::Exhausted),
        Joined::Full => return Err(Failure::QueueFull),
        Joined::Refused(refusal) => return Err(Failure::Refused(refusal)),
        Joined::Closed => return Err(Failure::Refused(Refusal::Closed)),
        Joined::InLine { waiter, ticket, ahead, hope_ns, has_room } => {
            call.ahead.get_or_insert(ahead);
            (waiter, ticket, ahead, hope_ns, has_room)
        }
    };
    let joined_at = Instant::now();
    let is_back = call.ticket.replace(ticket).is_some();
    let (thread, location, since, deadline) = (call.thread, call.location, call.start, call.deadline);
    let listed = shared.line.list(ticket, InLine { thread, location, since, deadline, listed: 0 });
    demand_in_line(shared, has_room);
    let refused = would_deadlock(shared, call, ticket, &waiter);
    let (outcome, lingered) = match refused {
        true => (waiter.leave(), Lingered::InVain),
        false if for_opening => (wait_for_opening(shared, call, ticket, &waiter), Lingered::InVain),
        false => linger::wait(&waiter, hope_ns, call.deadline),
    };
    if matches!(outcome, Outcome::Nothing) && shared.fast.detects_deadlocks() {
        call.in_deadlock = deadlock_of(shared, thread, ticket) != Deadlock::No;
    }
    drop(listed);
    match outcome {
        Outcome::Served(mut entry) => {
            // One that came back stood where its first wait had brought it, so that its second tells of no turn.
            let turn = if is_back { None } else { turn_ns(joined_at.elapsed(), ahead, cores()) };
            shared.lending.recycle_served(waiter, Waited { turn_ns: turn, lingered });
            entry.body.handed_over(shared.now());
            Ok(entry)
        }
        Outcome::Refused(refusal) => {
            shared.lending.recycle(waiter);
            Err(Failure::Refused(refusal))
        }
        Outcome::Nothing => {
            let left = shared.lending.ahead_of(ticket);
            shared.lending.forget(waiter, ticket);
            linger::left(&shared.lending, lingered);
            Err(match refused {
                true => Failure::Deadlock,
                false if for_opening && (is_server_full(shared) || !call.is_over()) => Failure::Exhausted,
                false => Failure::Timeout { left: Some(left) },
            })
        }
    }
}

fn is_server_full<M: ManageConnection>(shared: &Shared<M>) -> bool {
    shared.supply.breaker().is_server_full(shared.exact_now())
}

/// Waits for an opening, or for what the pool itself has in hand: until its limit, or until only the return of another
/// borrower could serve this caller, since the server has no connection left to open, or there is no room any more:
/// what the pool had in hand may have been taken just before the caller stood in line.
fn wait_for_opening<M: ManageConnection>(
    shared: &Shared<M>,
    call: &Call,
    ticket: Ticket,
    waiter: &Waiter<Entry<M>, Refusal>,
) -> Outcome<Entry<M>, Refusal> {
    while !is_server_full(shared) && shared.lending.has_room_for(ticket, in_own_hands(shared)) {
        let next = Instant::now() + LOOK_EVERY;
        if call.deadline.is_some_and(|deadline| deadline <= next) || waiter.watch(Some(next)) {
            return waiter.wait(call.deadline);
        }
    }
    waiter.leave()
}

/// Whether this caller is to be refused, since nobody is left who could serve it.
///
/// What is only apparent is looked at twice: a guard that was passed to another thread shows itself in between by being
/// used or returned. It is warned of then, and refused where the settings say so.
fn would_deadlock<M: ManageConnection>(
    shared: &Shared<M>,
    call: &Call,
    ticket: Ticket,
    waiter: &Waiter<Entry<M>, Refusal>,
) -> bool {
    if !shared.fast.detects_deadlocks() {
        return false;
    }
    let grace = Instant::now() + DEADLOCK_GRACE;
    match deadlock_of(shared, call.thread, ticket) {
        Deadlock::No => return false,
        Deadlock::Certain => return true,
        Deadlock::Apparent if call.deadline.is_some_and(|deadline| deadline <= grace) => return false,
        Deadlock::Apparent => {}
    }
    if waiter.watch(Some(grace)) {
        return false;
    }
    match deadlock_of(shared, call.thread, ticket) {
        Deadlock::No => false,
        Deadlock::Certain => true,
        Deadlock::Apparent => {
            let refuses = shared.fast.refuses_deadlocks();
            if !refuses {
                warn_of_apparent(shared);
            }
            refuses
        }
    }
}
