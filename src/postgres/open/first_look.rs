//! A look at the server through the first connection of a pool: once, while it is still its opener's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::postgres::connection::PgConnection;

/// Is given the connection, how many the pool has begun to open so far, and what time is left of opening this one.
type Look = Box<dyn Fn(&mut PgConnection, u32, Duration) + Send + Sync>;

/// What is to be looked at, for all managers of one pool.
///
/// **Ordering.** `Relaxed` in all uses: `is_done` decides by its swap alone who looks, and `begun` is a bound on a
/// figure for people. Nothing is published with either.
pub(in crate::postgres) struct FirstLook {
    is_done: AtomicBool,
    begun: AtomicU32,
    look: Look,
}

impl FirstLook {
    pub fn new(look: impl Fn(&mut PgConnection, u32, Duration) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(FirstLook {
            is_done: AtomicBool::new(false),
            begun: AtomicU32::new(0),
            look: Box::new(look),
        })
    }

    /// Notes that a connection is being opened.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    /// Looks, unless that was done.
    pub fn through(&self, conn: &mut PgConnection, left: Duration) {
        if !self.is_done.swap(true, Relaxed) {
            (self.look)(conn, self.begun.load(Relaxed), left);
        }
    }
}

impl fmt::Debug for FirstLook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstLook").field("is_done", &self.is_done).finish_non_exhaustive()
    }
}
