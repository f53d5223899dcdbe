//! Lending: slots, queue and ledger under one protocol. The README beside this file states it.

mod capacity;
mod hand_off;
mod rules;
mod seizing;

use crossbeam_utils::CachePadded;

use super::cell::Cell;
use super::gate::Gate;
use super::ledger::Ledger;
use super::queue::{Queue, Queued, Ticket};
use super::slots::{Slot, Slots};
use super::sync::{Arc, Mutex};
use super::tempo::{Tempo, Waited};
use super::waiter::Waiter;

pub(crate) use capacity::Counts;
pub(crate) use seizing::Seizure;

/// What is decided under the one lock.
struct Desk<T, R, W> {
    queue: Queue<T, R, W>,
    ledger: Ledger,
    tempo: Tempo,
    /// While set, a caller that no idle connection can serve is refused with it at once.
    refusal: Option<R>,
    peak_waiting: usize,
    peak_in_use: usize,
}

/// Lends values of type `T` from slots to threads, first come, first served.
///
/// `S` is a card of the floor above that stands in each slot, `R` the reason with which waiters are refused, `W` what
/// is known of each of them. A value may own a [`Seat`](super::seat::Seat), which locks the desk when it is dropped.
pub(crate) struct Lending<T, S, R, W = ()> {
    slots: Slots<T, S>,
    gate: Gate,
    /// Guards queue, ledger and the decisions between them. No I/O, no waking of threads and no dropping of values
    /// or reasons runs under it, and no foreign code but `S::default` and `R::clone`, which must not panic. A
    /// waiter's own lock is the only one taken inside it. Padded: what precedes it is read by every checkout, and
    /// written seldom.
    desk: CachePadded<Mutex<Desk<T, R, W>>>,
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
        /// The nanoseconds in which it is likely to be served, where it is to linger for that before it sleeps.
        hope_ns: Option<u32>,
        /// Whether a claim would have been granted as it joined.
        has_room: bool,
        /// How many connections were open and not idle as it joined.
        in_use: usize,
    },
    /// As many wait as may.
    Full,
    /// No place for a caller that does not wait for others.
    NoRoom,
    /// Nobody is served for now, for this reason.
    Refused(R),
    Closed,
}

impl<T, S: Default, R: Clone, W: Copy> Lending<T, S, R, W> {
    pub(crate) fn new(ceiling: usize) -> Self {
        Lending {
            slots: Slots::new(ceiling),
            gate: Gate::new(),
            desk: CachePadded::new(Mutex::new(Desk {
                queue: Queue::new(),
                ledger: Ledger::new(ceiling),
                tempo: Tempo::new(),
                refusal: None,
                peak_waiting: 0,
                peak_in_use: 0,
            })),
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
    /// `None` is a hint: the slots are looked at one after the other. The exact answer of a caller that will not
    /// wait is [`Lending::join`] with a bound of zero.
    #[inline]
    pub(crate) fn try_take(&self, home: usize) -> Option<Box<T>> {
        if !self.gate.is_free() {
            return None;
        }
        match self.slots.get_first(home).and_then(|slot| slot.cell.take()) {
            Some(value) => Some(value),
            None => self.try_take_elsewhere(home),
        }
    }

    fn try_take_elsewhere(&self, home: usize) -> Option<Box<T>> {
        let len = self.slots.len();
        let home = if home < len { home } else { 0 };
        (home..len).chain(0..home).find_map(|index| self.slots.get(index).cell.take())
    }

    /// Takes the value of one slot, if it is there, whatever the gate says: for tidying, not for lending.
    pub(crate) fn take_at(&self, index: usize) -> Option<Box<T>> {
        self.slots.get(index).cell.take()
    }

    /// Puts a value back into its slot or hands it to the waiter at the head. Gives it back where lending is closed or
    /// the value seized.
    #[inline]
    pub(crate) fn put(&self, index: usize, value: Box<T>) -> Result<(), Box<T>> {
        // I4, I5: whoever must not miss the value has marked the cell.
        match self.slots.get(index).cell.put(value) {
            Ok(()) => Ok(()),
            Err(value) => self.put_announced(index, value),
        }
    }

    /// As `put`, for a value that itself keeps the lending alive. The direct way writes to the slot alone.
    #[inline]
    pub(crate) fn put_owned(
        value: Box<T>,
        lending_of: impl Fn(&T) -> (&Arc<Self>, usize),
    ) -> Result<(), Box<T>>
    where
        // For a reference of any length into the value to lead to a `Self`.
        S: 'static,
        R: 'static,
        W: 'static,
    {
        // Once the value is in its slot another thread may drop it, and `Self` with it: nothing comes after.
        let put = Cell::put_through(value, |value| {
            let (lending, index) = lending_of(value);
            &lending.slot(index).cell
        });
        match put {
            Ok(()) => Ok(()),
            Err(value) => {
                let (lending, index) = lending_of(&value);
                // The desk is unlocked after the value has left this thread's hands.
                let lending = Arc::clone(lending);
                lending.put_announced(index, value)
            }
        }
    }

    /// Puts the value of a connection just opened into its slot for the first time, or hands it to the head.
    pub(crate) fn admit(&self, index: usize, value: Box<T>) -> Result<(), Box<T>> {
        // Never a direct put: a new slot is marked, and a slot used before may be.
        self.put_announced(index, value)
    }

    /// Stands in line, unless a value is free or the rules of the moment say otherwise. `old` is the ticket of a
    /// caller that was served once and comes back: it stands where it stood, and no bound applies to it. `who` is what
    /// [`Lending::in_line`] tells of it.
    pub(crate) fn join(&self, old: Option<Ticket>, max_waiting: Option<usize>, who: W) -> Joined<T, R> {
        self.join_where(old, max_waiting, who, |_| true)
    }

    fn join_where(
        &self,
        old: Option<Ticket>,
        max_waiting: Option<usize>,
        who: W,
        is_welcome: impl FnOnce(&Desk<T, R, W>) -> bool,
    ) -> Joined<T, R> {
        let mut desk = self.desk.lock();
        if self.gate.is_closed() {
            return Joined::Closed;
        }
        let waiting = desk.queue.len();
        // I5: behind somebody else there is nothing to find, and the marks are set.
        if waiting == 0 && !self.gate.is_suspended() {
            if let Some(value) = self.sweep_for_one() {
                return Joined::Got(value);
            }
            desk.peak_in_use = desk.peak_in_use.max(desk.ledger.open());
        }
        if old.is_none() && max_waiting.is_some_and(|max| waiting >= max) {
            return if is_welcome(&desk) { Joined::Full } else { Joined::NoRoom };
        }
        if let Some(reason) = desk.refusal.clone() {
            return Joined::Refused(reason);
        }
        if old.is_none() && !is_welcome(&desk) {
            return Joined::NoRoom;
        }
        self.gate.enter();
        let (waiter, ticket, ahead) = desk.queue.join(old, who);
        desk.peak_waiting = desk.peak_waiting.max(waiting + 1);
        let hope_ns = desk.tempo.hope_ns(ahead, desk.ledger.open());
        let has_room = desk.ledger.has_room();
        // I5: while it lends, whoever stands in line has found no idle one.
        let idle = if self.gate.is_suspended() { self.idle() } else { 0 };
        let in_use = desk.ledger.open().saturating_sub(idle);
        Joined::InLine { waiter, ticket, ahead, hope_ns, has_room, in_use }
    }

    /// Takes the first value found; where there is none, every slot is marked. With the desk locked.
    fn sweep_for_one(&self) -> Option<Box<T>> {
        self.slots.iter().find_map(|slot| {
            let value = slot.cell.take_marking()?;
            // Nobody is going to stand in line for this one: let its next put be direct.
            slot.cell.unmark();
            Some(value)
        })
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

    /// As `recycle`, of one that was served, and takes note of how its wait went.
    pub(crate) fn recycle_served(&self, waiter: Arc<Waiter<T, R>>, waited: Waited) {
        let mut desk = self.desk.lock();
        desk.tempo.learn(waited);
        desk.queue.recycle(waiter);
    }

    /// Takes note of how a wait went, or of what was met in one that ended without a value.
    pub(crate) fn learn(&self, waited: Waited) {
        self.desk.lock().tempo.learn(waited);
    }

    /// How many waiters stand before this ticket.
    pub(crate) fn ahead_of(&self, ticket: Ticket) -> usize {
        self.desk.lock().queue.ahead_of(ticket)
    }

    /// All who stand in line, in its order; also who has left and is not struck off yet.
    pub(crate) fn in_line(&self) -> Vec<Queued<W>> {
        self.desk.lock().queue.all()
    }

    /// The first of them, so many at the most.
    pub(crate) fn first_in_line(&self, most: usize) -> Vec<Queued<W>> {
        self.desk.lock().queue.first(most)
    }

    /// The least of what `key` tells of each, which is called under the desk's lock and so reads a field and no more.
    pub(crate) fn least_in_line<K: Ord>(&self, key: impl Fn(&W) -> K) -> Option<K> {
        self.desk.lock().queue.least(key)
    }

    fn pop(&self, desk: &mut Desk<T, R, W>) -> Option<Arc<Waiter<T, R>>> {
        let waiter = desk.queue.pop()?;
        self.gate.leave();
        Some(waiter)
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use std::thread;

    use super::{Joined, Lending};
    use crate::core::ledger::Standing;
    use crate::core::sync::Arc;
    use crate::core::{Outcome, Seat};

    #[test]
    fn whoever_is_turned_away_leaves_the_direct_way_free() {
        let line = Lending::<u32, (), &str>::new(1);
        assert_eq!(line.claim(), Some(0));
        line.restate(0, Standing::Opening, Standing::Open);
        assert!(matches!(line.join(None, Some(0), ()), Joined::Full));
        line.refuse_until_further_notice(&"refused");
        assert!(matches!(line.join(None, None, ()), Joined::Refused("refused")));
        line.put(0, Box::new(1)).unwrap();
        let Joined::Got(value) = line.join(None, Some(0), ()) else {
            panic!("a refusal keeps an idle value from being lent")
        };
        line.slot(0).cell.put(value).expect("a mark is left for nobody");
        assert_eq!(line.try_take(0).as_deref(), Some(&1), "the gate stays shut");
        assert_eq!(line.counts().peak_waiting, 0);
    }

    #[test]
    fn a_pool_found_empty_shows_in_the_peak() {
        let line = Lending::<u32, (), ()>::new(2);
        for index in 0..2 {
            assert_eq!(line.claim(), Some(index));
            line.restate(index, Standing::Opening, Standing::Open);
            line.put(index, Box::new(0)).unwrap();
        }
        let lent = [line.try_take(0), line.try_take(0)].map(Option::unwrap);
        assert!(matches!(line.join(None, Some(0), ()), Joined::Full));
        for (index, value) in lent.into_iter().enumerate() {
            line.put(index, value).unwrap();
        }
        let counts = line.counts();
        assert_eq!((counts.idle, counts.in_use, counts.peak_in_use), (2, 0, 2));
    }

    #[test]
    fn a_mark_outlives_its_waiter_and_costs_one_announced_put() {
        let line = Lending::<u32, (), ()>::new(1);
        assert_eq!(line.claim(), Some(0));
        line.restate(0, Standing::Opening, Standing::Open);
        let Joined::InLine { waiter, ticket, .. } = line.join(None, None, ()) else {
            panic!("the slot is empty")
        };
        assert!(matches!(waiter.leave(), Outcome::Nothing));
        line.forget(waiter, ticket);
        let Err(value) = line.slot(0).cell.put(Box::new(1)) else { panic!("no mark") };
        line.put(0, value).unwrap();
        let value = line.try_take(0).unwrap();
        line.slot(0).cell.put(value).expect("the mark is gone with the first put");
    }

    #[test]
    fn a_home_beyond_the_first_slots_is_tried_first() {
        let line = Lending::<usize, (), ()>::new(1);
        line.set_ceiling(4);
        for index in 0..4 {
            assert_eq!(line.claim(), Some(index));
            line.restate(index, Standing::Opening, Standing::Open);
            line.admit(index, Box::new(index)).unwrap();
        }
        assert_eq!(line.try_take(2).as_deref(), Some(&2));
        assert_eq!(line.try_take(2).as_deref(), Some(&3));
        assert_eq!(line.try_take(9).as_deref(), Some(&0), "a home that does not exist");
    }

    type Owners = Lending<Owner, (), ()>;

    struct Owner {
        lending: Arc<Owners>,
        seat: Seat<Owner, (), ()>,
    }

    /// For miri above all: the memory of the slots ends with the value, in the middle of its put.
    #[test]
    fn a_put_of_the_last_owner_against_a_close() {
        for _ in 0..if cfg!(miri) { 40 } else { 5_000 } {
            let lending = Arc::new(Owners::new(1));
            let mut seat = Seat::claim(&lending).unwrap();
            seat.opened();
            let owner = Box::new(Owner { lending: Arc::clone(&lending), seat });
            lending.admit(0, owner).unwrap_or_else(|_| panic!("nobody has closed"));
            let owner = lending.try_take(0).unwrap();
            let closer = thread::spawn(move || {
                let idle = lending.close(&());
                drop(lending);
                drop(idle);
            });
            drop(Owners::put_owned(owner, |owner| (&owner.lending, owner.seat.index())));
            closer.join().unwrap();
        }
    }
}
