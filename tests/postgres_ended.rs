//! What a client outside of sessions is told when the server ends its session.
#![cfg(feature = "postgres")]

mod support;

use std::thread;

use support::cluster::{Cluster, cluster};
use support::wait::{LONG_BOUND, eventually};
use support::wire::{manager, open};
use tierpool::PgError;
use tierpool::postgres::PgConnection;

/// Sessions ended by each test for each kind of call: a reason that gets lost in one call of ten does so here.
const TIMES: usize = 60;

type Call = fn(&mut PgConnection, &str) -> Result<(), postgres::Error>;

/// Of one step and of several, by the simple protocol and by the extended one.
const CALLS: [(&str, Call); 3] = [
    ("batch_execute", |conn, sql| conn.batch_execute(sql)),
    ("query", |conn, sql| conn.query(sql, &[]).map(drop)),
    ("query_typed", |conn, sql| conn.query_typed(sql, &[]).map(drop)),
];

/// Has sessions ended by `end`, which returns the error of a call, and counts those whose reason got lost.
fn all_say_57p01(end: impl Fn(&Cluster, PgConnection, Call) -> postgres::Error) {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    for (name, call) in CALLS {
        let told = (0..TIMES).map(|_| PgError::from(end(&cluster, open(&manager), call)));
        let others: Vec<_> = told.filter(|error| error.sqlstate() != Some("57P01")).collect();
        assert!(others.is_empty(), "{} of {TIMES} by {name}: {:?}", others.len(), others[0]);
    }
}

fn terminate(cluster: &Cluster, pid: i32) {
    cluster.admin().execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
}

#[test]
fn a_call_in_the_moment_in_which_its_session_ends_says_why() {
    all_say_57p01(|cluster, mut conn, call| {
        terminate(cluster, conn.backend_pid().unwrap());
        loop {
            if let Err(error) = call(&mut conn, "SELECT 1") {
                return error;
            }
        }
    });
}

#[test]
fn a_statement_amid_which_its_session_ends_says_why() {
    all_say_57p01(|cluster, mut conn, call| {
        let pid = conn.backend_pid().unwrap();
        let running = thread::spawn(move || call(&mut conn, "SELECT pg_sleep(60)").unwrap_err());
        eventually(LONG_BOUND, "it sleeps", || cluster.sleeps(pid));
        terminate(cluster, pid);
        running.join().unwrap()
    });
}
