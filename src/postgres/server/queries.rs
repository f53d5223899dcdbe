//! What has been running for long on the server.

use std::time::Duration;

use postgres::Row;
use postgres::types::{ToSql, Type};

use super::ask::ask;
use super::doing::{self, Begun, Doing};
use super::limits::shown;
use super::names::Names;
use crate::postgres::error::PgError;
use crate::postgres::open::PgManager;
use crate::tiers::{Tier, TieredPool};

/// Sessions listed; with more than that running late the first ones tell enough.
const LISTED: i64 = 100;

fn statement() -> String {
    format!(
        "SELECT
            a.pid,
            CASE
                WHEN a.application_name = ANY ($1) THEN 'automation'
                WHEN a.application_name = ANY ($2) THEN 'adhoc'
            END AS tier,
            coalesce(a.application_name, '') AS application_name,
            CAST(coalesce(a.usename, '') AS text) AS usename,
            coalesce(pg_catalog.host(a.client_addr), 'local socket') AS client,
            {}
        FROM pg_catalog.pg_stat_activity a, (SELECT pg_catalog.clock_timestamp() AS at) now
        WHERE a.backend_type = 'client backend'
            AND a.pid <> pg_catalog.pg_backend_pid()
            AND a.state IN ('active', 'fastpath function call', 'idle in transaction', 'idle in transaction (aborted)')
            AND (a.xact_start <= now.at - $3 * interval '1 second'
                OR a.query_start <= now.at - $3 * interval '1 second')
        ORDER BY least(a.xact_start, a.query_start), a.pid
        LIMIT $4",
        doing::COLUMNS
    )
}

/// A session at work for long, by [`PgPool::long_running_queries`](crate::TieredPool::long_running_queries). `Display`
/// is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RunningQuery {
    /// The process id of the backend.
    pub pid: i32,
    /// The tier of this application that it belongs to, in whatever process; `None` for another application.
    #[cfg_attr(feature = "serde", serde(serialize_with = "by_name"))]
    pub tier: Option<Tier>,
    /// Its `application_name`.
    pub application_name: String,
    /// Its role.
    pub user: String,
    /// The address of its client, or `local socket`.
    pub client: String,
    /// What it does, in the server's words: `active`, `idle in transaction`, `idle in transaction (aborted)`.
    pub state: String,
    /// How long the statement has been running; `None` when none runs.
    pub running_for: Option<Duration>,
    /// How long the transaction has been open; a single statement has one of its own.
    pub in_transaction_for: Option<Duration>,
    /// What it waits for, as `Lock: transactionid`; `None` when it is on the processor.
    pub wait_event: Option<String>,
    /// The statement, or the last one where none runs: its first 500 characters, with the literals in it. As in every
    /// text here, line breaks and whatever else a terminal obeys are escaped.
    pub query: String,
    /// When the session and its statement began, by the server's clock in microseconds.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) begun: Begun,
}

#[cfg(feature = "serde")]
#[allow(clippy::ref_option)] // serde gives the field as it is.
fn by_name<S: serde::Serializer>(tier: &Option<Tier>, serializer: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&tier.map(Tier::as_str), serializer)
}

impl RunningQuery {
    fn of(row: &Row) -> Result<Self, PgError> {
        let Doing { state, running_for, in_transaction_for, wait_event, query, begun } = Doing::of(row)?;
        Ok(RunningQuery {
            pid: row.try_get("pid")?,
            tier: match row.try_get("tier")? {
                Some("automation") => Some(Tier::Automation),
                Some(_) => Some(Tier::Adhoc),
                None => None,
            },
            application_name: shown(row, "application_name")?,
            user: shown(row, "usename")?,
            client: shown(row, "client")?,
            state: state.unwrap_or_default(),
            running_for,
            in_transaction_for,
            wait_event,
            query,
            begun,
        })
    }
}

impl TieredPool<PgManager> {
    /// Lists the sessions whose statement has been running, or whose transaction has been open, for longer than
    /// `older_than`: the oldest first, 100 at the most.
    ///
    /// All applications' that this role may see: what blocks a batch is often somebody else's. `tier` tells which are
    /// this application's, in whatever process; only those can be ended by [`cancel`](Self::cancel) and
    /// [`terminate`](Self::terminate). The session that asks is never among them. Without `pg_read_all_stats` (a part
    /// of `pg_monitor`) the server shows the statements of this role only.
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
    /// use std::time::Duration;
    ///
    /// let pool = tierpool::PgPool::from_env()?;
    /// for query in pool.long_running_queries(Duration::from_secs(60))? {
    ///     println!("{query}");
    ///     if query.tier.is_some() {
    ///         // Not what the session is at by now, should it have gone on.
    ///         pool.cancel(&query)?;
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn long_running_queries(&self, older_than: Duration) -> Result<Vec<RunningQuery>, PgError> {
        let [automation, adhoc] = Names::of(self)?.shown();
        // The server's intervals end at 178 million years; nothing runs for a hundred.
        let seconds = older_than.as_secs_f64().min(3e9);
        let rows = ask(self, "long-running queries", move |client| {
            let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
                (&automation, Type::TEXT_ARRAY),
                (&adhoc, Type::TEXT_ARRAY),
                (&seconds, Type::FLOAT8),
                (&LISTED, Type::INT8),
            ];
            client.query_typed(&statement(), &parameters)
        })?;
        rows.iter().map(RunningQuery::of).collect()
    }
}
