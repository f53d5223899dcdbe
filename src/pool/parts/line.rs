//! Who stands in line, for reports and the deadlock check. The queue itself is the core's.

use std::collections::HashMap;
use std::panic::Location;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::core::Ticket;

/// One waiter.
#[derive(Clone, Copy)]
pub(crate) struct InLine {
    pub(crate) thread: u64,
    pub(crate) location: &'static Location<'static>,
    pub(crate) since: Instant,
    pub(crate) deadline: Option<Instant>,
    /// Later for one that came to stand in line later, also where it came back to a place that it had before; given by
    /// [`Line::list`].
    pub(crate) listed: u64,
}

/// The list of waiters.
#[derive(Default)]
pub(crate) struct Line {
    /// Guards the list and its count alone; nothing else is locked under it.
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    waiters: HashMap<Ticket, InLine>,
    listed: u64,
}

/// A waiter's name on the list; dropping it strikes the name off.
pub(crate) struct Listed<'a> {
    line: &'a Line,
    ticket: Ticket,
}

impl Line {
    pub(crate) fn list(&self, ticket: Ticket, waiter: InLine) -> Listed<'_> {
        let mut list = self.list.lock();
        list.listed += 1;
        let waiter = InLine { listed: list.listed, ..waiter };
        list.waiters.insert(ticket, waiter);
        Listed { line: self, ticket }
    }

    /// All of them, by what tells one wait from another of the same thread.
    pub(crate) fn tickets(&self) -> HashMap<Ticket, InLine> {
        self.list.lock().waiters.clone()
    }

    /// For how long the first of them has waited.
    pub(crate) fn longest_wait(&self) -> Option<Duration> {
        self.list.lock().waiters.values().map(|waiter| waiter.since.elapsed()).max()
    }

    /// All of them, in the order of the queue.
    pub(crate) fn in_order(&self) -> Vec<InLine> {
        let mut waiters: Vec<_> =
            self.list.lock().waiters.iter().map(|(ticket, waiter)| (*ticket, *waiter)).collect();
        waiters.sort_by_key(|(ticket, _)| *ticket);
        waiters.into_iter().map(|(_, waiter)| waiter).collect()
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.line.list.lock().waiters.remove(&self.ticket);
    }
}
