//! The ledger: which slots are claimed, and how many connections are open or being opened.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Capacity as numbers that only [`Seat`](super::seat::Seat) changes. A plain value: the desk's lock guards it.
#[derive(Debug)]
pub(crate) struct Ledger {
    ceiling: usize,
    opening: usize,
    open: usize,
    /// Indices given back, lowest first: load gathers in the low slots and the high ones fall idle.
    free: BinaryHeap<Reverse<usize>>,
    /// Indices at or above were never claimed.
    next: usize,
}

impl Ledger {
    pub(crate) fn new(ceiling: usize) -> Self {
        Ledger { ceiling, opening: 0, open: 0, free: BinaryHeap::new(), next: 0 }
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

    /// I1: `opening + open`, never above the ceiling but for a ceiling that was lowered.
    pub(crate) fn size(&self) -> usize {
        self.opening + self.open
    }

    /// Claims a slot for a connection about to be opened.
    pub(crate) fn claim(&mut self) -> Option<usize> {
        if self.size() >= self.ceiling {
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

    /// Records that the connection of a claimed slot is open.
    pub(crate) fn opened(&mut self) {
        assert!(self.opening > 0, "BUG: a connection opened that was not being opened: {self:?}");
        self.opening -= 1;
        self.open += 1;
    }

    /// Takes a slot back; `was_open` says in which of the two counts it stands.
    pub(crate) fn give_back(&mut self, index: usize, was_open: bool) {
        let count = if was_open { &mut self.open } else { &mut self.opening };
        *count = count.checked_sub(1).unwrap_or_else(|| unreachable!("BUG: slot {index} given back twice"));
        self.free.push(Reverse(index));
    }

    /// How many slots were ever claimed: the length that the slot array needs.
    pub(crate) fn extent(&self) -> usize {
        self.next
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use super::Ledger;

    #[test]
    fn the_ceiling_counts_connections_being_opened() {
        let mut ledger = Ledger::new(2);
        assert_eq!((ledger.claim(), ledger.claim(), ledger.claim()), (Some(0), Some(1), None));
        ledger.opened();
        assert_eq!((ledger.opening(), ledger.open()), (1, 1));
        assert_eq!(ledger.claim(), None);
        ledger.give_back(0, true);
        assert_eq!(ledger.claim(), Some(0), "the lowest free slot comes first");
        ledger.set_ceiling(1);
        ledger.give_back(1, false);
        assert_eq!(ledger.claim(), None, "a lowered ceiling holds");
        assert_eq!(ledger.extent(), 2);
    }
}
