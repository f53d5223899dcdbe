//! Ending a statement or a session of this application.

use postgres::types::{ToSql, Type};

use super::ask::ask;
use super::doing::Begun;
use super::limits::shown;
use super::names::Names;
use super::queries::RunningQuery;
use super::sessions::TierSession;
use crate::postgres::error::PgError;
use crate::postgres::open::PgManager;
use crate::tiers::TieredPool;

/// The session that [`PgPool::cancel`](crate::TieredPool::cancel) and
/// [`PgPool::terminate`](crate::TieredPool::terminate) mean: one of a list, at the statement that was listed, or
/// whatever has a process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerProcess {
    pid: i32,
    /// When session and statement began, where that has to match.
    begun: Option<Begun>,
}

impl From<i32> for ServerProcess {
    /// Whichever session has this process id by now, whatever it does.
    fn from(pid: i32) -> Self {
        ServerProcess { pid, begun: None }
    }
}

impl From<&RunningQuery> for ServerProcess {
    /// That session at that statement, and no other.
    fn from(query: &RunningQuery) -> Self {
        ServerProcess { pid: query.pid, begun: Some(query.begun) }
    }
}

impl From<&TierSession> for ServerProcess {
    /// That session at that statement, and no other.
    fn from(session: &TierSession) -> Self {
        ServerProcess { pid: session.pid, begun: Some(session.begun) }
    }
}

/// What can be done to a backend: the word for it, and the server's function.
struct Signal {
    verb: &'static str,
    function: &'static str,
}

const CANCEL: Signal = Signal { verb: "cancel", function: "pg_cancel_backend" };

const TERMINATE: Signal = Signal { verb: "terminate", function: "pg_terminate_backend" };

impl Signal {
    /// The CASE keeps the server from evaluating the call for a process that is not ours.
    fn statement(&self) -> String {
        format!(
            "SELECT a.pid = pg_catalog.pg_backend_pid() AS asks, a.application_name,
                CASE WHEN a.application_name = ANY ($2) AND a.pid <> pg_catalog.pg_backend_pid()
                    THEN pg_catalog.{}(a.pid) END AS sent
            FROM pg_catalog.pg_stat_activity a WHERE a.pid = $1 AND (NOT $3
                OR CAST(extract(epoch FROM a.backend_start) * 1000000 AS int8) IS NOT DISTINCT FROM $4
                AND CAST(extract(epoch FROM a.query_start) * 1000000 AS int8) IS NOT DISTINCT FROM $5)",
            self.function
        )
    }
}

#[track_caller]
fn send(
    pool: &TieredPool<PgManager>,
    meant: ServerProcess,
    signal: &'static Signal,
) -> Result<bool, PgError> {
    let Signal { verb, .. } = *signal;
    let ServerProcess { pid, begun } = meant;
    if pid <= 0 {
        return Err(PgError::refused(format!("cannot {verb} process {pid}: a process id is at least 1")));
    }
    let ours = Names::of(pool)?.shown_all();
    let statement = signal.statement();
    let row = ask(pool, verb, move |client| {
        let (session_begun, statement_begun) = begun.unwrap_or_default();
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&pid, Type::INT4),
            (&ours, Type::TEXT_ARRAY),
            (&begun.is_some(), Type::BOOL),
            (&session_begun, Type::INT8),
            (&statement_begun, Type::INT8),
        ];
        client.query_typed_opt(&statement, &parameters)
    });
    let row = row.map_err(|error| {
        error.or_not_allowed(|| {
            format!("this role may not {verb} process {pid}, which belongs to another role")
        })
    })?;
    let Some(row) = row else { return Ok(false) };
    match row.try_get("sent")? {
        Some(sent) => Ok(sent),
        None if row.try_get("asks")? => {
            Err(PgError::refused(format!("cannot {verb} process {pid}: it is the session that asks")))
        }
        None => {
            let name = shown(&row, "application_name")?;
            Err(PgError::refused(format!(
                "cannot {verb} process {pid}: it belongs to the application \"{name}\" and not to this one"
            )))
        }
    }
}

impl TieredPool<PgManager> {
    /// Asks the server to cancel the statement that a session of this application runs; returns whether the server
    /// found that session.
    ///
    /// **Sent, not done**: the statement ends a moment later with 57014, unless it has ended by itself; a session
    /// that runs none goes on. The session is one listed by [`long_running_queries`](Self::long_running_queries) or
    /// [`tier_sessions`](Self::tier_sessions), and then it is left alone if it has gone on to another statement since,
    /// or its process id is another's; or it is told by a process id alone, such as
    /// [`PgConnection::backend_pid`](crate::postgres::PgConnection::backend_pid). It may belong to any process of this
    /// application. Those of other applications are refused, against a mistyped number: run `pg_cancel_backend` on an
    /// ad-hoc connection where that is meant.
    ///
    /// # Blocking
    ///
    /// As [`server_activity`](Self::server_activity).
    ///
    /// # Errors
    ///
    /// A process id below 1; a session of another application, or the one that asks; 42501 where the session belongs
    /// to a role that this one is no member of, and it is no member of `pg_signal_backend`; besides as
    /// [`server_activity`](Self::server_activity).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// if !pool.cancel(4711)? {
    ///     println!("there is no such process any more");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn cancel(&self, session: impl Into<ServerProcess>) -> Result<bool, PgError> {
        send(self, session.into(), &CANCEL)
    }

    /// Asks the server to end a session of this application; returns whether the server found it.
    ///
    /// **Sent, not done**, as with [`cancel`](Self::cancel), and for the same sessions only. Whoever has the
    /// connection gets 57P01 or finds it closed; its pool opens another one.
    ///
    /// # Blocking
    ///
    /// As [`server_activity`](Self::server_activity).
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// let pool = tierpool::PgPool::from_env()?;
    /// // Transactions that were opened an hour ago and forgotten.
    /// for query in pool.long_running_queries(Duration::from_secs(3600))? {
    ///     if query.tier.is_some() && query.state.starts_with("idle in transaction") {
    ///         pool.terminate(&query)?;
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn terminate(&self, session: impl Into<ServerProcess>) -> Result<bool, PgError> {
        send(self, session.into(), &TERMINATE)
    }
}
