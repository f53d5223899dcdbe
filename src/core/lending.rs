//! Lending: slots, queue and ledger under one protocol. The README beside this file states it.

use super::ledger::Ledger;
use super::queue::{Queue, Ticket};
use super::slots::{Slot, Slots};
use super::sync::{Arc, AtomicU32, Mutex, MutexGuard, Ordering};
use super::waiter::Waiter;

/// In the gate: the pool is closed for good.
const CLOSED: u32 = 1 << 31;
/// In the gate: lending is suspended.
const SUSPENDED: u32 = 1 << 30;
// The low bits of the gate count the waiters; see `Desk::enter` for why they cannot reach the flags.
const WAITING: u32 = SUSPENDED - 1;

/// What is decided under the one lock.
struct Desk<T, R> {
    queue: Queue<T, R>,
    ledger: Ledger,
    /// While set, a caller that no idle connection can serve is refused with it at once.
    refusal: Option<R>,
    /// A sweep found every slot empty while somebody was waiting, and somebody has been waiting since: by I4 every
    /// value put into a slot in the meantime is announced by its putter, so sweeping again would find nothing.
    swept: bool,
    peak_waiting: usize,
    peak_in_use: usize,
}

/// Lends values of type `T` from slots to threads, first come, first served.
///
/// `S` is a card of the floor above that stands in each slot, `R` the reason with which waiters are refused.
pub(crate) struct Lending<T, S, R> {
    slots: Slots<T, S>,
    /// Zero on the direct path: nobody waits, and lending is neither suspended nor closed. Written with the desk
    /// locked only. Read without it; see the README for why a stale zero is harmless.
    gate: AtomicU32,
    /// Guards queue, ledger and the decisions between them. No foreign code, no I/O, no waking of threads and no
    /// dropping of values runs under it. A waiter's own lock is the only one taken inside it.
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

/// The gauges of SPEC section 2 and what goes with them, all of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) idle: usize,
    pub(crate) in_use: usize,
    pub(crate) opening: usize,
    pub(crate) waiting: usize,
    pub(crate) ceiling: usize,
    pub(crate) peak_in_use: usize,
    pub(crate) peak_waiting: usize,
}

impl Counts {
    pub(crate) fn size(&self) -> usize {
        self.idle + self.in_use + self.opening
    }
}

impl<T, S: Default, R: Clone> Lending<T, S, R> {
    pub(crate) fn new(ceiling: usize) -> Self {
        Lending {
            slots: Slots::new(ceiling),
            gate: AtomicU32::new(0),
            desk: Mutex::new(Desk {
                queue: Queue::new(),
                ledger: Ledger::new(ceiling),
                refusal: None,
                swept: false,
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

    #[inline]
    fn gate(&self) -> u32 {
        // Relaxed: on the way in a stale value only means that this thread came before the change; on the way out
        // (`put`) the swap on the slot has synchronised with everyone who must be seen (README, I4).
        self.gate.load(Ordering::Relaxed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.gate() & CLOSED != 0
    }

    /// Takes a value without waiting, first from the slot `home`. `None` also where others wait: nobody barges.
    #[inline]
    pub(crate) fn try_take(&self, home: usize) -> Option<Box<T>> {
        if self.gate() != 0 {
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
        if self.gate() != 0 {
            return self.put_announced(index, value);
        }
        let old = self.slots.get(index).cell.put(value);
        debug_assert!(old.is_none(), "BUG: slot {index} held two values");
        // I4: a waiter that registered and swept this slot before the swap above is seen here, and so is a close.
        if self.gate() == 0 { Ok(()) } else { self.match_own(index) }
    }

    /// As `put`, decided under the lock.
    #[cold]
    fn put_announced(&self, index: usize, value: Box<T>) -> Result<(), Box<T>> {
        let mut desk = self.desk.lock();
        let gate = self.gate();
        if gate & CLOSED != 0 {
            return Err(value);
        }
        let mut value = value;
        if gate & SUSPENDED == 0 {
            while let Some(waiter) = self.pop(&mut desk) {
                match waiter.serve(value) {
                    Ok(()) => {
                        drop(desk);
                        waiter.wake();
                        return Ok(());
                    }
                    Err(refused) => value = refused,
                }
            }
        }
        let old = self.slots.get(index).cell.put(value);
        debug_assert!(old.is_none(), "BUG: slot {index} held two values");
        Ok(())
    }

    /// After a direct put that then found the gate changed: the value just put may be due to a waiter.
    #[cold]
    fn match_own(&self, index: usize) -> Result<(), Box<T>> {
        match self.slots.get(index).cell.take_surely() {
            Some(value) => self.put_announced(index, value),
            // Somebody has taken it meanwhile, and it is theirs to return.
            None => Ok(()),
        }
    }

    /// Stands in line, unless a value is free or the rules of the moment say otherwise. `old` is the ticket of a
    /// caller that was served once and comes back: it stands where it stood, and no bound applies to it.
    pub(crate) fn join(&self, old: Option<Ticket>, max_waiting: Option<usize>) -> Joined<T, R> {
        let mut desk = self.desk.lock();
        let gate = self.gate();
        if gate & CLOSED != 0 {
            return Joined::Closed;
        }
        let alone = desk.queue.len() == 0;
        let (waiter, ticket, ahead) = desk.queue.join(old);
        self.enter();
        let woken = if gate & SUSPENDED == 0 { self.match_idle(&mut desk) } else { None };
        if alone && woken.is_some() {
            // The one value found went to the head, and the head is this caller.
            drop(desk);
            return match waiter.leave() {
                super::waiter::Outcome::Served(value) => {
                    self.desk.lock().queue.recycle(waiter);
                    Joined::Got(value)
                }
                _ => unreachable!("BUG: the only waiter was not the one served"),
            };
        }
        let waiting = desk.queue.len();
        let over = old.is_none() && max_waiting.is_some_and(|max| waiting > max);
        let refused = if over { None } else { desk.refusal.clone() };
        if over || refused.is_some() {
            self.strike(&mut desk, ticket);
            drop(desk);
            self.wake_all(woken);
            return match refused {
                Some(reason) => Joined::Refused(reason),
                None => Joined::Full(waiting - 1),
            };
        }
        desk.peak_waiting = desk.peak_waiting.max(waiting);
        drop(desk);
        self.wake_all(woken);
        Joined::InLine { waiter, ticket, ahead }
    }

    /// Takes a waiter that has left off the line, and keeps it for the next.
    pub(crate) fn forget(&self, waiter: Arc<Waiter<T, R>>, ticket: Ticket) {
        let mut desk = self.desk.lock();
        self.strike(&mut desk, ticket);
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

    fn enter(&self) {
        // Relaxed: the sweep's swaps that follow publish it (I4); everyone else reads it under the lock. One waiter
        // is one blocked thread, and no system runs the 2^30 threads that would reach the flags.
        let before = self.gate.fetch_add(1, Ordering::Relaxed);
        debug_assert!(before & WAITING < WAITING, "BUG: {before:#x} waiters");
    }

    fn left(&self, desk: &mut Desk<T, R>) {
        // Relaxed: as in `enter`; a late reader takes the slow path once too often.
        self.gate.fetch_sub(1, Ordering::Relaxed);
        if desk.queue.len() == 0 {
            desk.swept = false;
        }
    }

    fn pop(&self, desk: &mut Desk<T, R>) -> Option<Arc<Waiter<T, R>>> {
        let waiter = desk.queue.pop()?;
        self.left(desk);
        Some(waiter)
    }

    fn strike(&self, desk: &mut Desk<T, R>, ticket: Ticket) {
        if desk.queue.remove(ticket) {
            self.left(desk);
        }
    }

    /// Serves waiters from the slots for as long as both last: register, then sweep (I4). Returns whom to wake:
    /// one in nearly every case, so the list grows only for more.
    fn match_idle(&self, desk: &mut Desk<T, R>) -> Option<Vec<Arc<Waiter<T, R>>>> {
        if desk.swept {
            return None;
        }
        let mut woken: Option<Vec<_>> = None;
        for slot in self.slots.iter() {
            if desk.queue.len() == 0 {
                return woken;
            }
            let Some(mut value) = slot.cell.take_surely() else { continue };
            loop {
                let Some(waiter) = self.pop(desk) else {
                    let old = slot.cell.put(value);
                    debug_assert!(old.is_none(), "BUG: a slot held two values");
                    return woken;
                };
                match waiter.serve(value) {
                    Ok(()) => {
                        woken.get_or_insert_default().push(waiter);
                        break;
                    }
                    Err(refused) => value = refused,
                }
            }
        }
        desk.swept = desk.queue.len() > 0;
        woken
    }

    fn wake_all(&self, woken: Option<Vec<Arc<Waiter<T, R>>>>) {
        for waiter in woken.into_iter().flatten() {
            waiter.wake();
        }
    }

    /// Refuses everybody who waits, and with `standing` also whoever would have to wait from now on.
    pub(crate) fn refuse(&self, reason: &R, standing: bool) -> usize {
        let mut desk = self.desk.lock();
        if standing {
            desk.refusal = Some(reason.clone());
        }
        let waiters = self.dismiss(&mut desk, reason);
        drop(desk);
        let count = waiters.len();
        self.wake_all(Some(waiters));
        count
    }

    /// Ends a standing refusal.
    pub(crate) fn admit(&self) {
        self.desk.lock().refusal = None;
    }

    fn dismiss(&self, desk: &mut MutexGuard<'_, Desk<T, R>>, reason: &R) -> Vec<Arc<Waiter<T, R>>> {
        let mut waiters = Vec::with_capacity(desk.queue.len());
        while let Some(waiter) = self.pop(desk) {
            waiter.refuse(reason.clone());
            waiters.push(waiter);
        }
        waiters
    }

    /// Stops lending for good: refuses all waiters and returns every idle value. Values put from now on come back
    /// to their putters.
    pub(crate) fn close(&self, reason: &R) -> Vec<Box<T>> {
        let mut desk = self.desk.lock();
        // Relaxed: published by the sweep's swaps below, as a waiter's registration is (I4).
        self.gate.fetch_or(CLOSED, Ordering::Relaxed);
        let waiters = self.dismiss(&mut desk, reason);
        let idle = self.slots.iter().filter_map(|slot| slot.cell.take_surely()).collect();
        drop(desk);
        self.wake_all(Some(waiters));
        idle
    }

    /// Stops lending until `resume`; returned values stay in their slots and callers wait. False if it was so.
    pub(crate) fn suspend(&self) -> bool {
        let _desk = self.desk.lock();
        // Relaxed: nothing is missed by a thread that still lends; it came before.
        self.gate.fetch_or(SUSPENDED, Ordering::Relaxed) & SUSPENDED == 0
    }

    /// Lends again and serves those who waited. False if it was not suspended.
    pub(crate) fn resume(&self) -> bool {
        let mut desk = self.desk.lock();
        // Relaxed: written under the lock; the sweep below serves whoever waited.
        let was = self.gate.fetch_and(!SUSPENDED, Ordering::Relaxed) & SUSPENDED != 0;
        desk.swept = false;
        let woken = self.match_idle(&mut desk);
        drop(desk);
        self.wake_all(woken);
        was
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.gate() & SUSPENDED != 0
    }

    pub(super) fn claim(&self) -> Option<usize> {
        let mut desk = self.desk.lock();
        if self.gate() & CLOSED != 0 {
            return None;
        }
        let index = desk.ledger.claim()?;
        self.slots.ensure(desk.ledger.extent());
        Some(index)
    }

    pub(super) fn opened(&self) {
        let mut desk = self.desk.lock();
        desk.ledger.opened();
        self.note_in_use(&mut desk);
    }

    pub(super) fn give_back(&self, index: usize, was_open: bool) {
        self.desk.lock().ledger.give_back(index, was_open);
    }

    pub(crate) fn set_ceiling(&self, ceiling: usize) {
        self.desk.lock().ledger.set_ceiling(ceiling);
    }

    /// Whether the number of connections is above `limit` just now.
    pub(crate) fn size_exceeds(&self, limit: usize) -> bool {
        self.desk.lock().ledger.size() > limit
    }

    fn idle(&self) -> usize {
        self.slots.iter().filter(|slot| slot.cell.is_full()).count()
    }

    fn note_in_use(&self, desk: &mut Desk<T, R>) {
        let open = desk.ledger.open();
        if desk.peak_in_use < open {
            // At most `open` values stand in slots: each has its seat, and seats change under this lock only.
            desk.peak_in_use = desk.peak_in_use.max(open.saturating_sub(self.idle()));
        }
    }

    /// The gauges, of one moment: `size = idle + in_use + opening` by construction.
    pub(crate) fn counts(&self) -> Counts {
        let mut desk = self.desk.lock();
        self.note_in_use(&mut desk);
        let open = desk.ledger.open();
        let idle = self.idle().min(open);
        Counts {
            idle,
            in_use: open - idle,
            opening: desk.ledger.opening(),
            waiting: desk.queue.len(),
            ceiling: desk.ledger.ceiling(),
            peak_in_use: desk.peak_in_use,
            peak_waiting: desk.peak_waiting,
        }
    }
}
