//! The end of a tiered pool, for those who look at it without keeping it open.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use r2d2::ManageConnection;

use super::TieredPool;
use crate::process::Process;

/// What somebody wants called when the last handle of a pool goes, for as long as he keeps it. It may wait for a
/// thread of this crate to end that does no I/O with the database, and for nothing else.
pub(crate) type AtEnd = Arc<dyn Fn() + Send + Sync>;

/// Goes with the last handle of a tiered pool, and calls who asked for that.
pub(crate) struct Ends {
    /// Nothing is called under it.
    wanted: Mutex<Vec<Weak<dyn Fn() + Send + Sync>>>,
    process: Process,
}

impl Default for Ends {
    fn default() -> Self {
        Ends { wanted: Mutex::default(), process: Process::this() }
    }
}

impl Ends {
    fn ask(&self, call: &AtEnd) {
        let mut wanted = self.wanted.lock();
        wanted.retain(|call| call.strong_count() > 0);
        wanted.push(Arc::downgrade(call));
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        // In a child made by `fork` the pool's end is the parent's affair.
        if self.process.is_this() {
            let wanted = std::mem::take(self.wanted.get_mut());
            wanted.into_iter().filter_map(|call| call.upgrade()).for_each(|call| call());
        }
    }
}

impl<M: ManageConnection> TieredPool<M> {
    /// Has something called when the last handle of this pool goes, on the thread that lets go of it.
    pub(crate) fn at_end(&self, call: &AtEnd) {
        self.ends.ask(call);
    }
}
