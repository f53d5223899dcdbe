//! What the pool may do to a session while its connection is lent: cancel, end, abandon.
//!
//! | over | cancel | terminate | abandon |
//! | --- | --- | --- | --- |
//! | TCP | a cancel request, by the backend's secret key | `pg_terminate_backend` on a connection of its own | ends the call under way at once, whatever the server does |
//! | a Unix socket | the same | the same | not possible |
//!
//! Behind a PgBouncer the process id is the pooler's invention, or that of the last transaction's server: `terminate`
//! is refused there, and abandoning has to do.
//!
//! So over a Unix socket a borrower's call ends when the server answers, and not at all while the server is frozen.

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use postgres::Config;

use super::handles::CancelHandle;
use super::observer::{Abandoned, Shared};
use super::{PgConnection, PgManager};
use crate::config::PgBouncer;
use crate::pool::{Abandonment, Place, SessionControl};

/// Ends the backend if it is the one meant: by the time this arrives it may have ended, and its process id belong to
/// another. That one began later than ours was opened; by how much the server's clock is off does not matter, since only
/// ages are compared.
const TERMINATE: &str = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
    WHERE pid = $1 AND backend_start <= pg_catalog.clock_timestamp() - $2 * interval '1 millisecond'";

const IS_THERE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
    WHERE pid = $1 AND backend_start <= pg_catalog.clock_timestamp() - $2 * interval '1 millisecond')";

/// How often the end of a backend is looked for; it takes a millisecond or so.
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(super) struct PgControl {
    cancel: CancelHandle,
    observer: Option<Arc<Shared>>,
    /// `None` where the server did not tell it, or a pooler in its place.
    backend_pid: Option<i32>,
    opened_at: Instant,
    manager: PgManager,
    origin: Arc<Config>,
}

impl PgControl {
    pub(super) fn new(manager: &PgManager, conn: &mut PgConnection) -> Self {
        // Without it `terminate` says that it cannot; the connection's own fault shows at its first use.
        let pid_is_true = conn.pgbouncer() == PgBouncer::Off;
        let backend_pid = if pid_is_true { conn.backend_pid().ok() } else { None };
        PgControl {
            cancel: conn.cancel_handle(),
            observer: conn.observer_handle(),
            backend_pid,
            opened_at: conn.opened_at(),
            manager: manager.clone(),
            origin: Arc::clone(conn.origin()),
        }
    }

    /// Waits until the backend has ended: until then it counts as a connection on the server.
    fn await_end(
        &self,
        other: &mut PgConnection,
        pid: i32,
        age_ms: f64,
        end: Instant,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        while other.query_one(IS_THERE, &[&pid, &age_ms])?.get(0) {
            if Instant::now() >= end {
                return Err(format!("backend {pid} was told to end and is still there").into());
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

impl SessionControl for PgControl {
    fn placed(&self, place: Place) {
        if let Some(observer) = &self.observer {
            observer.set_place(place);
        }
    }

    fn cancel(&self, limit: Duration) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.cancel.cancel(limit)?)
    }

    /// Over a connection of its own, which is one more than the pool's ceiling for that moment.
    fn terminate(&self, limit: Duration) -> Result<(), Box<dyn Error + Send + Sync>> {
        let end = Instant::now() + limit;
        let pid = self.backend_pid.ok_or("the process id of its backend is not known, or a pooler's")?;
        let age_ms = self.opened_at.elapsed().as_secs_f64() * 1000.0;
        let mut other = self.manager.open_beside(&self.origin, limit)?;
        other.set_socket_timeout(Some(end.saturating_duration_since(Instant::now())));
        // `None`: it has ended by itself. False: it ended in this moment.
        other.query_opt(TERMINATE, &[&pid, &age_ms])?;
        self.await_end(&mut other, pid, age_ms, end)
    }

    fn abandon(&self, why: Abandonment) -> bool {
        let Some(observer) = &self.observer else { return false };
        observer.abandon(match why {
            Abandonment::PoolClosed => Abandoned::PoolClosed,
            Abandonment::HeldTooLong => Abandoned::HeldTooLong,
        });
        true
    }
}
