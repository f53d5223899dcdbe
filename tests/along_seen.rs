//! What the caller of a session sees where something goes wrong at its ends: with BEGIN, which has no answer of its own
//! to the caller, and with COMMIT.
//!
//! | case | held by |
//! | --- | --- |
//! | BEGIN or SET LOCAL refused | here |
//! | the connection lost at BEGIN | here |
//! | an empty session, the server away | here |
//! | a Unix socket, where nobody reads along | here |
//! | the last statement, or COMMIT, fails, conflicts, or is cut off | `session_ending.rs` |
//! | a statement after the last one | does not compile: the documentation of `Last` |
#![cfg(feature = "postgres")]

mod support;

use postgres::types::Type;
use support::cluster::Cluster;
use support::proxy::{Admission, Direction, Proxy};
use support::retried::{cluster, counted, options, pool, rows};
use support::wire::{manager, one, open};
use tierpool::PgError;
use tierpool::postgres::{
    Ending, IsolationLevel, Last, Session, SessionOptions, TransactionStatus, run_session, run_session_ending,
};
use tierpool::{PgPool, Tier};

type Call = fn(&mut Session<'_>) -> Result<(), PgError>;

/// Statements that show where they ran outside of a transaction: what they take is kept by the session.
const LOCKS: [(&str, Call); 8] = [
    ("execute", |tx| tx.execute("SELECT pg_advisory_lock(1)", &[]).map(drop)),
    ("execute_cached", |tx| tx.execute_cached("SELECT pg_advisory_lock(2)", &[]).map(drop)),
    ("query", |tx| tx.query("SELECT pg_advisory_lock(3)", &[]).map(drop)),
    ("query_typed", |tx| tx.query_typed("SELECT pg_advisory_lock($1)", &[(&4_i64, Type::INT8)]).map(drop)),
    ("prepare", |tx| {
        let statement = tx.prepare("SELECT pg_advisory_lock(5)")?;
        tx.execute(&statement, &[]).map(drop)
    }),
    ("batch_execute", |tx| tx.batch_execute("SELECT pg_advisory_lock(6)")),
    ("copy_out", |tx| tx.copy_out("COPY (SELECT pg_advisory_lock(7)) TO STDOUT").map(drop)),
    ("savepoint", |tx| tx.savepoint(|tx| tx.batch_execute("SELECT pg_advisory_lock(8)"))),
];

fn locks(cluster: &Cluster) -> i64 {
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    cluster.client().query_one(held, &[]).unwrap().get(0)
}

/// Runs each of the statements twice in a session whose frame is refused with this code, and ignores all.
#[track_caller]
fn nothing_runs(pool: &PgPool, cluster: &Cluster, options: &SessionOptions, code: &str, lay: impl Fn()) {
    for (call, lock) in LOCKS {
        lay();
        let (outcome, calls) = counted(pool, options, |tx, _| {
            assert_eq!(lock(tx).unwrap_err().sqlstate(), Some(code), "{call}");
            assert!(lock(tx).is_err(), "{call}");
            Ok::<_, PgError>(())
        });
        assert!(outcome.is_err(), "{call}: ended well");
        assert_eq!((calls, locks(cluster)), (1, 0), "{call}: ran outside of its transaction");
        lay();
        let mut conn = pool.get(Tier::Automation).unwrap();
        let error = run_session(&mut conn, options, lock).unwrap_err();
        assert_eq!(error.sqlstate(), Some(code), "{call}: by hand");
        assert_eq!(locks(cluster), 0, "{call}: by hand");
    }
    assert_eq!(pool.automation().stats().closed.total(), 0, "the connection is good");
}

#[test]
fn no_statement_runs_behind_a_begin_that_a_standby_refuses() {
    let primary = Cluster::builder().replicates().start().unwrap();
    let standby = primary.standby().unwrap();
    let serializable = options().isolation(IsolationLevel::Serializable);
    for url in [standby.url(), standby.url_unix()] {
        nothing_runs(&pool(url, |builder| builder), &standby, &serializable, "0A000", || {});
    }
}

#[test]
fn no_statement_runs_behind_a_begin_or_a_limit_that_is_not_understood() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.plain_url_through(proxy.port()), |builder| builder);
    let limited = options().lock_timeout(support::wait::LONG_BOUND);
    nothing_runs(&pool, &cluster, &limited, "42601", || proxy.garble(b"BEGIN", b"BEGIM"));
    nothing_runs(&pool, &cluster, &limited, "42704", || proxy.garble(b"lock_timeout", b"lock_timeoux"));
}

#[test]
fn a_last_statement_does_not_run_behind_a_begin_that_is_refused() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.plain_url_through(proxy.port()), |builder| builder);
    for _ in 0..2 {
        proxy.garble(b"BEGIN", b"BEGIM");
        let error = pool.session_ending(|_| {
            Ok::<_, PgError>(Ending::Last(Last::execute("INSERT INTO t VALUES ($1)").with(1)))
        });
        assert_eq!(error.unwrap_err().sqlstate(), Some("42601"));
        assert_eq!(rows(&cluster), "");
    }
}

#[test]
fn the_last_statement_takes_begin_and_commit_along_over_tcp_and_neither_over_a_unix_socket() {
    let cluster = Cluster::builder().setting("log_statement", "all").start().unwrap();
    cluster.client().batch_execute("CREATE TABLE t (id int)").unwrap();
    let insert = |id| Ok::<_, PgError>(Ending::Last(Last::execute("INSERT INTO t VALUES ($1)").with(id)));
    let plain = SessionOptions::new();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    conn.prepare_cached("INSERT INTO t VALUES ($1)").unwrap();
    for id in 1..=3 {
        let before = conn.round_trips().unwrap();
        assert_eq!(run_session_ending(&mut conn, &plain, |_| insert(id)).unwrap(), 1);
        assert_eq!(conn.round_trips().unwrap() - before, 1);
        assert_eq!(conn.transaction_status(), Some(TransactionStatus::Idle));
    }
    let alone = |cluster: &Cluster| cluster.server_log().matches("statement: BEGIN\n").count();
    assert_eq!(alone(&cluster), 0);
    let mut conn = open(&manager(&cluster.url_unix(), |_| ()));
    assert_eq!(run_session_ending(&mut conn, &plain, |_| insert(4)).unwrap(), 1);
    assert_eq!(alone(&cluster), 1);
    assert_eq!(one::<i64>(&mut conn, "SELECT count(*) FROM t"), 4);
}

#[test]
fn a_copy_as_the_last_statement_fails_and_commits_nothing() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    let outcome = pool.session_ending(|tx| {
        tx.execute("INSERT INTO t VALUES (1)", &[])?;
        Ok::<_, PgError>(Ending::Last(Last::execute("COPY t FROM STDIN")))
    });
    assert!(outcome.is_err());
    assert_eq!(rows(&cluster), "");
    assert_eq!(pool.session_ending(|_| Ok::<_, PgError>(Last::query("SELECT 7").into())).unwrap().len(), 1);
}

#[test]
fn a_connection_lost_at_begin_is_lost_before_commit_and_its_session_repeated() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.plain_url_through(proxy.port()), |builder| builder);
    for direction in [Direction::ToServer, Direction::ToClient] {
        let cut = || match direction {
            Direction::ToServer => proxy.cut_at(direction, b"BEGIN"),
            Direction::ToClient => proxy.cut_at(direction, b"BEGIN\0"),
        };
        cluster.client().batch_execute("TRUNCATE t").unwrap();
        cut();
        let error = pool
            .session(|tx| {
                let error = tx.execute("INSERT INTO t VALUES (1)", &[]).unwrap_err();
                assert!(error.is_connection_lost() && !error.is_outcome_unknown(), "{direction:?}: {error}");
                tx.execute("INSERT INTO t VALUES (2)", &[])
            })
            .unwrap_err();
        assert!(error.is_connection_lost() && error.is_retryable(), "{direction:?}: {error}");
        assert_eq!(rows(&cluster), "");
        let (outcome, calls) = counted(&pool, &options(), |tx, call| {
            if call == 1 {
                cut();
            }
            tx.execute("INSERT INTO t VALUES (3)", &[])
        });
        assert_eq!((outcome.unwrap(), calls, rows(&cluster).as_str()), (1, 2, "3:0"), "{direction:?}");
    }
}

#[test]
fn an_empty_session_ends_well_while_the_server_is_away() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.url_through(proxy.port()), |builder| builder);
    proxy.admit(Admission::Refuse);
    proxy.reset();
    assert_eq!(pool.session(|_| Ok::<_, PgError>(1)).unwrap(), 1);
    assert_eq!(pool.session_ending(|_| Ok::<_, PgError>(Ending::Commit(2))).unwrap(), 2);
}
