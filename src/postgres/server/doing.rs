//! What a session does, in the server's words.

use std::time::Duration;

use postgres::{Error, Row};

use super::activity::time;
use super::limits::{shown, shown_if_any};

/// The columns of it, of `pg_stat_activity a` and of the server's time `now.at`. Of a query its first 500 characters.
pub(super) const COLUMNS: &str = "\
        a.state,
        CAST(CASE WHEN a.state IN ('active', 'fastpath function call')
            THEN extract(epoch FROM now.at - a.query_start) END AS float8) AS running,
        CAST(extract(epoch FROM now.at - a.xact_start) AS float8) AS in_transaction,
        a.wait_event_type || ': ' || a.wait_event AS wait_event,
        pg_catalog.left(pg_catalog.btrim(a.query), 500) AS query,
        CAST(extract(epoch FROM a.backend_start) * 1000000 AS int8) AS session_begun,
        CAST(extract(epoch FROM a.query_start) * 1000000 AS int8) AS statement_begun";

/// When a session and its statement began, by the server's clock in microseconds, where the role may know.
pub(super) type Begun = (Option<i64>, Option<i64>);

/// What stands in those columns. `None` where the role may not know, or there is none.
pub(super) struct Doing {
    pub state: Option<String>,
    pub running_for: Option<Duration>,
    pub in_transaction_for: Option<Duration>,
    pub wait_event: Option<String>,
    pub query: String,
    pub begun: Begun,
}

impl Doing {
    pub fn of(row: &Row) -> Result<Self, Error> {
        Ok(Doing {
            state: shown_if_any(row, "state")?,
            running_for: time(row, "running")?,
            in_transaction_for: time(row, "in_transaction")?,
            wait_event: shown_if_any(row, "wait_event")?,
            query: shown(row, "query")?,
            begun: (row.try_get("session_begun")?, row.try_get("statement_begun")?),
        })
    }
}
