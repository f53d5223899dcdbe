//! What a client is told when the server ends its session.
#![cfg(feature = "postgres")]

mod support;

use std::thread;

use support::cluster::{Cluster, cluster};
use support::pools::pool_of;
use support::wait::{LONG_BOUND, eventually};
use support::wire::{manager, open};
use tierpool::PgError;
use tierpool::postgres::{PgConnection, Session};

/// Sessions ended by each test for each kind of call: a reason that gets lost in one call of ten does so here.
const TIMES: usize = 60;

type Work<'a> = dyn Fn(&mut Session<'_>) -> Result<(), PgError> + 'a;
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

fn gone(cluster: &Cluster, pid: i32) -> bool {
    let ask = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $1";
    cluster.admin().query_one(ask, &[&pid]).unwrap().get(0)
}

#[test]
fn what_a_session_lost_before_commit_is_retryable_and_what_overran_a_limit_is_not() {
    let cluster = cluster();
    let pool = pool_of(1, "ended", cluster.url(), |builder| builder);
    let pid = |tx: &mut Session<'_>| tx.query_one("SELECT pg_backend_pid()", &[]).unwrap().get::<_, i32>(0);
    let end = |pid| {
        terminate(&cluster, pid);
        eventually(LONG_BOUND, "it has ended", || gone(&cluster, pid));
    };
    let works: [(&str, &Work<'_>); 4] = [
        ("between its statements", &|tx| {
            end(pid(tx));
            tx.execute("SELECT 1", &[]).map(drop)
        }),
        ("between its statements, then a batch", &|tx| {
            end(pid(tx));
            tx.batch_execute("SELECT 1")
        }),
        ("amid a statement", &|tx| tx.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())")),
        ("before COMMIT", &|tx| {
            end(pid(tx));
            Ok(())
        }),
    ];
    for (when, work) in works {
        let error = pool.session(|tx| work(tx)).unwrap_err();
        assert!(error.is_connection_lost() && error.is_retryable(), "{when}: {error}");
        assert!(!error.is_outcome_unknown(), "{when}: {error}");
    }
    let late = |tx: &mut Session<'_>| {
        // Ahead of the limit, which may end the session at once.
        let pid = pid(tx);
        tx.batch_execute("SET LOCAL idle_in_transaction_session_timeout = 1")?;
        eventually(LONG_BOUND, "it has ended", || gone(&cluster, pid));
        Ok::<_, PgError>(())
    };
    for work in
        [&late as &dyn Fn(&mut Session<'_>) -> _, &|tx| late(tx).and_then(|()| tx.batch_execute("SELECT 1"))]
    {
        let error = pool.session(|tx| work(tx)).unwrap_err();
        assert!(error.is_connection_lost() && !error.is_retryable(), "{error}");
    }
    let committed = pool.session(|tx| {
        let pid = pid(tx);
        tx.batch_execute("COMMIT")?;
        end(pid);
        tx.execute("SELECT 1", &[]).map(drop)
    });
    let error = committed.unwrap_err();
    assert!(error.is_connection_lost() && !error.is_retryable(), "its own COMMIT was sent: {error}");
}
