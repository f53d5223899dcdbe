//! Self-deadlock: every connection held by threads that wait for another one in the same pool.

use std::collections::HashSet;

use log::Level;
use r2d2::ManageConnection;

use super::notify::may_warn;
use super::observe::{held_by, holders};
use crate::core::Ticket;
use crate::lines::say;
use crate::pool::parts::sinks::Warning;
use crate::pool::shared::Shared;
use crate::stats::Holder;

/// Holders named in the warning.
const HOLDERS_IN_WARNING: usize = 3;

/// What a thread in line can know of those who could return a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadlock {
    /// Somebody may be left.
    No,
    /// Every connection was taken by a thread that waits now. Yet a guard can be anywhere, such as in a channel, or
    /// with a thread that has not used it yet: it counts for the thread that took it until another one does.
    Apparent,
    /// Every connection is on the stack of a thread that waits, of whom this one came last; nobody else gives up before
    /// it would, and no connection can come from elsewhere.
    Certain,
}

/// Looks for a deadlock that this thread, which stands in line with this ticket, is part of.
pub(crate) fn deadlock_of<M: ManageConnection>(shared: &Shared<M>, thread: u64, ticket: Ticket) -> Deadlock {
    // Nearly always the end of it: a thread that holds nothing completes nothing.
    if held_by(shared, thread) == 0 {
        return Deadlock::No;
    }
    let before = shared.lending.in_line();
    let counts = shared.lending.counts();
    if counts.idle > 0 || counts.opening > 0 || counts.size() < counts.ceiling {
        return Deadlock::No;
    }
    let waiting: HashSet<u64> = before.iter().map(|waiter| waiter.who.thread).collect();
    let (mut holders, mut on_stack) = (HashSet::new(), true);
    let mut held = 0;
    for borrower in shared.lending.slots().filter_map(|slot| slot.card.borrower()) {
        if !waiting.contains(&borrower.thread) {
            return Deadlock::No;
        }
        holders.insert(borrower.thread);
        on_stack &= borrower.is_on_stack;
        held += 1;
    }
    // Connections that nobody holds are with a helper, who will return them.
    if held != counts.in_use {
        return Deadlock::No;
    }
    // One that was served meanwhile may have shown up among the holders for what it got.
    let after = shared.lending.in_line();
    let still = |ticket| {
        let place = after.binary_search_by_key(&ticket, |waiter| waiter.ticket);
        place.ok().map(|place| after[place])
    };
    let mut of_holders = before.iter().filter(|waiter| holders.contains(&waiter.who.thread));
    let (true, Some(own)) = (of_holders.all(|waiter| still(waiter.ticket).is_some()), still(ticket)) else {
        return Deadlock::No;
    };
    let outlasts =
        |limit: Option<_>| limit.is_some_and(|limit| own.who.deadline.is_none_or(|own| limit < own));
    let another_leaves = after.iter().any(|waiter| waiter.ticket != ticket && outlasts(waiter.who.deadline));
    // Of several that stood in line at the same time the last one is sent away, and its connections serve the others.
    let is_newest =
        before.iter().all(|waiter| waiter.joined <= own.joined || !holders.contains(&waiter.who.thread));
    // Another connection may still come: as the other tier closes one, or the keeper ends a session held for long.
    let more_may_come =
        shared.supply.part().growth_waits() || shared.settings().terminate_stuck_after.is_some();
    if on_stack && is_newest && !another_leaves && !more_may_come {
        Deadlock::Certain
    } else {
        Deadlock::Apparent
    }
}

/// Warns of a deadlock that is no more than apparent, once.
pub(crate) fn warn_of_apparent<M: ManageConnection>(shared: &Shared<M>) {
    if may_warn(shared, Warning::Deadlock) {
        let holders = holders(shared);
        let named: Vec<_> = holders.iter().take(HOLDERS_IN_WARNING).map(Holder::to_string).collect();
        let (all, named) = (holders.len(), named.join(", "));
        say!(
            Level::Warn,
            shared.origin(),
            [in_use = all, holders = named],
            "all {all} connections were taken by threads that wait for another one: a deadlock, unless one of them \
             was passed on; held longest by {named}"
        );
    }
}
