//! The ledger: which slots are claimed, and how many connections are open or being opened.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// In which count a claimed slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Opening,
    Open,
    /// Being closed: out of every gauge, and still a slot that nobody else can have.
    Leaving,
}

/// Capacity as numbers that only [`Seat`](super::seat::Seat) changes. A plain value: the desk's lock guards it.
#[derive(Debug)]
pub(crate) struct Ledger {
    ceiling: usize,
    opening: usize,
    open: usize,
    leaving: usize,
    /// Indices given back, lowest first: load gathers in the low slots and the high ones fall idle.
    free: BinaryHeap<Reverse<usize>>,
    /// Indices at or above were never claimed.
    next: usize,
    /// Claimed slots whose connection is not to be lent again; nearly always none.
    seized: BTreeMap<usize, Seized>,
    /// Seizures so far.
    seizures: u64,
}

/// What is known of a seized slot.
#[derive(Debug)]
struct Seized {
    number: u64,
    /// Where its seat stands.
    standing: Standing,
    /// It is out of every count, ahead of its seat's end.
    forfeited: bool,
}

impl Ledger {
    pub(crate) fn new(ceiling: usize) -> Self {
        Ledger {
            ceiling,
            opening: 0,
            open: 0,
            leaving: 0,
            free: BinaryHeap::new(),
            next: 0,
            seized: BTreeMap::new(),
            seizures: 0,
        }
    }

    pub(crate) fn ceiling(&self) -> usize {
        self.ceiling
    }

    /// Moves the ceiling; connections above it stay until their owners close them.
    pub(crate) fn set_ceiling(&mut self, ceiling: usize) {
        self.ceiling = ceiling;
    }

    pub(crate) fn opening(&self) -> usize {
        self.opening
    }

    pub(crate) fn open(&self) -> usize {
        self.open
    }

    pub(crate) fn leaving(&self) -> usize {
        self.leaving
    }

    /// I1: `opening + open + leaving`, never above the ceiling but for a ceiling that was lowered.
    pub(crate) fn size(&self) -> usize {
        self.opening + self.open + self.leaving
    }

    /// Whether a claim would be granted.
    pub(crate) fn has_room(&self) -> bool {
        self.size() < self.ceiling
    }

    /// Claims a slot for a connection about to be opened.
    pub(crate) fn claim(&mut self) -> Option<usize> {
        if !self.has_room() {
            return None;
        }
        self.opening += 1;
        let index = match self.free.pop() {
            Some(Reverse(index)) => index,
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        Some(index)
    }

    fn count(&mut self, standing: Standing) -> &mut usize {
        match standing {
            Standing::Opening => &mut self.opening,
            Standing::Open => &mut self.open,
            Standing::Leaving => &mut self.leaving,
        }
    }

    fn take_from(&mut self, standing: Standing) {
        let count = self.count(standing);
        *count = count
            .checked_sub(1)
            .unwrap_or_else(|| unreachable!("BUG: a slot stood in no count: {standing:?}"));
    }

    /// Moves a claimed slot from one count to another.
    pub(crate) fn restate(&mut self, index: usize, from: Standing, to: Standing) {
        if let Some(seized) = self.seized.get_mut(&index) {
            seized.standing = to;
            if seized.forfeited {
                return;
            }
        }
        self.take_from(from);
        *self.count(to) += 1;
    }

    /// Takes a slot back.
    pub(crate) fn give_back(&mut self, index: usize, standing: Standing) {
        let forfeited = self.seized.remove(&index).is_some_and(|seized| seized.forfeited);
        if !forfeited {
            self.take_from(standing);
        }
        self.free.push(Reverse(index));
    }

    /// Marks the slot of a connection that is open as one not to be lent again, and returns the number of the
    /// seizure: the present one where it is seized already. `None` for a slot that nobody has.
    pub(crate) fn seize(&mut self, index: usize) -> Option<u64> {
        if index >= self.next || self.free.iter().any(|free| free.0 == index) {
            return None;
        }
        let number = self.seizures;
        let fresh = Seized { number, standing: Standing::Open, forfeited: false };
        let seized = self.seized.entry(index).or_insert(fresh);
        self.seizures += u64::from(seized.number == number);
        Some(seized.number)
    }

    /// The number of a slot's seizure, if it is seized.
    pub(crate) fn seized(&self, index: usize) -> Option<u64> {
        self.seized.get(&index).map(|seized| seized.number)
    }

    /// Takes a seized slot out of every count, unless `most` are so already.
    pub(crate) fn forfeit(&mut self, index: usize, number: u64, most: usize) -> bool {
        let forfeited = self.seized.values().filter(|seized| seized.forfeited).count();
        let Some(seized) = self.seized.get_mut(&index) else { return false };
        if seized.number != number || seized.forfeited || forfeited >= most {
            return false;
        }
        seized.forfeited = true;
        let standing = seized.standing;
        self.take_from(standing);
        true
    }

    /// How many slots were ever claimed: the length that the slot array needs.
    pub(crate) fn extent(&self) -> usize {
        self.next
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use super::{Ledger, Standing};

    #[test]
    fn the_ceiling_counts_connections_being_opened() {
        let mut ledger = Ledger::new(2);
        assert_eq!((ledger.claim(), ledger.claim(), ledger.claim()), (Some(0), Some(1), None));
        ledger.restate(0, Standing::Opening, Standing::Open);
        assert_eq!((ledger.opening(), ledger.open()), (1, 1));
        assert_eq!(ledger.claim(), None);
        ledger.restate(0, Standing::Open, Standing::Leaving);
        assert_eq!((ledger.open(), ledger.leaving()), (0, 1));
        assert_eq!(ledger.claim(), None, "one that is being closed counts against the ceiling");
        ledger.give_back(0, Standing::Leaving);
        assert_eq!(ledger.claim(), Some(0), "the lowest free slot comes first");
        ledger.set_ceiling(1);
        ledger.give_back(1, Standing::Opening);
        assert_eq!(ledger.claim(), None, "a lowered ceiling holds");
        assert_eq!(ledger.extent(), 2);
    }
}
