//! The handle: what a program holds of a pool.

mod inside;
#[cfg(any(feature = "metrics", feature = "postgres", feature = "prometheus"))]
mod weak;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use r2d2::ManageConnection;

use super::change;
use super::fitness::retire;
use super::lend::call::Patience;
use super::lend::checkout::checkout;
use super::lend::guard::PooledConnection;
use super::life::{self, CloseReport};
use super::shared::Shared;
use super::tell::{evidence, notify, observe};
use super::wait::{Hope, Least, wait_filled};
use crate::config::{PrePing, Settings};
use crate::error::{Error, LimitSetBy};
use crate::event::EventReceiver;
use crate::stats::{BreakerState, Gauges, Holder, Stats, Waiting};

#[cfg(any(feature = "metrics", feature = "postgres", feature = "prometheus"))]
pub(crate) use weak::WeakPool;

/// Closes the pool when the last handle goes.
struct Handle<M: ManageConnection>(Arc<Shared<M>>);

impl<M: ManageConnection> Drop for Handle<M> {
    fn drop(&mut self) {
        life::shut(&self.0);
    }
}

/// A pool of connections: cheap to clone, and all clones are the same pool.
///
/// Dropping the last clone closes it: idle connections at once, those in use at their checkin; its threads end.
///
/// A child process made by `fork` has a pool that is its parent's: there its methods fail as `Forked`, and a drop does
/// nothing. [The guide](crate::guide::fork) says what to do, and what is not noticed.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use tierpool::{MemoryManager, Pool};
///
/// let pool = Pool::builder().max_size(4).build(MemoryManager)?;
/// thread::scope(|scope| {
///     for _ in 0..8 {
///         scope.spawn(|| {
///             let mut conn = pool.get().unwrap();
///             *conn += 1;
///         });
///     }
/// });
/// assert_eq!(pool.stats().gauges.in_use, 0);
/// # Ok::<(), tierpool::Error>(())
/// ```
pub struct Pool<M: ManageConnection>(Arc<Handle<M>>);

impl<M: ManageConnection> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Pool(Arc::clone(&self.0))
    }
}

/// The number of connections; r2d2's view of a pool. [`Stats`] tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// Connections open, idle or in use.
    pub connections: u32,
    /// Connections idle.
    pub idle_connections: u32,
}

impl<M: ManageConnection> Pool<M> {
    pub(crate) fn start(shared: Arc<Shared<M>>) -> Self {
        life::start(&shared);
        Pool(Arc::new(Handle(shared)))
    }

    #[inline]
    pub(super) fn shared(&self) -> &Arc<Shared<M>> {
        &self.0.0
    }

    /// Takes a connection, waiting as the pool's `wait_mode` says: by default at most `connection_timeout`.
    ///
    /// # Blocking
    ///
    /// First come, first served. The one deadline covers queueing, opening, set-up and validation; the call returns
    /// within 100 ms of it whatever the server does. A validation by a driver that bounds itself runs on this
    /// thread if `validation_timeout` is left, all other calls into the database layer on the pool's own. No lock is
    /// held meanwhile.
    ///
    /// # Errors
    ///
    /// `Timeout`; `Exhausted` in [`WaitMode::NoWait`](crate::WaitMode::NoWait); `QueueFull`; `CircuitOpen` where the
    /// server is known to be down and no idle connection is left; `ConnectFailed` for a cause that waiting will not
    /// cure; `WouldDeadlock` where sessions that wait hold every connection, or guards do and `deadlock_refusal` is on;
    /// `Closed`. Each names what was going on, and its `source()` is the last failure to open a connection.
    #[doc(alias("pool_use_lifo"))]
    #[inline]
    #[track_caller]
    pub fn get(&self) -> Result<PooledConnection<M>, Error> {
        self.get_for(Location::caller())
    }

    /// As [`Pool::get`], for a caller who asked elsewhere.
    #[inline]
    pub(crate) fn get_for(&self, caller: &'static Location<'static>) -> Result<PooledConnection<M>, Error> {
        checkout(self.shared(), Patience::Configured, caller)
    }

    /// Takes a connection, waiting at most `timeout`; otherwise as [`Pool::get`].
    ///
    /// # Errors
    ///
    /// As [`Pool::get`].
    #[inline]
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Result<PooledConnection<M>, Error> {
        self.get_timeout_for(timeout, Location::caller())
    }

    /// As [`Pool::get_timeout`], for a caller who asked elsewhere.
    #[inline]
    pub(crate) fn get_timeout_for(
        &self,
        timeout: Duration,
        caller: &'static Location<'static>,
    ) -> Result<PooledConnection<M>, Error> {
        checkout(self.shared(), Patience::For(timeout), caller)
    }

    /// Takes a connection if one is idle and nobody waits for it.
    ///
    /// If none is and there is room, the pool opens one in the background for the next try; `get` in
    /// [`WaitMode::NoWait`](crate::WaitMode::NoWait) waits for it, within `connection_timeout`.
    ///
    /// # Blocking
    ///
    /// Not on other callers. A connection due for validation is validated, within `validation_timeout`.
    #[inline]
    #[track_caller]
    pub fn try_get(&self) -> Option<PooledConnection<M>> {
        self.try_get_for(Location::caller())
    }

    /// As [`Pool::try_get`], for a caller who asked elsewhere.
    #[inline]
    pub(crate) fn try_get_for(&self, caller: &'static Location<'static>) -> Option<PooledConnection<M>> {
        checkout(self.shared(), Patience::None, caller).ok()
    }

    /// Returns the number of connections, as r2d2 does.
    pub fn state(&self) -> State {
        let gauges = self.gauges();
        State { connections: gauges.idle + gauges.in_use, idle_connections: gauges.idle }
    }

    /// Returns the gauges of this moment.
    pub fn gauges(&self) -> Gauges {
        observe::gauges(self.shared())
    }

    /// Returns everything that the pool counts, as one snapshot.
    pub fn stats(&self) -> Stats {
        evidence::stats(self.shared())
    }

    /// Returns who has connections, the longest first.
    ///
    /// ```
    /// use tierpool::{MemoryManager, Pool};
    ///
    /// let pool = Pool::new(MemoryManager)?;
    /// let mut conn = pool.get()?;
    /// conn.tag("nightly import");
    /// let holders = pool.holders();
    /// assert_eq!(holders[0].tag.as_deref(), Some("nightly import"));
    /// assert!(holders[0].location.file().ends_with(".rs"));
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn holders(&self) -> Vec<Holder> {
        observe::holders(self.shared())
    }

    /// Returns the numbers by which the server knows the pool's connections, idle ones too, in ascending order:
    /// PostgreSQL's backend pids, as in `pg_stat_activity`. Those that are not known are left out: all of them behind a
    /// pooler, and of managers that tell none ([`SessionControl::backend_pid`](crate::SessionControl::backend_pid)).
    ///
    /// ```
    /// use tierpool::{MemoryManager, Pool};
    ///
    /// assert!(Pool::new(MemoryManager)?.backend_pids().is_empty());
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn backend_pids(&self) -> Vec<i32> {
        observe::backend_pids(self.shared())
    }

    /// Returns who waits for a connection, in the order of the queue.
    pub fn waiters(&self) -> Vec<Waiting> {
        observe::waiters(self.shared(), usize::MAX)
    }

    /// Returns the state of the circuit breaker.
    pub fn breaker(&self) -> BreakerState {
        self.shared().supply.breaker().state()
    }

    /// Returns a channel of all events from now on, holding at most `capacity` (at least 1) before the oldest is
    /// lost.
    ///
    /// ```
    /// use tierpool::event::Event;
    /// use tierpool::{MemoryManager, Pool};
    ///
    /// let pool = Pool::new(MemoryManager)?;
    /// let events = pool.subscribe(16);
    /// drop(pool.get()?);
    /// assert!(matches!(events.recv().unwrap(), Event::CheckedOut(_)));
    /// assert!(matches!(events.recv().unwrap(), Event::CheckedIn(_)));
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn subscribe(&self, capacity: usize) -> EventReceiver {
        notify::subscribe(self.shared(), capacity)
    }

    /// Returns the settings in force.
    pub fn settings(&self) -> Settings {
        Settings::clone(&self.shared().settings())
    }

    /// Returns the hard ceiling.
    pub fn max_size(&self) -> u32 {
        self.shared().settings().ceiling()
    }

    /// Returns `min_idle` as it was set.
    pub fn min_idle(&self) -> Option<u32> {
        self.shared().settings().min_idle
    }

    /// Returns whether every connection is validated before its checkout.
    pub fn test_on_check_out(&self) -> bool {
        self.shared().settings().pre_ping == PrePing::Always
    }

    /// Returns `max_lifetime`.
    pub fn max_lifetime(&self) -> Option<Duration> {
        self.shared().settings().max_lifetime
    }

    /// Returns `idle_timeout`.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.shared().settings().idle_timeout
    }

    /// Returns `connection_timeout`.
    pub fn connection_timeout(&self) -> Duration {
        self.shared().settings().connection_timeout
    }

    /// Changes settings at run time.
    ///
    /// Growing takes effect at once. Shrinking closes idle connections now and those in use at their checkin. A
    /// changed `pre_ping` applies from each connection's next rest on, a changed lifetime to connections opened from
    /// now on. The name stays. A tier of a [`TieredPool`](crate::TieredPool) stays within its part of the budget, which
    /// [`TieredPool::reconfigure`](crate::TieredPool::reconfigure) changes.
    ///
    /// `change` is called again where another thread changes settings at the same time, so that no change is lost. So
    /// it must not wait for such a thread: one that starts a thread which changes settings, and joins it, has itself
    /// called again each time, and never ends.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every fault, and nothing is changed; also when called within `change` itself.
    ///
    /// ```
    /// use tierpool::{MemoryManager, Pool};
    ///
    /// let pool = Pool::builder().max_size(4).min_idle(Some(0)).build(MemoryManager)?;
    /// pool.reconfigure(|settings| settings.base_size = 8)?;
    /// assert_eq!(pool.max_size(), 8);
    /// assert!(pool.reconfigure(|settings| settings.base_size = 0).is_err());
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn reconfigure(&self, change: impl Fn(&mut Settings)) -> Result<(), Error> {
        change::reconfigure(self.shared(), change)
    }

    /// Waits until the pool has opened what it keeps (`min_size`, `min_idle`), and one connection in any case, at most
    /// `limit`: so the server has been seen, also where the pool keeps nothing. Never while the circuit breaker is
    /// open.
    ///
    /// # Errors
    ///
    /// `Timeout` with the last cause, `ConnectFailed` for one that waiting will not cure, or `Closed`.
    #[doc(alias("wait"))]
    pub fn wait_ready(&self, limit: Duration) -> Result<(), Error> {
        wait_filled(vec![self.filling(LimitSetBy::Caller(limit), Least::Ready)], Hope::ToTheEnd)
    }

    /// Stops lending until [`Pool::resume`]: callers wait within their deadlines. Returns false if it was so already.
    ///
    /// ```
    /// use tierpool::{MemoryManager, Pool};
    ///
    /// let pool = Pool::new(MemoryManager)?;
    /// assert!(pool.suspend());
    /// assert!(pool.try_get().is_none());
    /// assert!(pool.resume());
    /// assert!(pool.try_get().is_some());
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    pub fn suspend(&self) -> bool {
        !self.shared().is_inherited() && self.shared().lending.suspend()
    }

    /// Lends again. Returns false if lending was not suspended.
    pub fn resume(&self) -> bool {
        !self.shared().is_inherited() && self.shared().lending.resume()
    }

    /// Returns whether lending is suspended.
    pub fn is_suspended(&self) -> bool {
        self.shared().lending.is_suspended()
    }

    /// Replaces all connections: closes idle ones now and those in use at their checkin. The pool stays usable.
    #[doc(alias("dispose", "softEvictConnections"))]
    pub fn drain(&self) {
        if !self.shared().is_inherited() {
            retire::evict(self.shared());
        }
    }

    /// Closes the connections that are idle just now; those in use stay. One that the pool itself has in hand for a
    /// look, a validation or a reset is closed when that is over, unless a caller has it by then.
    pub fn evict_idle(&self) {
        if !self.shared().is_inherited() {
            retire::evict_idle(self.shared());
        }
    }

    /// Closes the pool: refuses new checkouts, wakes all waiters with `Closed`, closes idle connections, and waits
    /// at most `limit` for those in use. Returns who still had one. What the report's gauges have `in_use` beyond those
    /// is the pool's own: most likely a validation that hangs.
    ///
    /// At the deadline calls that wait on a connection still out are ended, where the driver can do that
    /// ([`Driver::control`](crate::Driver::control)): PostgreSQL's ends them within 100 ms over TCP, whatever the
    /// server does, with an error that names the closing; over a Unix socket the server is asked to, and a frozen one
    /// does not.
    ///
    /// Openings under way are ended first, where the driver can do that ([`Driver::end_openings`](crate::Driver)):
    /// PostgreSQL's over TCP, from the handshake on. What has no socket yet goes on to `connect_timeout`, on a thread
    /// that is of no other use.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tierpool::{MemoryManager, Pool};
    ///
    /// let pool = Pool::new(MemoryManager)?;
    /// let kept = pool.get()?;
    /// let report = pool.close(Duration::from_millis(10));
    /// assert_eq!(report.holders.len(), 1);
    /// assert!(pool.get().unwrap_err().is_closed());
    /// drop(kept);
    /// assert!(pool.close(Duration::from_secs(1)).is_complete());
    /// # Ok::<(), tierpool::Error>(())
    /// ```
    ///
    /// # Blocking
    ///
    /// At most `limit` and 100 ms.
    pub fn close(&self, limit: Duration) -> CloseReport {
        life::close(self.shared(), limit)
    }

    /// Returns whether the pool has been closed.
    pub fn is_closed(&self) -> bool {
        self.shared().lending.is_closed()
    }
}

impl<M: ManageConnection> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.shared().settings();
        f.debug_struct("Pool").field("settings", &settings).field("gauges", &self.gauges()).finish()
    }
}
