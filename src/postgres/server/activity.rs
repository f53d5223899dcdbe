//! Who is connected to the server: this application's tiers by host, everybody else as a sum.

use std::time::{Duration, SystemTime};

use postgres::types::{ToSql, Type};
use postgres::{Client, Error, Row};

use super::ask::ask;
use super::limits::{RoleLimit, ServerLimits, count, shown};
use super::names::Names;
use crate::postgres::error::PgError;
use crate::postgres::open::PgManager;
use crate::text::harmless;
use crate::tiers::{Tier, TieredPool};

/// Sessions by what they are doing. `open` is the sum of the five numbers below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Sessions {
    /// All of them.
    pub open: u32,
    /// A statement runs.
    pub active: u32,
    /// Outside of a transaction, and nothing runs.
    pub idle: u32,
    /// In a transaction, and nothing runs.
    pub idle_in_transaction: u32,
    /// In a transaction that failed, and nothing runs.
    pub aborted: u32,
    /// What they do is not shown: they belong to another role and this one lacks `pg_read_all_stats`, or
    /// `track_activities` is off. The longest times leave them out.
    pub hidden: u32,
    /// The longest that a statement has been running.
    pub longest_query: Option<Duration>,
    /// The longest that a transaction has been open.
    pub longest_transaction: Option<Duration>,
}

/// The sessions of one client host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HostSessions {
    /// The address as the server sees it, `local socket`, or `not shown` where the role may not know. Behind a
    /// PgBouncer it is that of the PgBouncer.
    pub host: String,
    /// Its sessions.
    pub sessions: Sessions,
}

/// One tier on the server, over all processes of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TierActivity {
    /// The `application_name` by which its sessions are told.
    pub application_name: String,
    /// Its sessions.
    pub total: Sessions,
    /// The same by client host, the most first.
    pub hosts: Vec<HostSessions>,
    /// The role that it connects as.
    pub role: RoleLimit,
    /// The connections that it can open beyond those there are, by the limits of server, role and database. One that
    /// is opened takes from the room of the other tier as well.
    pub room: u32,
}

/// Who is connected to the server, by [`PgPool::server_activity`](crate::TieredPool::server_activity). `Display` is a
/// report of some lines, without a line break at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ServerActivity {
    /// The application: the first part of its `application_name`.
    pub app_name: String,
    /// The server's version.
    pub server_version: String,
    /// When the server was asked, by its own clock.
    pub asked_at: SystemTime,
    /// The automation tier.
    pub automation: TierActivity,
    /// The ad-hoc tier.
    pub adhoc: TierActivity,
    /// Everybody else's sessions, in all databases.
    pub others: Sessions,
    /// The limits of server and database.
    pub limits: ServerLimits,
}

impl ServerActivity {
    /// Returns one tier.
    pub fn tier(&self, tier: Tier) -> &TierActivity {
        match tier {
            Tier::Automation => &self.automation,
            Tier::Adhoc => &self.adhoc,
        }
    }

    pub(super) fn of(names: &Names, rows: &[Row]) -> Result<Self, PgError> {
        let first =
            rows.first().ok_or_else(|| PgError::refused("the server tells no limits of this role"))?;
        let limits = ServerLimits::of(first)?;
        let tier = |tier: Tier, name: &str| {
            let hosts = Sessions::by_host(rows, Some(tier.as_str()))?;
            let role = RoleLimit::of(first, tier.as_str())?;
            let (total, room) = (Sessions::sum(&hosts), limits.room(&role));
            Ok::<_, Error>(TierActivity { application_name: harmless(name), total, hosts, role, room })
        };
        Ok(ServerActivity {
            app_name: harmless(names.app()),
            server_version: shown(first, "server_version")?,
            asked_at: first.try_get("asked_at")?,
            automation: tier(Tier::Automation, &names.automation)?,
            adhoc: tier(Tier::Adhoc, &names.adhoc)?,
            others: Sessions::sum(&Sessions::by_host(rows, None)?),
            limits,
        })
    }
}

impl Sessions {
    /// Reads the columns of a group.
    pub(super) fn of(row: &Row) -> Result<Self, Error> {
        let mut sessions = Sessions {
            open: 0,
            active: count(row, "active")?,
            idle: count(row, "idle")?,
            idle_in_transaction: count(row, "idle_in_transaction")?,
            aborted: count(row, "aborted")?,
            hidden: count(row, "hidden")?,
            longest_query: time(row, "longest_query")?,
            longest_transaction: time(row, "longest_transaction")?,
        };
        sessions.open = sessions.active
            + sessions.idle
            + sessions.idle_in_transaction
            + sessions.aborted
            + sessions.hidden;
        Ok(sessions)
    }

    fn by_host(rows: &[Row], tier: Option<&str>) -> Result<Vec<HostSessions>, Error> {
        let mut hosts = Vec::new();
        for row in rows {
            if row.try_get::<_, Option<&str>>("tier")? == tier && has_sessions(row)? {
                hosts.push(HostSessions { host: shown(row, "host")?, sessions: Sessions::of(row)? });
            }
        }
        hosts.sort_by(|a, b| b.sessions.open.cmp(&a.sessions.open).then_with(|| a.host.cmp(&b.host)));
        Ok(hosts)
    }

    fn sum(hosts: &[HostSessions]) -> Self {
        hosts.iter().fold(Sessions::default(), |sum, HostSessions { sessions, .. }| Sessions {
            open: sum.open + sessions.open,
            active: sum.active + sessions.active,
            idle: sum.idle + sessions.idle,
            idle_in_transaction: sum.idle_in_transaction + sessions.idle_in_transaction,
            aborted: sum.aborted + sessions.aborted,
            hidden: sum.hidden + sessions.hidden,
            longest_query: sum.longest_query.max(sessions.longest_query),
            longest_transaction: sum.longest_transaction.max(sessions.longest_transaction),
        })
    }
}

/// Whether a row tells of sessions; a server that shows none still tells its limits.
fn has_sessions(row: &Row) -> Result<bool, Error> {
    Ok(row.try_get::<_, Option<i64>>("active")?.is_some())
}

/// Reads a time that the server measured. Its clock may step back, and a time cannot.
pub(super) fn time(row: &Row, column: &str) -> Result<Option<Duration>, Error> {
    let seconds: Option<f64> = row.try_get(column)?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
}

/// Asks for the sessions under the names of each tier, and for the limits of each tier's role, or of the session's own
/// where none is known.
pub(super) fn query_activity(
    client: &mut Client,
    [automation, adhoc]: &[Vec<String>; 2],
    [automation_role, adhoc_role]: &[Option<String>; 2],
) -> Result<Vec<Row>, Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (automation, Type::TEXT_ARRAY),
        (adhoc, Type::TEXT_ARRAY),
        (automation_role, Type::TEXT),
        (adhoc_role, Type::TEXT),
    ];
    client.query_typed(&of_sessions(include_str!("activity.sql")), &parameters)
}

/// A statement on the table `session`, of all clients' sessions, whose first two parameters are the names of the tiers.
/// In place of `{counted}` it gets the columns that [`Sessions::of`] reads.
pub(super) fn of_sessions(statement: &str) -> String {
    include_str!("session.sql").to_owned() + &statement.replace("{counted}", include_str!("counted.sql"))
}

impl TieredPool<PgManager> {
    /// Asks the server who is connected to it: the sessions of this application's tiers, **of all its processes**, told
    /// by `application_name` and listed by client host; everybody else's as a sum; and what the limits leave. So a
    /// status script that has this application's name tells the truth about the fleet, and not about its own pool,
    /// which is empty.
    ///
    /// One statement, one round trip. The session that asks counts as idle. Sessions that are still being
    /// authenticated are not shown by the server, though they take a place. Through a PgBouncer the figures are those
    /// of the server behind it: its connections, not the PgBouncer's clients.
    ///
    /// Without `pg_read_all_stats` (a part of `pg_monitor`) the server tells of other roles' sessions that they are
    /// there, and not what they do: those are counted in [`Sessions::hidden`].
    ///
    /// # Blocking
    ///
    /// At most `inquiry_timeout` ([`PgBuilder::inquiry_timeout`](crate::PgBuilder::inquiry_timeout), default 5 s) and
    /// 100 ms.
    ///
    /// # Errors
    ///
    /// When no ad-hoc connection could be had ([`PgError::as_checkout`]), when the server did not answer in time
    /// ([`PgError::is_client_timeout`]) or refused, and when the tiers have no `application_name` of their own, as with
    /// managers that were not made by [`PgBuilder`](crate::PgBuilder).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let pool = tierpool::PgPool::from_env()?;
    /// let activity = pool.server_activity()?;
    /// println!("{activity}");
    /// if activity.automation.room == 0 {
    ///     eprintln!("no room for another automation connection");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn server_activity(&self) -> Result<ServerActivity, PgError> {
        let names = Names::of(self)?;
        let shown = names.shown();
        let roles = [Tier::Automation, Tier::Adhoc].map(|tier| self.tier(tier).manager().user());
        let rows = ask(self, "server activity", move |client| query_activity(client, &shown, &roles))?;
        ServerActivity::of(&names, &rows)
    }
}
