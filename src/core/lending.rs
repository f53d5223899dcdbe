//! Lending: slots, queue and ledger under one protocol. The README beside this file states it.

mod capacity;
mod rules;

use super::gate::Gate;
use super::ledger::Ledger;
use super::queue::{Queue, Ticket};
use super::slots::{Slot, Slots};
use super::sync::{Arc, Mutex};
use super::waiter::Waiter;

pub(crate) use capacity::Counts;

/// What is decided under the one lock.
struct Desk<T, R> {
    queue: Queue<T, R>,
    ledger: Ledger,
    /// While set, a caller that no idle connection can serve is refused with it at once.
    refusal: Option<R>,
    peak_waiting: usize,
    peak_in_use: usize,
}

/// Lends values of type `T` from slots to threads, first come, first served.
///
/// `S` is a card of the floor above that stands in each slot, `R` the reason with which waiters are refused. A value
/// may own a [`Seat`](super::seat::Seat), which locks the desk when it is dropped.
pub(crate) struct Lending<T, S, R> {
    slots: Slots<T, S>,
    gate: Gate,
    /// Guards queue, ledger and the decisions between them. No I/O, no waking of threads and no dropping of values
    /// or reasons runs under it, and no foreign code but `S::default` and `R::clone`, which must not panic. A
    /// waiter's own lock is the only one taken inside it.
    desk: Mutex<Desk<T, R>>,
}

/// How an attempt to stand in line ended.
pub(crate) enum Joined<T, R> {
    /// A value was free after all.
    Got(Box<T>),
    /// In line, with `ahead` waiters before.
    InLine {
        waiter: Arc<Waiter<T, R>>,
        ticket: Ticket,
        ahead: usize,
    },
    /// The line is full: so many are waiting.
    Full(usize),
    /// Nobody is served for now, for this reason.
    Refused(R),
    Closed,
}

impl<T, S: Default, R: Clone> Lending<T, S, R> {
    pub(crate) fn new(ceiling: usize) -> Self {
        Lending {
            slots: Slots::new(ceiling),
            gate: Gate::new(),
            desk: Mutex::new(Desk {
                queue: Queue::new(),
                ledger: Ledger::new(ceiling),
                refusal: None,
                peak_waiting: 0,
                peak_in_use: 0,
            }),
        }
    }

    #[inline]
    pub(crate) fn slot(&self, index: usize) -> &Slot<T, S> {
        self.slots.get(index)
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot<T, S>> {
        self.slots.iter()
    }

    /// Takes a value without waiting, first from the slot `home`. `None` also where others wait: nobody barges.
    ///
    /// `None` is a hint, since a caller that sweeps for a moment turns it up too; the exact answer of a caller that
    /// will not wait is [`Lending::join`] with a bound of zero.
    #[inline]
    pub(crate) fn try_take(&self, home: usize) -> Option<Box<T>> {
        if !self.gate.is_free() {
            return None;
        }
        let len = self.slots.len();
        let home = if home < len { home } else { 0 };
        if home < len
            && let Some(value) = self.slots.get(home).cell.take()
        {
            return Some(value);
        }
        self.try_take_elsewhere(home, len)
    }

    fn try_take_elsewhere(&self, home: usize, len: usize) -> Option<Box<T>> {
        (home + 1..len).chain(0..home.min(len)).find_map(|index| self.slots.get(index).cell.take())
    }

    /// Takes the value of one slot, if it is there, whatever the gate says: for tidying, not for lending.
    pub(crate) fn take_at(&self, index: usize) -> Option<Box<T>> {
        self.slots.get(index).cell.take()
    }

    /// Puts a value back into its slot or hands it to the waiter at the head. Gives it back where lending is closed.
    #[inline]
    pub(crate) fn put(&self, index: usize, value: Box<T>) -> Result<(), Box<T>> {
        if !self.gate.is_free() {
            return self.put_announced(index, value);
        }
        let old = self.slots.get(index).cell.put(value);
        debug_assert!(old.is_none(), "BUG: slot {index} held two values");
        // I4: a waiter that registered and swept this slot before the swap above is seen here, and so is a close.
        if self.gate.is_free() { Ok(()) } else { self.put_again(index) }
    }

    /// As `put`, for a value that itself keeps the lending alive.
    pub(crate) fn put_owned(
        value: Box<T>,
        lending_of: impl Fn(&T) -> (&Arc<Self>, usize),
    ) -> Result<(), Box<T>> {
        let (lending, index) = lending_of(&value);
        // Once put, the value may be dropped by another thread before this one has looked at the gate again.
        let lending = Arc::clone(lending);
        lending.put(index, value)
    }

    /// Puts the value of a connection just opened into its slot for the first time, or hands it to the head.
    pub(crate) fn admit(&self, index: usize, value: Box<T>) -> Result<(), Box<T>> {
        self.put_announced(index, value)
    }

    /// After a direct put that then found the gate changed: the value just put may be due to a waiter.
    #[cold]
    fn put_again(&self, index: usize) -> Result<(), Box<T>> {
        match self.slots.get(index).cell.take_surely() {
            Some(value) => self.put_announced(index, value),
            // Somebody has taken it meanwhile, and it is theirs to return.
            None => Ok(()),
        }
    }

    /// As `put`, decided under the lock.
    #[cold]
    fn put_announced(&self, index: usize, value: Box<T>) -> Result<(), Box<T>> {
        let mut desk = self.desk.lock();
        if self.gate.is_closed() {
            return Err(value);
        }
        let unclaimed = if self.gate.is_suspended() { Err(value) } else { self.hand_over(&mut desk, value) };
        match unclaimed {
            Ok(waiter) => {
                drop(desk);
                waiter.wake();
            }
            Err(value) => {
                // Under the lock: a caller that joins next finds it in its sweep.
                let old = self.slots.get(index).cell.put(value);
                drop(desk);
                debug_assert!(old.is_none(), "BUG: slot {index} held two values");
            }
        }
        Ok(())
    }

    /// Serves the first in line who has not left, and returns whom to wake; the value where nobody is left.
    fn hand_over(&self, desk: &mut Desk<T, R>, mut value: Box<T>) -> Result<Arc<Waiter<T, R>>, Box<T>> {
        while let Some(waiter) = self.pop(desk) {
            match waiter.serve(value) {
                Ok(()) => return Ok(waiter),
                Err(back) => value = back,
            }
        }
        Err(value)
    }

    /// Stands in line, unless a value is free or the rules of the moment say otherwise. `old` is the ticket of a
    /// caller that was served once and comes back: it stands where it stood, and no bound applies to it.
    pub(crate) fn join(&self, old: Option<Ticket>, max_waiting: Option<usize>) -> Joined<T, R> {
        let mut desk = self.desk.lock();
        if self.gate.is_closed() {
            return Joined::Closed;
        }
        let waiting = desk.queue.len();
        self.gate.enter();
        // I5: behind somebody else there is nothing to find; their sweep stands for this one.
        if waiting == 0 && !self.gate.is_suspended() {
            if let Some(value) = self.slots.iter().find_map(|slot| slot.cell.take_surely()) {
                self.gate.leave();
                return Joined::Got(value);
            }
            desk.peak_in_use = desk.peak_in_use.max(desk.ledger.open());
        }
        if old.is_none() && max_waiting.is_some_and(|max| waiting >= max) {
            self.gate.leave();
            return Joined::Full(waiting);
        }
        if let Some(reason) = desk.refusal.clone() {
            self.gate.leave();
            return Joined::Refused(reason);
        }
        let (waiter, ticket, ahead) = desk.queue.join(old);
        desk.peak_waiting = desk.peak_waiting.max(waiting + 1);
        Joined::InLine { waiter, ticket, ahead }
    }

    /// Takes a waiter that has left off the line, and keeps it for the next.
    pub(crate) fn forget(&self, waiter: Arc<Waiter<T, R>>, ticket: Ticket) {
        let mut desk = self.desk.lock();
        if desk.queue.remove(ticket) {
            self.gate.leave();
        }
        desk.queue.recycle(waiter);
    }

    /// Keeps a waiter that was served or refused, so off the line already, for the next.
    pub(crate) fn recycle(&self, waiter: Arc<Waiter<T, R>>) {
        self.desk.lock().queue.recycle(waiter);
    }

    /// How many waiters stand before this ticket.
    pub(crate) fn ahead_of(&self, ticket: Ticket) -> usize {
        self.desk.lock().queue.ahead_of(ticket)
    }

    fn pop(&self, desk: &mut Desk<T, R>) -> Option<Arc<Waiter<T, R>>> {
        let waiter = desk.queue.pop()?;
        self.gate.leave();
        Some(waiter)
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use super::{Joined, Lending};

    #[test]
    fn whoever_is_turned_away_leaves_the_direct_way_free() {
        let line = Lending::<u32, (), &str>::new(1);
        assert_eq!(line.claim(), Some(0));
        line.opened();
        assert!(matches!(line.join(None, Some(0)), Joined::Full(0)));
        line.refuse(&"refused", true);
        assert!(matches!(line.join(None, None), Joined::Refused("refused")));
        line.put(0, Box::new(1)).unwrap();
        assert!(
            matches!(line.join(None, Some(0)), Joined::Got(_)),
            "an idle value is lent in spite of a refusal"
        );
        line.put(0, Box::new(2)).unwrap();
        assert_eq!(line.try_take(0).as_deref(), Some(&2), "the gate stays shut");
        assert_eq!(line.counts().peak_waiting, 0);
    }

    #[test]
    fn a_pool_found_empty_shows_in_the_peak() {
        let line = Lending::<u32, (), ()>::new(2);
        for index in 0..2 {
            assert_eq!(line.claim(), Some(index));
            line.opened();
            line.put(index, Box::new(0)).unwrap();
        }
        let lent = [line.try_take(0), line.try_take(0)].map(Option::unwrap);
        assert!(matches!(line.join(None, Some(0)), Joined::Full(0)));
        for (index, value) in lent.into_iter().enumerate() {
            line.put(index, value).unwrap();
        }
        let counts = line.counts();
        assert_eq!((counts.idle, counts.in_use, counts.peak_in_use), (2, 0, 2));
    }
}
