//! Opening a connection of a pool that shares a budget with other processes: not before it may be, and not for longer
//! than it holds what it needs.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Deadline;
use crate::postgres::connection::{Pass, PgConnection};
use crate::postgres::error::{OpeningError, PgError};
use crate::stats::FleetStatus;

/// The longest that an opening waits for its admission, besides the time to connect. After that it fails, and the pool
/// reckons anew whether anybody needs a connection.
pub(crate) const ADMISSION_LIMIT: Duration = Duration::from_secs(4);
/// The longest that a connection which has logged in is at its admission: it may wait there for 2 s, and asks
/// meanwhile.
pub(crate) const WELCOME_LIMIT: Duration = Duration::from_secs(4);

/// Decides which connections a pool may open. A connection learns of its end by its [`Pass`].
pub(crate) trait Admission: Send + Sync {
    /// Waits until a connection may be opened, at most `limit`. The opening itself takes at most `work`, or counts as
    /// failed.
    fn claim(self: Arc<Self>, limit: Duration, work: Duration) -> Result<Box<dyn Claim>, PgError>;

    /// Why there is no room for a connection.
    fn refusal(&self) -> PgError;

    /// Why those that wait have found no room so far, if they have tried. Must neither block nor do I/O.
    fn held_up(&self) -> Option<PgError>;

    /// Whether there is something to be asked by way of the connection of this number. Must neither block nor do I/O.
    fn is_due(&self, number: u64) -> bool;

    /// Whether the connection of this number, which comes back, is to be closed for others, which is told of one only.
    /// Must neither block nor do I/O.
    fn gives_back(&self, number: u64) -> bool;

    /// Asks the server whether the connection of this number still has what it was let in by, and what else is due.
    /// After an error the connection is of no use.
    fn check(&self, number: u64, conn: &mut PgConnection, limit: Duration) -> Result<(), PgError>;

    /// What is known of the budget and of this program's part in it; told by the admission of one tier.
    fn status(&self) -> Option<FleetStatus>;

    /// The pool is closed: claims fail from now on, and those that wait.
    fn end(&self);
}

/// The right to open one connection. One that is dropped counts as failed.
pub(crate) trait Claim: Send {
    /// Lets the new connection in, within `limit`. `None`: there is no room for it, and it has to be closed.
    fn welcome(self: Box<Self>, conn: &mut PgConnection, limit: Duration) -> Result<Option<Pass>, PgError>;

    /// There is no connection.
    fn failed(self: Box<Self>, error: &PgError);
}

/// Opens a connection by `open` when it may be, and lets it in: within `limit`, of which the opening has
/// `connect_limit` at the most.
pub(super) fn admitted(
    admission: &Arc<dyn Admission>,
    limit: Duration,
    connect_limit: Duration,
    open: impl Fn(Duration) -> Result<PgConnection, PgError>,
) -> Result<PgConnection, PgError> {
    let (whole, wait) = (Deadline::of(limit), Deadline::of(ADMISSION_LIMIT.min(limit)));
    let work = connect_limit.saturating_add(WELCOME_LIMIT);
    let mut is_first = true;
    loop {
        if !std::mem::take(&mut is_first) && whole.left() < work {
            return Err(admission.refusal());
        }
        let claim = Arc::clone(admission).claim(wait.left(), work)?;
        let mut conn = match open(connect_limit.min(whole.left())) {
            Ok(conn) => conn,
            Err(error) => {
                claim.failed(&error);
                return Err(error);
            }
        };
        let welcomed = claim.welcome(&mut conn, WELCOME_LIMIT.min(whole.left()));
        if let Ok(Some(pass)) = welcomed {
            conn.set_pass(pass);
            return Ok(conn);
        }
        // Until its backend has ended the server counts it.
        conn.part();
        drop(conn);
        welcomed?;
    }
}

impl PgError {
    /// The server, or what is in front of it, cannot hold a budget over processes.
    pub(crate) fn cannot_share(why: String) -> Self {
        PgError::opening(OpeningError::CannotShare(why))
    }

    /// The pool was closed while a connection waited for its admission.
    pub(crate) fn closed_meanwhile() -> Self {
        PgError::opening(OpeningError::PoolClosed)
    }
}
