//! The sessions of all applications that have tiers, one by one.

use std::time::Duration;

use postgres::Row;

use super::activity::time;
use super::ask::ask;
use super::limits::{shown, shown_if_any};
use crate::postgres::error::PgError;
use crate::postgres::open::PgManager;
use crate::tiers::{Tier, TieredPool};

/// Where the server hides what a session is, its role and database are still shown, and only sessions have both.
const STATEMENT: &str = "
    SELECT
        a.pid,
        a.application_name,
        CASE
            WHEN a.backend_type IS NULL THEN 'not shown'
            ELSE coalesce(pg_catalog.host(a.client_addr), 'local socket')
        END AS host,
        a.state,
        CAST(extract(epoch FROM pg_catalog.clock_timestamp() - a.backend_start) AS float8) AS age
    FROM pg_catalog.pg_stat_activity a
    WHERE (a.application_name LIKE '%_/automation' OR a.application_name LIKE '%_/adhoc')
        AND a.pid <> pg_catalog.pg_backend_pid()
        AND (a.backend_type = 'client backend'
            OR (a.backend_type IS NULL AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL))
    ORDER BY a.application_name, host, a.pid
    LIMIT 10000";

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
    /// The address of its client, `local socket`, or `not shown` where the role may not know. Behind a PgBouncer it is
    /// that of the PgBouncer.
    pub host: String,
    /// What it does, in the server's words, as `idle`; `None` where the role may not know.
    pub state: Option<String>,
    /// How long ago it began; `None` where the role may not know.
    pub age: Option<Duration>,
}

impl TierSession {
    fn of(row: &Row) -> Result<Self, PgError> {
        let name = shown(row, "application_name")?;
        let of_adhoc = name.strip_suffix("/adhoc");
        let app = of_adhoc.or_else(|| name.strip_suffix("/automation")).unwrap_or(&name);
        Ok(TierSession {
            pid: row.try_get("pid")?,
            app_name: app.to_owned(),
            tier: if of_adhoc.is_some() { Tier::Adhoc } else { Tier::Automation },
            host: shown(row, "host")?,
            state: shown_if_any(row, "state")?,
            age: time(row, "age")?,
        })
    }
}

impl TieredPool<PgManager> {
    /// Lists the sessions of every application whose `application_name` ends in `/automation` or `/adhoc`, as those of
    /// [`PgPool`](crate::PgPool) do, in all processes and on all hosts: by application, tier and host, 10,000 at the
    /// most. The session that asks is not among them.
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
        let rows = ask(self, "tier sessions", |client| client.query_typed(STATEMENT, &[]))?;
        rows.iter().map(TierSession::of).collect()
    }
}
