//! Pools of one fleet, and what the server's table of locks says of it.

// Each user is a crate of its own and takes a part of this.
#![allow(dead_code)]

use postgres::Client;
use tierpool::{PgBuilder, PgPool};

use crate::support::cluster::Cluster;
use crate::support::pools::built;

/// A budget of so few that a test uses all: 12 less 2 for people and 2 for askers.
pub const TOTAL: u32 = 12;
pub const RESERVED: u32 = 2;
pub const SLOTS: i64 = 8;

/// A program's pool in the fleet `news`, that would have all of it.
pub fn builder(url: &str, app_name: &str) -> PgBuilder {
    PgPool::builder()
        .url(url)
        .app_name(app_name)
        .total_connections(TOTAL)
        .reserved(RESERVED)
        .fleet("news")
        .connection_timeout(crate::support::wait::LONG_BOUND)
}

/// The same, built.
#[track_caller]
pub fn member(cluster: &Cluster, app_name: &str) -> PgPool {
    built(builder(&cluster.url(), app_name))
}

/// What the server says of the locks of all fleets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Slots that somebody holds.
    pub slots: i64,
    /// Sessions that hold one.
    pub holders: i64,
    /// First marks of members.
    pub members: i64,
    /// All locks of these kinds, whatever they mean.
    pub locks: i64,
    /// Slots of the reserve that somebody holds.
    pub adhoc: i64,
    /// Sessions that hold one of those.
    pub adhoc_holders: i64,
}

/// Looks at the server's tables.
pub fn seen(client: &mut Client) -> Seen {
    let row = client
        .query_one(
            "SELECT count(DISTINCT objid) FILTER (WHERE kind = 0), count(DISTINCT pid) FILTER (WHERE kind = 0),
                 count(*) FILTER (WHERE kind = 8), count(*),
                 count(DISTINCT objid) FILTER (WHERE kind = 3), count(DISTINCT pid) FILTER (WHERE kind = 3)
             FROM (SELECT pid, objid, classid::int8 % 256 AS kind FROM pg_locks
                 WHERE locktype = 'advisory' AND objsubid = 2 AND classid::int8 >= 2147483648) AS l",
            &[],
        )
        .unwrap();
    Seen {
        slots: row.get(0),
        holders: row.get(1),
        members: row.get(2),
        locks: row.get(3),
        adhoc: row.get(4),
        adhoc_holders: row.get(5),
    }
}

/// Changes the server of a test as nobody else would.
pub fn change(cluster: &Cluster, statement: &str) {
    let mut admin = postgres::Client::connect(&cluster.superuser_url(), postgres::NoTls).unwrap();
    admin.batch_execute(statement).unwrap();
}

/// Has a function of the server grant what it is asked for, and do nothing.
pub fn grants_always(cluster: &Cluster, function: &str) {
    let name = format!("pg_catalog.{function}(int, int)");
    change(cluster, &format!("ALTER FUNCTION {name} RENAME TO {function}_renamed"));
    change(cluster, &format!("CREATE FUNCTION {name} RETURNS bool LANGUAGE sql VOLATILE AS 'SELECT true'"));
}
