//! What a database layer can tell the pool beyond r2d2's three calls.

use std::sync::Arc;
use std::time::Duration;

use r2d2::ManageConnection;

use super::control::SessionControl;
use crate::error::FailureClass;

/// The state in which a borrower left a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// As good as new: it can be lent on at once.
    Clean,
    /// Usable after [`Driver::reset`]: an open transaction, a reply not read, changed session state.
    Dirty,
    /// Left as it should be, and something is to be asked by way of it, by [`Driver::reset`], before it is lent on. It
    /// does not count as returned dirty.
    Due,
    /// It works, and nothing gives the next borrower what it is to find. It is closed, and says nothing against others.
    Unrestorable,
    /// It works, and somebody beyond the pool is to have its place. It is closed; where `min_size` or `min_idle` keep
    /// it, it is treated as `Dirty`, and does not count as returned dirty.
    Spare,
    /// Lost. It is closed, and all connections opened before now are suspect.
    Broken,
    /// It works, yet it and all that were opened before it lead to the wrong place, such as a server turned
    /// read-only by a failover. All are replaced, under a cooldown.
    Misrouted,
}

/// What a pool may know of its connections beyond r2d2's [`ManageConnection`].
///
/// Every method has a default that does what r2d2 would, so any r2d2 manager works with [`PlainDriver`]. A database
/// layer that knows more gives its own with [`Builder::driver`](crate::Builder::driver).
///
/// All methods are called without a lock held, and a panic in any of them costs the connection at most, never its
/// slot.
pub trait Driver<M: ManageConnection>: Send + Sync + 'static {
    /// Opens a connection, if possible within `limit`. Called on an opener thread.
    fn connect(&self, manager: &M, limit: Duration) -> Result<M::Connection, M::Error> {
        let _ = limit;
        manager.connect()
    }

    /// The longest that an opening takes by the manager's own settings. `None` (default): it has no limit of its own,
    /// and the pool's `connect_timeout` is the one that holds.
    ///
    /// An opening goes on to its limit whichever caller has left, and one that takes a second longer is given up as
    /// hung, with its thread.
    fn connect_limit(&self, manager: &M) -> Option<Duration> {
        let _ = manager;
        None
    }

    /// Ends the openings under way for the pool that has `manager`, and has those fail that begin later: the pool is
    /// closed, and nobody waits for them. An opening lasts from [`Driver::connect`] to [`Driver::control`]. Called on
    /// the thread that closes the pool or drops its last handle, maybe more than once; must not block.
    ///
    /// Default: nothing. The pool does not wait for openings; one under way keeps its thread until its limit.
    fn end_openings(&self, manager: &M) {
        let _ = manager;
    }

    /// What openings wait for, under way or in a pause, where that is nothing of the server's and known for certain: a
    /// part of the text, on one line, of the error of a caller whose time is over meanwhile. Called on the caller's
    /// thread; must neither block nor do I/O. Default: nothing.
    fn opening_waits_for(&self, manager: &M) -> Option<String> {
        let _ = manager;
        None
    }

    /// Checks that the connection works, with `limit` as the longest time.
    ///
    /// Called on the borrower's thread where [`Driver::is_bounded`] is true and the borrower has as much time, else on
    /// a helper thread, and the connection is given up when the limit has passed.
    fn validate(&self, manager: &M, conn: &mut M::Connection, limit: Duration) -> Result<(), M::Error> {
        let _ = limit;
        manager.is_valid(conn)
    }

    /// Looks for signs that the connection is lost, without asking the server. `None`, the default: that cannot tell,
    /// and [`Driver::validate`] has to.
    ///
    /// Tried first where a connection is validated for its next borrower, on that one's thread: with an answer the
    /// validation is over. It may block amid a message of the server's that stopped half-way, at most for `limit`: what
    /// is left to the caller, and a little more, so that a connection does not seem dead since its caller is in a
    /// hurry.
    fn probe(&self, manager: &M, conn: &mut M::Connection, limit: Duration) -> Option<Result<(), M::Error>> {
        let _ = (manager, conn, limit);
        None
    }

    /// Whether the connection is known to be lost, without a look at it. Such a one is not lent, whatever the pre-ping
    /// policy. Default: no.
    fn is_lost(&self, conn: &M::Connection) -> bool {
        let _ = conn;
        false
    }

    /// Checks a connection that is suspect because another one was found dead: nothing but a sign of life from the
    /// server will do. Called like [`Driver::validate`], which is the default.
    fn validate_suspect(
        &self,
        manager: &M,
        conn: &mut M::Connection,
        limit: Duration,
    ) -> Result<(), M::Error> {
        self.validate(manager, conn, limit)
    }

    /// Whether [`Driver::validate`] returns by its limit whatever the server does. Default: no.
    fn is_bounded(&self) -> bool {
        false
    }

    /// Says how a borrower left the connection. Called at each checkin on the borrower's thread: it must neither
    /// block nor do I/O. Called once more after a reset, where `Dirty` counts as clean.
    fn condition(&self, manager: &M, conn: &mut M::Connection) -> Condition {
        if manager.has_broken(conn) { Condition::Broken } else { Condition::Clean }
    }

    /// Puts the session back to what it was when new. Called on a helper thread for a [`Condition::Dirty`]
    /// connection, and with `suspect` for one whose borrower panicked, whatever its condition.
    ///
    /// The default validates it.
    fn reset(
        &self,
        manager: &M,
        conn: &mut M::Connection,
        suspect: bool,
        limit: Duration,
    ) -> Result<(), M::Error> {
        let _ = suspect;
        self.validate(manager, conn, limit)
    }

    /// How long the seat of a connection that is being closed is kept, so that the server never counts more
    /// connections than the ceiling. A close that takes longer becomes a zombie and its seat is free. Must neither
    /// block nor do I/O: the keeper calls it too. Default 100 ms.
    fn close_grace(&self) -> Duration {
        Duration::from_millis(100)
    }

    /// Called once before a connection is dropped by a worker thread: from here on its drop must not wait for the
    /// server beyond [`close_grace`](Driver::close_grace), which counts what this takes too. `polite` is false when the
    /// connection is known to be lost.
    fn prepare_close(&self, conn: &mut M::Connection, polite: bool) {
        let _ = (conn, polite);
    }

    /// Gives what other threads may do to the session while its connection is lent. Called once, on the opener thread,
    /// for a connection just opened and set up.
    ///
    /// Default: nothing can be done. A checkout that lasts too long is warned of then and no more, and
    /// [`Pool::close`](crate::Pool::close) ends no call under way.
    fn control(&self, manager: &M, conn: &mut M::Connection) -> Option<Arc<dyn SessionControl>> {
        let _ = (manager, conn);
        None
    }

    /// Says what a failed attempt to open means for the next one. Default: [`FailureClass::Transient`].
    fn classify(&self, error: &M::Error) -> FailureClass {
        let _ = error;
        FailureClass::Transient
    }

    /// Whether the server was asked in a failed attempt to open. One that was not, since what it said before still
    /// holds, is not counted as an attempt; all else that a failure means, it means too. Default: true.
    fn was_tried(&self, error: &M::Error) -> bool {
        let _ = error;
        true
    }

    /// The database's own code for an error, such as an SQLSTATE. Default: none.
    fn code(&self, error: &M::Error) -> Option<String> {
        let _ = error;
        None
    }
}

/// The driver of a manager that offers r2d2's three calls and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainDriver;

impl<M: ManageConnection> Driver<M> for PlainDriver {}
