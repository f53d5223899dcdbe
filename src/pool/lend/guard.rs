//! The guard: a connection on loan.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;

use r2d2::{Extensions, ManageConnection};

use super::checkin::checkin;
use crate::pool::connection::body::Body;
use crate::pool::shared::Entry;
use crate::pool::supply::close::{dispose, vacate};
use crate::pool::supply::demand::demand;
use crate::pool::tell::accounts;
use crate::stats::CloseCause;
use crate::threads;

/// A connection on loan from a pool; dropping it is the checkin.
///
/// It can be sent to another thread and outlives the [`Pool`](crate::Pool) it came from: a connection returned after
/// the pool is gone is closed.
///
/// # Blocking
///
/// Neither the drop nor any method waits for the server, as far as the pool has a say: a connection in need of a
/// reset, and one to be closed, is passed to a thread of the pool's. The drop calls [`Driver::condition`], which for a
/// plain manager is its `has_broken`: r2d2's contract is that it does not block, and one that does holds the drop up.
///
/// [`Driver::condition`]: crate::Driver::condition
///
/// # Examples
///
/// ```
/// use tierpool::{MemoryManager, Pool};
///
/// let pool = Pool::new(MemoryManager)?;
/// let mut conn = pool.get()?;
/// conn.tag("job 42");
/// *conn += 1;
/// drop(conn);
/// assert_eq!(pool.state().idle_connections, 10);
/// # Ok::<(), tierpool::Error>(())
/// ```
pub struct PooledConnection<M: ManageConnection> {
    /// `None` only while it is being taken apart.
    entry: Option<Box<Entry<M>>>,
}

impl<M: ManageConnection> PooledConnection<M> {
    #[inline]
    pub(crate) fn new(entry: Box<Entry<M>>) -> Self {
        PooledConnection { entry: Some(entry) }
    }

    #[inline]
    fn entry(&self) -> &Entry<M> {
        match &self.entry {
            Some(entry) => entry,
            None => unreachable!("BUG: a guard was used after it was taken apart"),
        }
    }

    #[inline]
    fn body_mut(&mut self) -> &mut Body<M::Connection> {
        match &mut self.entry {
            Some(entry) => &mut entry.body,
            None => unreachable!("BUG: a guard was used after it was taken apart"),
        }
    }

    fn take(&mut self) -> Box<Entry<M>> {
        match self.entry.take() {
            Some(entry) => entry,
            None => unreachable!("BUG: a guard was taken apart twice"),
        }
    }

    /// Notes a new thread that uses the connection, for the list of holders and the deadlock check.
    #[inline]
    fn touch(&self) {
        let entry = self.entry();
        let (me, _) = threads::me();
        // Relaxed: see the field.
        if entry.body.thread.load(Ordering::Relaxed) != me {
            entry.body.thread.store(me, Ordering::Relaxed);
            entry.card().set_thread(me);
        }
    }

    /// Returns the extensions of the connection: values that stay with it from one checkout to the next.
    pub fn extensions(this: &Self) -> &Extensions {
        &this.entry().body.extensions
    }

    /// Returns the extensions of the connection, to change them.
    pub fn extensions_mut(this: &mut Self) -> &mut Extensions {
        &mut this.body_mut().extensions
    }

    /// Returns the connection's id, as in events and the list of holders.
    pub fn id(this: &Self) -> u64 {
        this.entry().body.id
    }

    /// Names what the connection is used for, until it is returned: shown in the list of holders, in the errors of
    /// those who wait, and in warnings.
    pub fn tag(&mut self, tag: impl Into<String>) {
        self.entry().card().set_tag(tag.into());
    }

    /// Notes that this guard stays in the call that took it, which passes it to nobody: the checkin comes when the call
    /// ends and no sooner. A thread that waits in such a call can be told for certain that it would wait for itself.
    #[cfg(feature = "postgres")]
    pub(crate) fn stays_on_stack(&self) {
        self.entry().card().set_on_stack();
    }

    /// Has the connection closed at its checkin, with the cause `broken`.
    ///
    /// ```
    /// use tierpool::stats::CloseCause;
    /// use tierpool::{MemoryManager, Pool};
    ///
    /// let pool = Pool::builder().max_size(1).build(MemoryManager)?;
    /// let mut conn = pool.get()?;
    /// conn.mark_broken();
    /// drop(conn);
    /// assert_eq!(pool.stats().closed.count(CloseCause::Broken), 1);
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn mark_broken(&mut self) {
        self.body_mut().marked_broken = true;
    }

    /// Takes the connection out of the pool for good. Its slot is free for another; closing it is the caller's.
    ///
    /// ```
    /// use tierpool::{MemoryManager, Pool};
    ///
    /// let pool = Pool::builder().max_size(1).min_idle(Some(0)).build(MemoryManager)?;
    /// let conn: u64 = pool.get()?.detach();
    /// assert_eq!(pool.state().connections, 0);
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn detach(mut self) -> M::Connection {
        if self.entry().shared.is_inherited() {
            let Entry { body, seat, shared } = *self.take();
            std::mem::forget((seat, shared));
            return body.conn;
        }
        let Entry { body, seat, shared } = *self.end_checkout();
        vacate(&shared, seat.index());
        accounts::count_closed(&shared, CloseCause::Detached);
        accounts::left(&shared, &body, CloseCause::Detached, shared.now());
        drop(seat);
        demand(&shared);
        shared.changed.tell();
        body.conn
    }

    /// Closes the connection instead of returning it, on a thread of the pool's. Counted as `evicted`.
    pub fn close(mut self) {
        if self.entry().shared.is_inherited() {
            return std::mem::forget(self.take());
        }
        dispose(self.end_checkout(), CloseCause::Evicted);
    }

    /// Ends the checkout without a checkin.
    fn end_checkout(mut self) -> Box<Entry<M>> {
        let entry = self.take();
        let returned = entry.card().returned(entry.shared.now());
        accounts::returned(&entry.shared, entry.body.id, returned);
        entry
    }
}

impl<M: ManageConnection> Drop for PooledConnection<M> {
    #[inline]
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            checkin(entry);
        }
    }
}

impl<M: ManageConnection> Deref for PooledConnection<M> {
    type Target = M::Connection;

    #[inline]
    fn deref(&self) -> &M::Connection {
        self.touch();
        &self.entry().body.conn
    }
}

impl<M: ManageConnection> DerefMut for PooledConnection<M> {
    #[inline]
    fn deref_mut(&mut self) -> &mut M::Connection {
        self.touch();
        &mut self.body_mut().conn
    }
}

impl<M> fmt::Debug for PooledConnection<M>
where
    M: ManageConnection,
    M::Connection: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.entry().body.conn, f)
    }
}
