//! Everybody who is connected, by role and application.

use postgres::types::{ToSql, Type};

use super::activity::{Sessions, of_sessions};
use super::ask::ask;
use super::limits::{count, shown};
use super::names::Names;
use crate::postgres::error::PgError;
use crate::postgres::open::PgManager;
use crate::tiers::TieredPool;

const STATEMENT: &str = "
    SELECT
        usename,
        application_name,
        count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting_for_locks,
        {counted}
    FROM session
    GROUP BY usename, application_name
    ORDER BY count(*) DESC, usename, application_name
    LIMIT 200";

/// The sessions of one role under one name, by [`PgPool::server_clients`](crate::TieredPool::server_clients).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ClientSessions {
    /// The role.
    pub user: String,
    /// The `application_name`, which is empty where the client has set none.
    pub application_name: String,
    /// The sessions, in all databases.
    pub sessions: Sessions,
    /// Those of them that wait for a lock.
    pub waiting_for_locks: u32,
}

impl TieredPool<PgManager> {
    /// Lists who is connected to the server, by role and `application_name`, in all databases: the most sessions first,
    /// 200 rows at the most. The session that asks counts as idle.
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
    /// for clients in pool.server_clients()? {
    ///     println!("{} of {}: {}", clients.application_name, clients.user, clients.sessions.open);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn server_clients(&self) -> Result<Vec<ClientSessions>, PgError> {
        let [automation, adhoc] = Names::of(self)?.shown();
        let rows = ask(self, "server clients", move |client| {
            let names = [(&automation, Type::TEXT_ARRAY), (&adhoc, Type::TEXT_ARRAY)];
            let parameters = names.map(|(names, kind)| (names as &(dyn ToSql + Sync), kind));
            client.query_typed(&of_sessions(STATEMENT), &parameters)
        })?;
        let client = |row| {
            Ok(ClientSessions {
                user: shown(row, "usename")?,
                application_name: shown(row, "application_name")?,
                sessions: Sessions::of(row)?,
                waiting_for_locks: count(row, "waiting_for_locks")?,
            })
        };
        rows.iter().map(client).collect()
    }
}
