//! The queue of waiters: strictly by ticket, bounded memory, leaving from the middle in logarithmic time.

use std::collections::VecDeque;

use super::sync::Arc;
use super::waiter::Waiter;

/// A place in line. Tickets grow for ever (a `u64` lasts), and a waiter that comes back with its old one, because
/// the connection it was given proved dead, stands where it stood.
pub(crate) type Ticket = u64;

struct Place<T, R> {
    ticket: Ticket,
    /// `None` once its waiter has left: a gap, skipped by `pop` and squeezed out in bulk.
    waiter: Option<Arc<Waiter<T, R>>>,
}

/// Waiters in ticket order. A plain value: the desk's lock guards it.
pub(crate) struct Queue<T, R> {
    /// Sorted by ticket. At most half of it, and some, are gaps, so a search costs what the live waiters cost.
    places: VecDeque<Place<T, R>>,
    live: usize,
    next: Ticket,
    /// Used waiters kept for the next thread, so that waiting does not allocate in the steady state.
    spare: VecDeque<Arc<Waiter<T, R>>>,
}

impl<T, R> Queue<T, R> {
    /// Gaps tolerated before squeezing is worth its cost.
    const SLACK: usize = 32;
    /// Waiters kept for reuse: some 100 KiB at the most.
    const SPARE: usize = 1024;

    pub(crate) fn new() -> Self {
        Queue { places: VecDeque::new(), live: 0, next: 0, spare: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Puts a waiter in line: at the end, or where the old ticket says. Returns it with its ticket and the number of
    /// waiters ahead of it.
    pub(crate) fn join(&mut self, ticket: Option<Ticket>) -> (Arc<Waiter<T, R>>, Ticket, usize) {
        let waiter = self.fresh();
        let place = |ticket| Place { ticket, waiter: Some(Arc::clone(&waiter)) };
        let (ticket, ahead) = match ticket {
            None => {
                let ticket = self.next;
                self.next += 1;
                self.places.push_back(place(ticket));
                (ticket, self.live)
            }
            Some(ticket) => {
                assert!(ticket < self.next, "BUG: ticket {ticket} comes back, of {} given out", self.next);
                let at = self.places.partition_point(|p| p.ticket < ticket);
                // Its old place may still stand there as a gap.
                match self.places.get_mut(at) {
                    Some(gap) if gap.ticket == ticket => {
                        assert!(gap.waiter.is_none(), "BUG: ticket {ticket} is in line twice");
                        *gap = place(ticket);
                    }
                    _ => self.places.insert(at, place(ticket)),
                }
                (ticket, self.places.iter().take(at).filter(|p| p.waiter.is_some()).count())
            }
        };
        self.live += 1;
        (waiter, ticket, ahead)
    }

    /// Takes the waiter at the head.
    pub(crate) fn pop(&mut self) -> Option<Arc<Waiter<T, R>>> {
        while let Some(place) = self.places.pop_front() {
            if let Some(waiter) = place.waiter {
                self.live -= 1;
                self.squeeze();
                return Some(waiter);
            }
        }
        None
    }

    /// The waiter at the head, who stays there. `None` also where a gap does: the next pop finds whom this would have.
    pub(crate) fn head(&self) -> Option<Arc<Waiter<T, R>>> {
        self.places.front()?.waiter.clone()
    }

    /// Takes a waiter that gave up out of the line; false where it had been popped already.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> bool {
        let at = self.places.partition_point(|p| p.ticket < ticket);
        let found = match self.places.get_mut(at) {
            Some(place) if place.ticket == ticket => place.waiter.take().is_some(),
            _ => false,
        };
        if found {
            self.live -= 1;
            self.squeeze();
        }
        found
    }

    /// Drops the gaps once they outnumber the waiters. Each gap pays for it once, so leaving stays cheap on average.
    fn squeeze(&mut self) {
        if self.places.len() > 2 * self.live + Self::SLACK {
            self.places.retain(|p| p.waiter.is_some());
        }
    }

    /// How many stand before this ticket now. Linear; for error messages and reports.
    pub(crate) fn ahead_of(&self, ticket: Ticket) -> usize {
        self.places.iter().take_while(|p| p.ticket < ticket).filter(|p| p.waiter.is_some()).count()
    }

    /// Keeps a waiter for reuse. It must have left, so that no value is dropped here.
    pub(crate) fn recycle(&mut self, waiter: Arc<Waiter<T, R>>) {
        if self.spare.len() < Self::SPARE {
            self.spare.push_back(waiter);
        }
    }

    /// A waiter as good as new: a used one, once nobody refers to it any more (who served it may still be about to
    /// wake it, and must wake nobody else), or a new one. The oldest comes first, as it has had the longest time.
    fn fresh(&mut self) -> Arc<Waiter<T, R>> {
        if let Some(mut waiter) = self.spare.pop_front() {
            if let Some(alone) = Arc::get_mut(&mut waiter) {
                alone.renew();
                return waiter;
            }
            self.spare.push_back(waiter);
        }
        Arc::new(Waiter::new())
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use std::time::Instant;

    use super::{Arc, Queue};
    use crate::core::waiter::{Outcome, Watched};

    fn served(queue: &mut Queue<u32, ()>, value: u32) {
        queue.pop().expect("a waiter").serve(Box::new(value)).expect("still waiting");
    }

    #[test]
    fn the_line_is_by_ticket_and_an_old_ticket_keeps_its_place() {
        let mut queue = Queue::<u32, ()>::new();
        let (a, ticket_a, _) = queue.join(None);
        let (b, _, ahead) = queue.join(None);
        assert_eq!(ahead, 1);
        served(&mut queue, 1);
        assert!(matches!(a.leave(), Outcome::Served(v) if *v == 1));
        let (a, again, ahead) = queue.join(Some(ticket_a));
        assert_eq!((again, ahead), (ticket_a, 0));
        served(&mut queue, 2);
        assert!(matches!(a.leave(), Outcome::Served(v) if *v == 2), "b overtook a");
        served(&mut queue, 3);
        assert!(matches!(b.leave(), Outcome::Served(v) if *v == 3));
        assert!(queue.pop().is_none());
    }

    #[test]
    fn leaving_from_the_middle_leaves_no_memory_behind() {
        let mut queue = Queue::<u32, ()>::new();
        let (_head, ..) = queue.join(None);
        // Small under miri, which runs some thousand times slower.
        for _ in 0..if cfg!(miri) { 100 } else { 10_000 } {
            let (waiter, ticket, _) = queue.join(None);
            assert!(matches!(waiter.leave(), Outcome::Nothing));
            assert!(queue.remove(ticket));
            assert!(!queue.remove(ticket));
            queue.recycle(waiter);
        }
        assert_eq!(queue.len(), 1);
        assert!(queue.places.len() <= 2 + Queue::<u32, ()>::SLACK, "{} places", queue.places.len());
        assert_eq!(queue.spare.len(), 1, "one waiter served all in turn");
    }

    #[test]
    fn a_waiter_that_somebody_refers_to_serves_nobody_else_and_a_used_one_has_no_hint() {
        let mut queue = Queue::<u32, ()>::new();
        let (used, ticket, _) = queue.join(None);
        let alerting = Arc::clone(&used);
        assert!(matches!(used.leave(), Outcome::Nothing));
        assert!(queue.remove(ticket));
        let place = Arc::as_ptr(&used);
        queue.recycle(used);
        let (other, ..) = queue.join(None);
        assert_ne!(Arc::as_ptr(&other), place, "an alert would reach somebody else");
        alerting.alert();
        drop(alerting);
        let (again, ..) = queue.join(None);
        assert_eq!(Arc::as_ptr(&again), place);
        assert_eq!(
            again.watch_until_near(Some(Instant::now())),
            Watched::Nothing,
            "alerted in a former life"
        );
    }
}
