//! What the pool may do to a session while its connection is lent: cancel, end, abandon.
//!
//! | over | cancel | terminate | abandon |
//! | --- | --- | --- | --- |
//! | TCP | by the backend's secret key | `pg_terminate_backend` on a connection of its own | at once, in any case |
//! | a Unix socket | the same | the same | not possible |
//!
//! To abandon ends the call under way, whatever the server does.
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

use crate::clock::Deadline;
use crate::config::PgBouncer;
use crate::pool::{Abandonment, Place, SessionControl};
use crate::postgres::connection::{CancelRequest, PgConnection};
use crate::postgres::observer::{Abandoned, WireState};
use crate::postgres::open::PgManager;

/// Ends the backend if it is the one meant: by the time this arrives it may have ended, and its process id belong to
/// another. That one began later than ours was opened; by how much the server's clock is off does not matter, since
/// only ages are compared. And where an address leads to several servers, the process with this number on the other one
/// is somebody else's. NULL for a process that is not known to be ours.
const TERMINATE: &str = "SELECT CASE
        WHEN a.backend_start <= pg_catalog.clock_timestamp() - $2 * interval '1 millisecond'
            AND a.usesysid = me.usesysid AND a.datid = me.datid
            AND a.client_addr IS NOT DISTINCT FROM me.client_addr
        THEN pg_catalog.pg_terminate_backend(a.pid) END
    FROM pg_catalog.pg_stat_activity a
    JOIN pg_catalog.pg_stat_activity me ON me.pid = pg_catalog.pg_backend_pid()
    WHERE a.pid = $1";

const IS_THERE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
    WHERE pid = $1 AND backend_start <= pg_catalog.clock_timestamp() - $2 * interval '1 millisecond')";

/// The age that a backend must have to be ours, in milliseconds, `since` ours was opened. Less than that time: the
/// clocks of two machines need not run alike, and a server's may be set back a little. Only a process that was given
/// the same number within that little could be mistaken for it.
fn least_age_ms(since: Duration) -> f64 {
    (since.as_secs_f64() * 999.0 - 1000.0).max(0.0)
}

/// How often the end of a backend is looked for; it takes a millisecond or so.
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(super) struct PgControl {
    cancel: CancelRequest,
    observer: Option<Arc<WireState>>,
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
            cancel: conn.cancel_request(),
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
        end: Deadline,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        while other.query_one(IS_THERE, &[&pid, &age_ms])?.get(0) {
            if end.left().is_zero() {
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
        Ok(self.cancel.send(limit).0?)
    }

    /// Over a connection of its own, which is one more than the pool's ceiling for that moment.
    fn terminate(&self, limit: Duration) -> Result<(), Box<dyn Error + Send + Sync>> {
        let end = Deadline::of(limit);
        let pid = self.backend_pid.ok_or("the process id of its backend is not known, or a pooler's")?;
        let age_ms = least_age_ms(self.opened_at.elapsed());
        let mut other = self.manager.open_beside(&self.origin, limit)?;
        other.set_socket_timeout(Some(end.left()));
        match other.query_opt(TERMINATE, &[&pid, &age_ms])?.map(|row| row.get::<_, Option<bool>>(0)) {
            // It has ended by itself.
            None => Ok(()),
            // False: it ended in this moment.
            Some(Some(_)) => self.await_end(&mut other, pid, age_ms, end),
            Some(None) => {
                Err(format!("backend {pid} is not known to be this session, and was left alone").into())
            }
        }
    }

    fn abandon(&self, why: Abandonment) -> bool {
        let Some(observer) = &self.observer else { return false };
        observer.abandon(match why {
            Abandonment::PoolClosed => Abandoned::PoolClosed,
            Abandonment::HeldTooLong => Abandoned::HeldTooLong,
        });
        true
    }

    /// Not known over a Unix socket, where nobody reads along.
    fn silence(&self) -> Option<Duration> {
        self.observer.as_ref().map(|observer| observer.silence())
    }

    /// Not known behind a pooler.
    fn backend_pid(&self) -> Option<i32> {
        self.backend_pid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_known_by_an_age_that_clocks_apart_agree_on() {
        assert_eq!(least_age_ms(Duration::from_millis(300)), 0.0);
        let (hour, drift) = (3600.0, 3600.0 * 200e-6);
        let by_slow_server = (hour - drift - 0.5) * 1000.0;
        assert!(least_age_ms(Duration::from_secs(3600)) <= by_slow_server, "our own is taken for another's");
        assert!(
            least_age_ms(Duration::from_secs(3600)) > 3_590_000.0,
            "one that came later is taken for ours"
        );
    }
}
