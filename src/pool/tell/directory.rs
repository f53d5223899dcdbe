//! What a connection's place says of its pool, and does to it.

use std::time::Duration;

use r2d2::ManageConnection;

#[cfg(feature = "postgres")]
use crate::lines::Origin;
use crate::pool::driver::control::Directory;
use crate::pool::shared::Shared;
use crate::stats::Holder;

impl<M: ManageConnection> Directory for Shared<M> {
    fn pool_name(&self) -> String {
        self.settings().name.clone()
    }

    #[cfg(feature = "postgres")]
    fn origin(&self) -> Origin {
        Shared::origin(self)
    }

    fn holder_at(&self, index: usize) -> Option<Holder> {
        self.card(index).holder(self.exact_now())
    }

    fn count_slow_query(&self) {
        self.counters.slow_queries.bump();
    }

    fn count_statement_timeout(&self) {
        self.counters.statement_timeouts.bump();
    }

    fn record_query(&self, took: Duration) {
        self.counters.query.record(took);
    }

    fn look_closer(&self) {
        self.fast.next_generation();
    }
}
