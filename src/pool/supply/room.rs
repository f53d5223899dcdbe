//! A pool as one of those that share a budget.

use std::sync::Arc;

use r2d2::ManageConnection;

use super::demand::demand;
use crate::pool::parts::budget::Member;
use crate::pool::shared::Shared;

impl<M: ManageConnection> Member for Shared<M> {
    fn taken(&self) -> usize {
        self.lending.taken()
    }

    fn set_ceiling(&self, ceiling: usize) {
        self.lending.set_ceiling(ceiling);
    }

    fn use_room(self: Arc<Self>) {
        demand(&self);
    }

    fn suspect_all(&self) {
        self.generations.suspect_before(self.fast.next_generation());
    }
}
