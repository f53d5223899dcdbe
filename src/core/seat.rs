//! A seat: the right to have one connection, as an owned value.

use super::ledger::Standing;
use super::lending::Lending;
use super::sync::Arc;

/// One unit of capacity and the slot that goes with it (invariant I1). Whoever has the connection, or is about to,
/// has its seat; dropping the seat gives the capacity back, on every path and also while a panic unwinds.
pub(crate) struct Seat<T, S: Default, R: Clone, W: Copy = ()> {
    lending: Arc<Lending<T, S, R, W>>,
    index: usize,
    standing: Standing,
}

impl<T, S: Default, R: Clone, W: Copy> Seat<T, S, R, W> {
    /// Claims capacity for a connection to be opened; `None` at the ceiling or once closed.
    pub(crate) fn claim(lending: &Arc<Lending<T, S, R, W>>) -> Option<Self> {
        let index = lending.claim()?;
        Some(Seat { lending: Arc::clone(lending), index, standing: Standing::Opening })
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
        self.lending.restate(self.index, self.standing, standing);
        self.standing = standing;
    }

    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

impl<T, S: Default, R: Clone, W: Copy> Drop for Seat<T, S, R, W> {
    fn drop(&mut self) {
        self.lending.give_back(self.index, self.standing);
    }
}
