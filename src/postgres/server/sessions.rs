//! The sessions of all applications that have tiers, one by one.

use std::time::Duration;

use postgres::Row;

use super::activity::time;
use super::ask::ask;
use super::doing::{self, Begun, Doing};
use super::limits::shown;
use crate::postgres::error::PgError;
use crate::postgres::open::PgManager;
use crate::tiers::{Tier, TieredPool};

/// Where the server hides what a session is, its role and database are still shown, and only sessions have both.
///
/// Who blocks whom is asked of those alone that wait for a lock, since the answer takes the server's own locks.
fn statement() -> String {
    format!(
        "SELECT
            a.pid,
            a.application_name,
            CAST(coalesce(a.usename, '') AS text) AS usename,
            CASE
                WHEN a.backend_type IS NULL THEN 'not shown'
                ELSE coalesce(pg_catalog.host(a.client_addr), 'local socket')
            END AS host,
            CAST(extract(epoch FROM now.at - a.backend_start) AS float8) AS age,
            CASE WHEN a.wait_event_type = 'Lock' THEN pg_catalog.pg_blocking_pids(a.pid) END AS blocked_by,
            {}
        FROM pg_catalog.pg_stat_activity a, (SELECT pg_catalog.clock_timestamp() AS at) now
        WHERE (a.application_name LIKE '%_/automation' OR a.application_name LIKE '%_/adhoc')
            AND a.pid <> pg_catalog.pg_backend_pid()
            AND (a.backend_type = 'client backend'
                OR (a.backend_type IS NULL AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL))
        ORDER BY a.application_name, host, a.pid
        LIMIT 10000",
        doing::COLUMNS
    )
}

/// A session of an application with tiers, by [`PgPool::tier_sessions`](crate::TieredPool::tier_sessions).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierSession {
    /// The process id of its backend.
    pub pid: i32,
    /// The application: its `application_name` without the tier.
    pub app_name: String,
    /// Its tier.
    pub tier: Tier,
    /// Its role.
    pub user: String,
    /// The address of its client, `local socket`, or `not shown` where the role may not know. Behind a PgBouncer it is
    /// that of the PgBouncer.
    pub host: String,
    /// What it does, in the server's words, as `idle`; `None` where the role may not know.
    pub state: Option<String>,
    /// How long ago it began; `None` where the role may not know.
    pub age: Option<Duration>,
    /// How long its statement has been running; `None` when none runs.
    pub running_for: Option<Duration>,
    /// How long its transaction has been open; a single statement has one of its own.
    pub in_transaction_for: Option<Duration>,
    /// What it waits for, as `Lock: transactionid`; `None` when it is on the processor.
    pub wait_event: Option<String>,
    /// The sessions whose locks it waits for, by process id; 0 stands for a prepared transaction.
    pub blocked_by: Vec<i32>,
    /// The statement, or the last one where none runs: its first 500 characters, with the literals in it. As in every
    /// text here, line breaks and whatever else a terminal obeys are escaped.
    pub query: String,
    /// When the session and its statement began.
    pub(super) begun: Begun,
}

impl TierSession {
    fn of(row: &Row) -> Result<Self, PgError> {
        let name = shown(row, "application_name")?;
        let of_adhoc = name.strip_suffix("/adhoc");
        let app = of_adhoc.or_else(|| name.strip_suffix("/automation")).unwrap_or(&name);
        let Doing { state, running_for, in_transaction_for, wait_event, query, begun } = Doing::of(row)?;
        Ok(TierSession {
            pid: row.try_get("pid")?,
            app_name: app.to_owned(),
            tier: if of_adhoc.is_some() { Tier::Adhoc } else { Tier::Automation },
            user: shown(row, "usename")?,
            host: shown(row, "host")?,
            state,
            age: time(row, "age")?,
            running_for,
            in_transaction_for,
            wait_event,
            blocked_by: row.try_get::<_, Option<_>>("blocked_by")?.unwrap_or_default(),
            query,
            begun,
        })
    }
}

impl TieredPool<PgManager> {
    /// Lists the sessions of every application whose `application_name` ends in `/automation` or `/adhoc`, as those of
    /// [`PgPool`](crate::PgPool) do, in all processes and on all hosts: by application, tier and host, 10,000 at the
    /// most. The session that asks is not among them. [`cancel`](Self::cancel) and [`terminate`](Self::terminate) take
    /// one of the list, where it is this application's.
    ///
    /// # Blocking
    ///
    /// As [`server_activity`](Self::server_activity).
    ///
    /// # Errors
    ///
    /// As [`server_activity`](Self::server_activity).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let pool = tierpool::PgPool::from_env()?;
    /// for session in pool.tier_sessions()? {
    ///     println!("{} of {} on {}", session.pid, session.app_name, session.host);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn tier_sessions(&self) -> Result<Vec<TierSession>, PgError> {
        let rows = ask(self, "tier sessions", |client| client.query_typed(&statement(), &[]))?;
        rows.iter().map(TierSession::of).collect()
    }
}
