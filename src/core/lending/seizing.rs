//! Seizing: keeping a connection that is out from being lent again, and taking its capacity back before it returns.

use super::Lending;

/// A connection that was out when it was seized; README, "Seize".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seizure {
    index: usize,
    /// Tells it from later seizures of the same slot.
    number: u64,
}

impl<T, S: Default, R: Clone, W: Copy> Lending<T, S, R, W> {
    /// Sees to it that the value of a slot, which is out, comes back to its putter at every put from now on, until
    /// its seat is given back. `None` where it is not out, or where `is_it` says of the slot's card that another
    /// borrower has it by now.
    ///
    /// `is_it` runs under the desk: it only looks at the card, and may note there what it found.
    pub(crate) fn seize(&self, index: usize, is_it: impl FnOnce(&S) -> bool) -> Option<Seizure> {
        let mut desk = self.desk.lock();
        let slot = self.slots.get(index);
        // The mark comes first: a put before it shows in the cell or on the card, and one after it comes to the
        // desk, behind this call.
        if let Some(value) = slot.cell.take_marking() {
            slot.cell.place(value);
            return None;
        }
        let number = if is_it(&slot.card) { desk.ledger.seize(index) } else { None };
        number.map(|number| Seizure { index, number })
    }

    /// Whether the seat of a seized value has not been given back.
    pub(crate) fn is_seized(&self, seizure: Seizure) -> bool {
        self.desk.lock().ledger.seized(seizure.index) == Some(seizure.number)
    }

    /// Takes the capacity of a seized value back, although its seat still exists: dropping the seat gives nothing
    /// back a second time. Its slot stays with it until then. False where the seat is gone, where it has been done,
    /// and where `most` seats are without capacity already.
    ///
    /// `note` runs under the desk, where it was done: it only writes the card.
    pub(crate) fn forfeit(&self, seizure: Seizure, most: usize, note: impl FnOnce(&S)) -> bool {
        let mut desk = self.desk.lock();
        let done = desk.ledger.forfeit(seizure.index, seizure.number, most);
        if done {
            note(&self.slots.get(seizure.index).card);
        }
        done
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use crate::core::ledger::Standing;
    use crate::core::{Lending, Seat};
    use std::sync::Arc;

    type Line = Lending<u32, (), ()>;

    fn out() -> (Arc<Line>, Seat<u32, (), ()>) {
        let line = Arc::new(Line::new(1));
        let mut seat = Seat::claim(&line).unwrap();
        seat.opened();
        line.admit(0, Box::new(7)).unwrap();
        (line, seat)
    }

    #[test]
    fn a_seized_value_is_not_lent_again() {
        let (line, seat) = out();
        assert!(line.seize(0, |_| true).is_none(), "it is idle");
        let value = line.try_take(0).expect("a look at an idle value takes it away");
        assert!(line.seize(0, |_| false).is_none(), "another borrower has it");
        line.put(0, value).unwrap();
        let value = line.try_take(0).unwrap();
        let seizure = line.seize(0, |_| true).unwrap();
        assert_eq!(line.seize(0, |_| true), Some(seizure), "a second step of the same");
        assert_eq!(line.put(0, value), Err(Box::new(7)));
        assert!(line.is_seized(seizure));
        drop(seat);
        assert!(!line.is_seized(seizure) && line.seize(0, |_| true).is_none(), "the slot is free");
        assert_eq!(line.claim(), Some(0));
    }

    #[test]
    fn capacity_taken_back_early_is_not_given_back_again() {
        let (line, mut seat) = out();
        let value = line.try_take(0).unwrap();
        let seizure = line.seize(0, |_| true).unwrap();
        assert!(!line.forfeit(seizure, 0, |()| unreachable!()), "the bound");
        assert!(line.forfeit(seizure, 1, |()| ()) && !line.forfeit(seizure, 9, |()| unreachable!()));
        assert_eq!(line.counts().size(), 0);
        assert_eq!(line.claim(), Some(1), "a slot of its own");
        assert_eq!(line.claim(), None);
        line.restate(1, Standing::Opening, Standing::Open);
        assert_eq!(line.put(0, value), Err(Box::new(7)));
        seat.leaves();
        assert_eq!(line.counts().leaving, 0);
        drop(seat);
        assert_eq!((line.counts().size(), line.claim()), (1, None), "given back twice");
    }
}
