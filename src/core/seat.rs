//! A seat: the right to have one connection, as an owned value.
//!
//! A connection may leave its seat to somebody else for a while: what is left behind then has its index, and no
//! capacity.

use super::ledger::Standing;
use super::lending::Lending;
use super::sync::Arc;

/// One unit of capacity and the slot that goes with it (invariant I1). Whoever has the connection, or is about to, or
/// decides about it, has its seat; dropping the seat gives the capacity back, on every path and also while a panic
/// unwinds.
pub(crate) struct Seat<T, S: Default, R: Clone, W: Copy = ()> {
    /// `None` once it has been lifted: then it has no capacity.
    lending: Option<Arc<Lending<T, S, R, W>>>,
    index: usize,
    standing: Standing,
}

impl<T, S: Default, R: Clone, W: Copy> Seat<T, S, R, W> {
    /// Claims capacity for a connection to be opened; `None` at the ceiling or once closed.
    pub(crate) fn claim(lending: &Arc<Lending<T, S, R, W>>) -> Option<Self> {
        let index = lending.claim()?;
        Some(Seat { lending: Some(Arc::clone(lending)), index, standing: Standing::Opening })
    }

    /// Records that the connection is open: it moves from the gauge `opening` to `in_use`.
    pub(crate) fn opened(&mut self) {
        debug_assert_eq!(self.standing, Standing::Opening, "BUG: seat {} opened twice", self.index);
        self.restate(Standing::Open);
    }

    /// Records that the connection is being closed.
    pub(crate) fn leaves(&mut self) {
        self.restate(Standing::Leaving);
    }

    /// Records that closing it takes too long to look away from.
    pub(crate) fn stays(&mut self) {
        self.restate(Standing::Open);
    }

    fn restate(&mut self, standing: Standing) {
        let lending =
            self.lending.as_ref().unwrap_or_else(|| unreachable!("BUG: seat {} was lifted", self.index));
        lending.restate(self.index, self.standing, standing);
        self.standing = standing;
    }

    /// The seat itself, with its capacity, for somebody who is to decide what becomes of it. Of this one the index is
    /// left, and dropping it does nothing.
    pub(crate) fn lift(&mut self) -> Self {
        let lending =
            self.lending.take().unwrap_or_else(|| unreachable!("BUG: seat {} lifted twice", self.index));
        Seat { lending: Some(lending), index: self.index, standing: self.standing }
    }

    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

impl<T, S: Default, R: Clone, W: Copy> Drop for Seat<T, S, R, W> {
    fn drop(&mut self) {
        if let Some(lending) = &self.lending {
            lending.give_back(self.index, self.standing);
        }
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use super::{Arc, Lending, Seat};

    #[test]
    fn a_seat_that_was_lifted_gives_its_capacity_back_once_and_what_it_left_behind_nothing() {
        let lending = Arc::new(Lending::<u32, (), ()>::new(1));
        let mut left = Seat::claim(&lending).expect("there is room");
        left.opened();
        let seat = left.lift();
        assert_eq!((left.index(), seat.index()), (0, 0));
        drop(left);
        assert!(Seat::claim(&lending).is_none(), "its capacity is given back");
        drop(seat);
        assert!(Seat::claim(&lending).is_some(), "its capacity is lost");
    }
}
