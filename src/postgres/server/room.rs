//! Whether the server has room for a pool's budget, asked once and told in the log.

use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::activity::{ServerActivity, query_activity};
use super::names::Names;
use crate::config::PgBouncer;
use crate::lines::say;
use crate::postgres::connection::PgConnection;
use crate::postgres::error::PgError;
use crate::postgres::open::{FirstLook, PgManager};

/// Has the first connection of a pool ask how many connections its role may have, and tells in the log how `budget`
/// compares with that.
///
/// It is asked on the thread that opens the connection, before anybody has that. Behind a pooler it is not asked: its
/// own limits hold there, and the server's sessions are the pooler's. A server that refuses to answer serves all the
/// same: one that takes too long costs the connection, and another is opened.
pub(in crate::postgres) fn look_for_room(managers: [&PgManager; 2], budget: u32) -> Arc<FirstLook> {
    let names = Names::of_managers(managers);
    FirstLook::new(move |conn, begun, left| {
        let Ok(names) = &names else { return };
        if conn.pgbouncer() != PgBouncer::Off {
            return;
        }
        // Half of it, so that another connection can be opened should this one be lost.
        match ask(conn, names, MOST.min(left / 2)) {
            Ok(activity) => Room::of(&activity, begun).tell(budget),
            Err(error) => {
                say!(
                    Level::Debug,
                    "tierpool::postgres",
                    [error = error.to_string()],
                    "the server does not say what room it has: {error}"
                )
            }
        }
        conn.begin_as_new();
    })
}

/// The longest that the answer is waited for, with whoever waits for the connection: far more than a server needs.
const MOST: Duration = Duration::from_secs(2);

fn ask(conn: &mut PgConnection, names: &Names, limit: Duration) -> Result<ServerActivity, PgError> {
    let shown = names.shown();
    // The role is that of the session.
    let rows = conn.bounded_own(limit, |client| query_activity(client, &shown, &[None, None]))?;
    ServerActivity::of(names, &rows)
}

/// The connections that a pool may have on its server.
struct Room {
    usable: u32,
    /// How that comes about.
    reckoning: String,
}

impl Room {
    /// Reckons with the sessions under the pool's names, but for those beyond what it has begun to open: they are
    /// another process's, and so are others'.
    fn of(activity: &ServerActivity, begun: u32) -> Room {
        let own = (activity.automation.total.open + activity.adhoc.total.open).min(begun);
        let (limits, role) = (&activity.limits, &activity.automation.role);
        let others = |in_use: u32| in_use.saturating_sub(own);
        let usable = own.saturating_add(limits.room(role));
        let left_by = |limit: Option<u32>, in_use: u32| {
            limit.filter(|limit| !role.is_superuser && limit.saturating_sub(others(in_use)) == usable)
        };
        let (database, in_database) = (&limits.database, limits.database.in_use);
        let reckoning = if let Some(limit) = left_by(role.limit, role.in_use) {
            format!("role {} may have {limit}; {} are others'", role.name, others(role.in_use))
        } else if let Some(limit) = left_by(database.limit, in_database) {
            format!("database {} may have {limit}; {} are others'", database.name, others(in_database))
        } else {
            format!(
                "max_connections {}, less {} reserved by the server and {} of others",
                limits.max_connections,
                limits.kept_from(role),
                others(limits.in_use)
            )
        };
        Room { usable, reckoning }
    }

    fn tell(&self, budget: u32) {
        let Room { usable, reckoning } = self;
        if budget > *usable {
            say!(
                Level::Warn,
                "tierpool::postgres",
                [budget = budget, usable = usable, reckoning = reckoning],
                "the budget is beyond what the server has room for: {budget} of {usable} usable ({reckoning})"
            );
        } else {
            say!(
                Level::Info,
                "tierpool::postgres",
                [budget = budget, usable = usable, reckoning = reckoning],
                "the server has room for the budget: {budget} of {usable} usable ({reckoning})"
            );
        }
    }
}
