//! A transaction as a closure: what is committed, what is not, and what a lost server does to it.
#![cfg(feature = "postgres")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use support::cluster::cluster;
use support::hostile::{HostileServer, Step, frames};
use support::wait::{SECOND, took};
use support::wire::{DROP_BOUND, Frozen, manager, one, open};
use tierpool::config::PgBouncer;
use tierpool::postgres::{
    IsolationLevel, PgConnection, PgDriver, PgError, Session, SessionOptions, SocketTimeout,
    TransactionStatus, run_session,
};
use tierpool::{Condition, Driver};

fn count(conn: &mut PgConnection) -> i64 {
    one(conn, "SELECT count(*) FROM t")
}

#[test]
fn ok_commits_and_err_rolls_back() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    conn.batch_execute("CREATE TABLE t (i int)").unwrap();
    let plain = SessionOptions::new();
    let before = conn.round_trips().unwrap();
    run_session(&mut conn, &plain, |tx| tx.batch_execute("INSERT INTO t VALUES (1)")).unwrap();
    assert_eq!(conn.round_trips(), Some(before + 3));

    let failed: Result<(), Box<dyn std::error::Error>> = run_session(&mut conn, &plain, |tx| {
        tx.batch_execute("INSERT INTO t VALUES (2)")?;
        Err("changed my mind".into())
    });
    assert_eq!(failed.unwrap_err().to_string(), "changed my mind");
    let failed = run_session(&mut conn, &plain, |tx| tx.batch_execute("SELECT 1/0")).unwrap_err();
    assert_eq!(failed.sqlstate(), Some("22012"));
    assert_eq!(conn.transaction_status(), Some(TransactionStatus::Idle));
    assert_eq!(count(&mut conn), 1);
}

/// A connection to a server that answers so to what has these words in it.
fn conn_to(answers: Vec<(&'static str, Vec<u8>)>) -> (HostileServer, PgConnection) {
    let script = vec![Step::Startup, Step::Send(frames::greeting(b'I')), Step::Serve(answers)];
    let server = HostileServer::start(vec![script], Vec::new()).unwrap();
    let conn = open(&manager(&server.url(), |options| options.pgbouncer = Some(PgBouncer::Off)));
    (server, conn)
}

fn insert(tx: &mut Session<'_>) -> Result<(), PgError> {
    tx.batch_execute("INSERT INTO t VALUES (1)")
}

#[test]
fn an_answer_to_commit_that_is_none_leaves_the_outcome_unknown() {
    let odd = [frames::frame(b'1', b""), frames::complete("COMMIT"), frames::ready(b'I')].concat();
    // As that to the statement before comes late.
    let late = [frames::complete("INSERT 0 1"), frames::ready(b'T')].concat();
    for (answer, told) in
        [(odd, "COMMIT was sent, and its answer"), (late, "the server has not answered COMMIT")]
    {
        let within = |word| (word, frames::answer(b'T'));
        let (_server, mut conn) = conn_to(vec![within("BEGIN"), within("INSERT"), ("COMMIT", answer)]);
        let error = run_session(&mut conn, &SessionOptions::new(), insert).unwrap_err();
        assert!(error.is_outcome_unknown() && conn.is_lost(), "{error:#}");
        assert!(error.to_string().starts_with(&format!("outcome unknown: {told}")), "{error}");
    }
}

#[test]
fn an_answer_that_is_anothers_ends_the_connection() {
    let within = |word| (word, frames::answer(b'T'));
    let fails =
        |tx: &mut Session<'_>| insert(tx).and_then(|()| Err::<(), _>(std::io::Error::other("no").into()));
    // The end of an answer that the client took to have come to its end.
    let (_server, mut conn) =
        conn_to(vec![within("BEGIN"), within("INSERT"), ("ROLLBACK", frames::ready(b'E'))]);
    run_session(&mut conn, &SessionOptions::new(), fails).unwrap_err();
    assert!(conn.is_lost(), "ROLLBACK");

    let undo = ("ROLLBACK TO", frames::ready(b'E'));
    let (_server, mut conn) = conn_to(vec![within("BEGIN"), within("INSERT"), undo, within("SAVEPOINT")]);
    let ignores = |tx: &mut Session<'_>| {
        let _ = tx.savepoint(fails);
        insert(tx)
    };
    let error = run_session(&mut conn, &SessionOptions::new(), ignores).unwrap_err();
    assert!(conn.is_lost() && !error.is_outcome_unknown(), "ROLLBACK TO: {error:#}");

    // As that to the ROLLBACK of a session before comes late.
    let (_server, mut conn) = conn_to(vec![("BEGIN", frames::answer(b'I')), within("INSERT")]);
    let error = run_session(&mut conn, &SessionOptions::new(), insert).unwrap_err();
    assert!(conn.is_lost() && !error.is_outcome_unknown(), "BEGIN: {error:#}");
}

#[test]
fn an_error_that_was_ignored_is_not_committed_in_silence() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let mut conn = open(&manager(&url, |_| ()));
        conn.batch_execute("DROP TABLE IF EXISTS t; CREATE TABLE t (i int)").unwrap();
        let outcome = run_session(&mut conn, &SessionOptions::new(), |tx| {
            tx.batch_execute("INSERT INTO t VALUES (1)")?;
            let _ = tx.batch_execute("SELECT 1/0");
            Ok::<(), PgError>(())
        });
        assert!(outcome.unwrap_err().to_string().starts_with("nothing was committed"), "{url}");
        assert_eq!(count(&mut conn), 0);
        run_session(&mut conn, &SessionOptions::new(), |tx| tx.batch_execute("INSERT INTO t VALUES (1)"))
            .unwrap();
        assert_eq!(count(&mut conn), 1);
    }
}

#[test]
fn options_hold_within_the_session_only() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |options| options.statement_timeout = Some(SECOND / 5));
    let mut conn = open(&manager);
    let options = SessionOptions::new()
        .isolation(IsolationLevel::Serializable)
        .read_only(true)
        .statement_timeout(Duration::from_secs(7))
        .lock_timeout(Duration::from_secs(3));
    let state = "SELECT concat_ws('|', current_setting('transaction_isolation'),
        current_setting('transaction_read_only'), current_setting('statement_timeout'),
        current_setting('lock_timeout'))";
    let within: String =
        run_session(&mut conn, &options, |tx| Ok::<_, PgError>(tx.query_one(state, &[])?.get(0))).unwrap();
    assert_eq!(within, "serializable|on|7s|3s");
    assert_eq!(one::<String>(&mut conn, state), "read committed|off|200ms|0");
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Clean);
}

#[test]
fn a_longer_statement_timeout_raises_the_socket_timeout_for_the_session() {
    let cluster = cluster();
    let limit = SECOND / 5;
    let manager = manager(&cluster.url(), |options| options.socket_timeout = SocketTimeout::After(limit));
    let mut conn = open(&manager);
    let options = SessionOptions::new().statement_timeout(SECOND);
    run_session(&mut conn, &options, |tx| tx.batch_execute("SELECT pg_sleep(0.5)")).unwrap();
    let error = conn.batch_execute("SELECT pg_sleep(0.5)").map_err(PgError::from).unwrap_err();
    assert!(error.is_client_timeout(), "{error}");
}

#[test]
fn a_savepoint_undoes_its_own_work_only() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    conn.batch_execute("CREATE TABLE t (i int)").unwrap();
    run_session(&mut conn, &SessionOptions::new(), |tx| {
        tx.batch_execute("INSERT INTO t VALUES (1)")?;
        let inner = tx.savepoint(|tx| {
            tx.savepoint(|tx| tx.batch_execute("INSERT INTO t VALUES (2)"))?;
            tx.batch_execute("SELECT 1/0")
        });
        assert_eq!(inner.unwrap_err().sqlstate(), Some("22012"));
        tx.savepoint(|tx| tx.batch_execute("INSERT INTO t VALUES (3)"))
    })
    .unwrap();
    assert_eq!(one::<String>(&mut conn, "SELECT string_agg(i::text, ',') FROM t"), "1,3");
}

#[test]
fn a_panic_unwinds_at_once_also_on_a_frozen_server() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    let mut conn = open(&manager);
    conn.batch_execute("CREATE TABLE t (i int)").unwrap();
    let panics = |conn: &mut PgConnection, freeze: bool| {
        let pid = conn.backend_pid().unwrap();
        let mut frozen = None;
        let (outcome, time) = took(|| {
            catch_unwind(AssertUnwindSafe(|| {
                run_session(conn, &SessionOptions::new(), |tx| -> Result<(), PgError> {
                    tx.batch_execute("INSERT INTO t VALUES (1)")?;
                    frozen = freeze.then(|| Frozen::of(pid));
                    // Without the panic hook, whose backtrace takes longer than what is measured.
                    resume_unwind(Box::new("as the test wants"));
                })
            }))
        });
        assert!(outcome.is_err() && time < DROP_BOUND, "{time:?}");
        frozen
    };
    panics(&mut conn, false);
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Dirty);
    PgDriver.reset(&manager, &mut conn, true, SECOND).unwrap();
    assert_eq!(count(&mut conn), 0);
    let frozen = panics(&mut conn, true);
    assert!(took(|| drop(conn)).1 < DROP_BOUND);
    drop(frozen);
}

#[test]
fn a_server_lost_before_commit_is_worth_a_retry_and_one_lost_in_it_is_not() {
    let cluster = cluster();
    let manager =
        manager(&cluster.url(), |options| options.socket_timeout = SocketTimeout::After(SECOND / 5));
    let mut conn = open(&manager);
    let pid = conn.backend_pid().unwrap();
    let mut frozen = None;
    let outcome = run_session(&mut conn, &SessionOptions::new(), |tx| {
        tx.batch_execute("SELECT 1")?;
        frozen = Some(Frozen::of(pid));
        Ok::<_, PgError>(())
    });
    drop(frozen);
    let error = outcome.unwrap_err();
    assert!(error.is_outcome_unknown() && error.is_connection_lost() && !error.is_retryable(), "{error}");

    let mut conn = open(&manager);
    let abandon = conn.abandon_handle();
    let outcome = run_session(&mut conn, &SessionOptions::new(), |tx| {
        tx.batch_execute("SELECT 1")?;
        abandon.abandon();
        Ok::<_, PgError>(())
    });
    let error = outcome.unwrap_err();
    assert!(!error.is_outcome_unknown() && error.is_connection_lost() && error.is_retryable(), "{error}");
}

#[test]
fn an_error_on_an_abandoned_connection_returns_at_once() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    let abandon = conn.abandon_handle();
    let pid = conn.backend_pid().unwrap();
    let mut frozen = None;
    let (outcome, time) = took(|| {
        run_session(&mut conn, &SessionOptions::new(), |tx| {
            tx.batch_execute("SELECT 1")?;
            frozen = Some(Frozen::of(pid));
            abandon.abandon();
            tx.batch_execute("SELECT 1")
        })
    });
    assert!(outcome.unwrap_err().is_connection_lost() && time < 2 * DROP_BOUND, "{time:?}");
}

#[test]
fn a_session_within_a_transaction_is_refused() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    conn.batch_execute("BEGIN").unwrap();
    let outcome = run_session(&mut conn, &SessionOptions::new(), |_| Ok::<_, PgError>(()));
    assert_eq!(outcome.unwrap_err().to_string(), "the connection is in a transaction already");
    assert_eq!(conn.transaction_status(), Some(TransactionStatus::InTransaction));
}
