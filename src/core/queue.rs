//! The queue of waiters: strictly by ticket, bounded memory, leaving from the middle in logarithmic time.

use std::collections::VecDeque;

use super::sync::Arc;
use super::waiter::Waiter;

/// A place in line. Tickets grow for ever (a `u64` lasts), and a waiter that comes back with its old one, because
/// the connection it was given proved dead, stands where it stood.
pub(crate) type Ticket = u64;

/// One who stands in line, as whoever asks is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queued<W> {
    pub(crate) ticket: Ticket,
    /// Later for one that came to stand in line later, also where it came back to a place that it had before.
    pub(crate) joined: u64,
    pub(crate) who: W,
}

struct Place<T, R, W> {
    queued: Queued<W>,
    /// `None` once its waiter has left: a gap, skipped by `pop` and squeezed out in bulk.
    waiter: Option<Arc<Waiter<T, R>>>,
}

/// Waiters in ticket order, and of each what is known of it: a `W`, which is copied and forgotten, so that nothing
/// foreign runs meanwhile. A plain value: the desk's lock guards it.
pub(crate) struct Queue<T, R, W> {
    /// Sorted by ticket. At most half of it, and some, are gaps, so a search costs what the live waiters cost.
    places: VecDeque<Place<T, R, W>>,
    live: usize,
    next: Ticket,
    /// How often somebody has come to stand in line.
    joined: u64,
    /// Used waiters kept for the next thread, so that waiting does not allocate in the steady state.
    spare: VecDeque<Arc<Waiter<T, R>>>,
}

impl<T, R, W: Copy> Queue<T, R, W> {
    /// Gaps tolerated before squeezing is worth its cost.
    const SLACK: usize = 32;
    /// Waiters kept for reuse: some 100 KiB at the most.
    const SPARE: usize = 1024;

    pub(crate) fn new() -> Self {
        Queue { places: VecDeque::new(), live: 0, next: 0, joined: 0, spare: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Puts a waiter in line: at the end, or where the old ticket says. Returns it with its ticket and the number of
    /// waiters ahead of it.
    pub(crate) fn join(&mut self, ticket: Option<Ticket>, who: W) -> (Arc<Waiter<T, R>>, Ticket, usize) {
        let waiter = self.fresh();
        self.joined += 1;
        let joined = self.joined;
        let place =
            |ticket| Place { queued: Queued { ticket, joined, who }, waiter: Some(Arc::clone(&waiter)) };
        let (ticket, ahead) = match ticket {
            None => {
                let ticket = self.next;
                self.next += 1;
                self.places.push_back(place(ticket));
                (ticket, self.live)
            }
            Some(ticket) => {
                assert!(ticket < self.next, "BUG: ticket {ticket} comes back, of {} given out", self.next);
                let at = self.places.partition_point(|p| p.queued.ticket < ticket);
                // Its old place may still stand there as a gap.
                match self.places.get_mut(at) {
                    Some(gap) if gap.queued.ticket == ticket => {
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
        let at = self.places.partition_point(|p| p.queued.ticket < ticket);
        let found = match self.places.get_mut(at) {
            Some(place) if place.queued.ticket == ticket => place.waiter.take().is_some(),
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
        self.places.iter().take_while(|p| p.queued.ticket < ticket).filter(|p| p.waiter.is_some()).count()
    }

    /// All who stand in line, in its order; for error messages and reports.
    pub(crate) fn all(&self) -> Vec<Queued<W>> {
        let mut all = Vec::with_capacity(self.live);
        all.extend(self.line());
        all
    }

    /// The first of them, so many at the most.
    pub(crate) fn first(&self, most: usize) -> Vec<Queued<W>> {
        self.line().take(most).collect()
    }

    /// The least of what is told of each, with nothing copied.
    pub(crate) fn least<K: Ord>(&self, key: impl Fn(&W) -> K) -> Option<K> {
        self.line().map(|queued| key(&queued.who)).min()
    }

    fn line(&self) -> impl Iterator<Item = Queued<W>> {
        self.places.iter().filter(|place| place.waiter.is_some()).map(|place| place.queued)
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

    use super::{Arc, Queue, Queued};
    use crate::core::waiter::{Outcome, Watched};

    /// Of each waiter a letter is known.
    type Letters = Queue<u32, (), char>;

    fn served(queue: &mut Letters, value: u32) {
        queue.pop().expect("a waiter").serve(Box::new(value)).expect("still waiting");
    }

    #[test]
    fn the_line_is_by_ticket_and_an_old_ticket_keeps_its_place() {
        let mut queue = Letters::new();
        let (a, ticket_a, _) = queue.join(None, 'a');
        let (b, _, ahead) = queue.join(None, 'b');
        assert_eq!(ahead, 1);
        served(&mut queue, 1);
        assert!(matches!(a.leave(), Outcome::Served(v) if *v == 1));
        let (a, again, ahead) = queue.join(Some(ticket_a), 'a');
        assert_eq!((again, ahead), (ticket_a, 0));
        served(&mut queue, 2);
        assert!(matches!(a.leave(), Outcome::Served(v) if *v == 2), "b overtook a");
        served(&mut queue, 3);
        assert!(matches!(b.leave(), Outcome::Served(v) if *v == 3));
        assert!(queue.pop().is_none());
    }

    #[test]
    fn all_are_told_in_the_order_of_the_line_and_who_came_back_as_the_last_that_came() {
        let mut queue = Letters::new();
        let told = |queue: &Letters| {
            queue.all().iter().map(|Queued { joined, who, .. }| (*joined, *who)).collect::<Vec<_>>()
        };
        let (_a, ticket_a, _) = queue.join(None, 'a');
        let (_b, ticket_b, _) = queue.join(None, 'b');
        let (_c, ..) = queue.join(None, 'c');
        assert_eq!(told(&queue), [(1, 'a'), (2, 'b'), (3, 'c')]);
        served(&mut queue, 1);
        assert!(queue.remove(ticket_b));
        assert_eq!(told(&queue), [(3, 'c')]);
        let (_b, ..) = queue.join(Some(ticket_b), 'B');
        let (_a, ..) = queue.join(Some(ticket_a), 'A');
        assert_eq!(told(&queue), [(5, 'A'), (4, 'B'), (3, 'c')]);
    }

    #[test]
    fn as_many_are_told_as_are_asked_for_and_the_least_is_found_anywhere_in_line() {
        let mut queue = Letters::new();
        assert_eq!(queue.least(|who| *who), None);
        let (_b, ticket_b, _) = queue.join(None, 'b');
        let _others = (queue.join(None, 'a'), queue.join(None, 'c'));
        assert!(queue.remove(ticket_b), "a place that is left counts for neither");
        assert_eq!(queue.first(1).iter().map(|queued| queued.who).collect::<Vec<_>>(), ['a']);
        assert_eq!((queue.first(0).len(), queue.first(9).len()), (0, 2));
        let _z = queue.join(None, 'Z');
        assert_eq!(queue.least(|who| *who), Some('Z'));
    }

    #[test]
    fn leaving_from_the_middle_leaves_no_memory_behind() {
        let mut queue = Letters::new();
        let (_head, ..) = queue.join(None, '_');
        // Small under miri, which runs some thousand times slower.
        for _ in 0..if cfg!(miri) { 100 } else { 10_000 } {
            let (waiter, ticket, _) = queue.join(None, '_');
            assert!(matches!(waiter.leave(), Outcome::Nothing));
            assert!(queue.remove(ticket));
            assert!(!queue.remove(ticket));
            queue.recycle(waiter);
        }
        assert_eq!(queue.len(), 1);
        assert!(queue.places.len() <= 2 + Letters::SLACK, "{} places", queue.places.len());
        assert_eq!(queue.spare.len(), 1, "one waiter served all in turn");
    }

    #[test]
    fn a_waiter_that_somebody_refers_to_serves_nobody_else_and_a_used_one_has_no_hint() {
        let mut queue = Letters::new();
        let (used, ticket, _) = queue.join(None, '_');
        let alerting = Arc::clone(&used);
        assert!(matches!(used.leave(), Outcome::Nothing));
        assert!(queue.remove(ticket));
        let place = Arc::as_ptr(&used);
        queue.recycle(used);
        let (other, ..) = queue.join(None, '_');
        assert_ne!(Arc::as_ptr(&other), place, "an alert would reach somebody else");
        alerting.alert();
        drop(alerting);
        let (again, ..) = queue.join(None, '_');
        assert_eq!(Arc::as_ptr(&again), place);
        assert_eq!(
            again.watch_until_near(Some(Instant::now())),
            Watched::Nothing,
            "alerted in a former life"
        );
    }
}
