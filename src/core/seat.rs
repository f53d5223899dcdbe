//! A seat: the right to have one connection, as an owned value.

use super::lending::Lending;
use super::sync::Arc;

/// One unit of capacity and the slot that goes with it (invariant I1). Whoever has the connection, or is about to,
/// has its seat; dropping the seat gives the capacity back, on every path and also while a panic unwinds.
pub(crate) struct Seat<T, S: Default, R: Clone> {
    lending: Arc<Lending<T, S, R>>,
    index: usize,
    open: bool,
}

impl<T, S: Default, R: Clone> Seat<T, S, R> {
    /// Claims capacity for a connection to be opened; `None` at the ceiling or once closed.
    pub(crate) fn claim(lending: &Arc<Lending<T, S, R>>) -> Option<Self> {
        let index = lending.claim()?;
        Some(Seat { lending: Arc::clone(lending), index, open: false })
    }

    /// Records that the connection is open: it moves from the gauge `opening` to `in_use`.
    pub(crate) fn opened(&mut self) {
        debug_assert!(!self.open, "BUG: seat {} opened twice", self.index);
        self.lending.opened();
        self.open = true;
    }

    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

impl<T, S: Default, R: Clone> Drop for Seat<T, S, R> {
    fn drop(&mut self) {
        self.lending.give_back(self.index, self.open);
    }
}
