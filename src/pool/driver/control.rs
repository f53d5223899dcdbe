//! What other threads may do to a connection that is out.

use std::error::Error;
use std::fmt;
use std::sync::Weak;
use std::time::Duration;

#[cfg(feature = "postgres")]
use crate::lines::Origin;
use crate::stats::Holder;

/// Why a connection is taken from under its borrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Abandonment {
    /// [`Pool::close`](crate::Pool::close) has reached its deadline.
    PoolClosed,
    /// It was held for longer than `terminate_stuck_after`.
    HeldTooLong,
}

/// Acts on one session while its connection is lent; given to the pool by [`Driver::control`](crate::Driver::control).
///
/// The pool keeps it with the connection's slot and lets go of it as the connection is closed. It calls it only for a
/// connection that it will not lend again: a request that comes late hits the borrower it was meant for, or nobody.
/// Every method may be called from any thread, while the borrower uses the connection or gives it back. A panic in one
/// is caught, logged and counted.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::time::Duration;
/// use tierpool::{Abandonment, SessionControl};
///
/// /// Of a connection that looks at the flag whenever it waits.
/// struct Flag(AtomicBool);
///
/// impl SessionControl for Flag {
///     fn cancel(&self, _: Duration) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///         Err("this database cannot cancel".into())
///     }
///
///     fn terminate(&self, _: Duration) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///         Ok(())
///     }
///
///     fn abandon(&self, _: Abandonment) -> bool {
///         self.0.store(true, Ordering::Relaxed);
///         true
///     }
/// }
/// ```
pub trait SessionControl: Send + Sync {
    /// Told once where the connection stands in its pool, before it is first lent. The default forgets it.
    fn placed(&self, place: Place) {
        let _ = place;
    }

    /// Asks the server to cancel what runs in the session. `Ok` means asked, not done.
    ///
    /// # Blocking
    ///
    /// May do I/O for `limit`; called on a thread of the pool's. One that takes longer keeps that thread.
    ///
    /// # Errors
    ///
    /// When the server could not be asked; the pool logs it.
    fn cancel(&self, limit: Duration) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Ends the session on the server. `Ok` means that it has ended: the pool may open another in its place, even
    /// while the borrower keeps what is left of this one.
    ///
    /// # Blocking
    ///
    /// As [`SessionControl::cancel`].
    ///
    /// # Errors
    ///
    /// When the session may still be there; the pool logs it, and waits for the borrower.
    fn terminate(&self, limit: Duration) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Makes the call that waits on the connection, and every later one, fail at once; the connection is lost. Must
    /// neither block nor do I/O. False where it cannot be done without.
    fn abandon(&self, why: Abandonment) -> bool;

    /// For how long nothing has been heard of the server on this connection, as an upper bound. Called when statistics
    /// are taken and when the connection is closed or given up, never at a checkout. Must neither block nor do I/O: of
    /// a connection that is tidied away or hangs the keeper calls it, on which all pools of its group wait.
    ///
    /// Default: not known.
    fn silence(&self) -> Option<Duration> {
        None
    }
}

/// The place of one connection in its pool, by which a database layer can name it and its borrower.
#[derive(Clone)]
pub struct Place {
    pool: Weak<dyn Directory>,
    index: usize,
    id: u64,
}

/// What a place asks of its pool.
pub(crate) trait Directory: Send + Sync {
    fn pool_name(&self) -> String;
    /// The pool as whose its log lines are.
    #[cfg(feature = "postgres")]
    fn origin(&self) -> Origin;
    /// Who has the connection in a slot.
    fn holder_at(&self, index: usize) -> Option<Holder>;
    fn count_slow_query(&self);
    fn count_statement_timeout(&self);
    fn record_query(&self, took: Duration);
    fn look_closer(&self);
}

impl Place {
    pub(crate) fn new(pool: Weak<dyn Directory>, index: usize, id: u64) -> Self {
        Place { pool, index, id }
    }

    /// Returns the connection's id, as in events and the list of holders.
    pub fn connection_id(&self) -> u64 {
        self.id
    }

    /// Returns the pool's name; `None` once the pool is gone.
    pub fn pool_name(&self) -> Option<String> {
        self.pool.upgrade().map(|pool| pool.pool_name())
    }

    /// The pool as whose its log lines are; `None` once the pool is gone.
    #[cfg(feature = "postgres")]
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.pool.upgrade().map(|pool| pool.origin())
    }

    /// Returns who has the connection, if anybody.
    pub fn holder(&self) -> Option<Holder> {
        let holder = self.pool.upgrade()?.holder_at(self.index);
        holder.filter(|holder| holder.connection_id == self.id)
    }

    /// Has the pool look whether connections are known to be lost, once for each, before it lends them: what happened
    /// to this one while it was idle does not show by itself. See [`Driver::is_lost`](crate::Driver::is_lost).
    pub fn look_closer(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.look_closer();
        }
    }

    /// Counts a statement that took too long, in [`Stats::slow_queries`](crate::Stats::slow_queries).
    pub fn count_slow_query(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.count_slow_query();
        }
    }

    /// Counts a statement that the server cancelled, in
    /// [`Stats::statement_timeouts`](crate::Stats::statement_timeouts).
    pub fn count_statement_timeout(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.count_statement_timeout();
        }
    }

    /// Records how long a statement took, in [`Stats::query`](crate::Stats::query).
    pub fn record_query(&self, took: Duration) {
        if let Some(pool) = self.pool.upgrade() {
            pool.record_query(took);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("connection_id", &self.id).finish_non_exhaustive()
    }
}
