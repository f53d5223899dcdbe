//! Sessions that are repeated: after conflicts, lost connections, and a COMMIT whose answer is lost.
#![cfg(feature = "postgres")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use support::proxy::{Direction, Proxy};
use support::retried::{cluster, counted, cut_commits, options, pool, quick, rows};
use support::wait::{LONG_BOUND, eventually};
use tierpool::postgres::{IsolationLevel, Retry, Session, SessionOptions};
use tierpool::{PgError, Tier};

/// The end of what a server says to BEGIN.
const BEGUN: &[u8] = b"BEGIN\0";

#[test]
fn a_commit_whose_fate_is_unknown_is_repeated_only_where_that_does_no_harm() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.url_through(proxy.port()), |builder| builder);
    cut_commits(&cluster, &proxy, |options, attempt| {
        counted(&pool, options, |tx, call| {
            tx.execute_cached("INSERT INTO t VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = 1", &[])?;
            attempt(call);
            Ok::<_, PgError>(())
        })
    });
}

#[test]
fn a_connection_cut_before_commit_is_repeated_and_applied_once() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.url_through(proxy.port()), |builder| builder);
    let (outcome, calls) = counted(&pool, &options(), |tx, call| {
        tx.batch_execute("INSERT INTO t VALUES (1)")?;
        if call == 1 {
            proxy.cut_at(Direction::ToServer, b"UPDATE");
        }
        tx.batch_execute("UPDATE t SET n = n + 1")
    });
    outcome.unwrap();
    assert_eq!((calls, rows(&cluster).as_str()), (2, "1:1"));
}

#[test]
fn a_connection_cut_between_the_answers_to_begin_and_to_what_it_went_with_is_repeated() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.url_through(proxy.port()), |builder| builder);
    let (outcome, calls) = counted(&pool, &options(), |tx, call| {
        if call == 1 {
            proxy.cut_within(Direction::ToClient, BEGUN, BEGUN.len());
        }
        tx.execute("INSERT INTO t VALUES (1)", &[])
    });
    outcome.unwrap();
    assert_eq!((calls, rows(&cluster).as_str()), (2, "1:0"));
}

/// Goes on when both are there.
fn meet(there: &AtomicUsize) {
    there.fetch_add(1, SeqCst);
    eventually(LONG_BOUND, "the other one is there", || there.load(SeqCst) == 2);
}

#[test]
fn write_skew_ends_committed_and_the_rule_holds() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    pool.session(|tx| tx.batch_execute("INSERT INTO t VALUES (1, 1), (2, 1)")).unwrap();
    let serializable = options().isolation(IsolationLevel::Serializable);
    let (calls, both_read) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for id in [1, 2] {
            let (pool, serializable, calls, both_read) = (&pool, &serializable, &calls, &both_read);
            scope.spawn(move || {
                let (outcome, own) = counted(pool, serializable, |tx, call| {
                    let on: i64 = tx.query_one("SELECT sum(n) FROM t", &[])?.get(0);
                    if call == 1 {
                        meet(both_read);
                    }
                    if on > 1 {
                        tx.execute("UPDATE t SET n = 0 WHERE id = $1", &[&id])?;
                    }
                    Ok::<_, PgError>(())
                });
                outcome.unwrap();
                calls.fetch_add(own, SeqCst);
            });
        }
    });
    assert!(["1:1 2:0", "1:0 2:1"].contains(&rows(&cluster).as_str()), "{}", rows(&cluster));
    assert_eq!(calls.into_inner(), 3, "one of the two was repeated once");
    assert_eq!(pool.sessions_repeated(Tier::Automation), 1);
}

#[test]
fn a_deadlock_ends_committed() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    pool.session(|tx| tx.batch_execute("INSERT INTO t VALUES (1), (2)")).unwrap();
    let (calls, both_locked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for order in [[1, 2], [2, 1]] {
            let (pool, calls, both_locked) = (&pool, &calls, &both_locked);
            scope.spawn(move || {
                let add = "UPDATE t SET n = n + 1 WHERE id = $1";
                let (outcome, own) = counted(pool, &options(), |tx, call| {
                    tx.execute_cached(add, &[&order[0]])?;
                    if call == 1 {
                        meet(both_locked);
                    }
                    tx.execute_cached(add, &[&order[1]])
                });
                outcome.unwrap();
                calls.fetch_add(own, SeqCst);
            });
        }
    });
    assert_eq!((rows(&cluster).as_str(), calls.into_inner()), ("1:2 2:2", 3));
}

#[test]
fn a_backend_terminated_and_a_server_restarted_in_the_middle_are_repeated() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    let insert = |tx: &mut Session<'_>, id: i32| tx.execute("INSERT INTO t VALUES ($1)", &[&id]);
    let (outcome, calls) = counted(&pool, &options(), |tx, call| {
        insert(tx, 1)?;
        if call == 1 {
            let pid: i32 = tx.query_one("SELECT pg_backend_pid()", &[])?.get(0);
            cluster.admin().execute("SELECT pg_terminate_backend($1, 20000)", &[&pid]).unwrap();
        }
        insert(tx, 2)
    });
    outcome.unwrap();
    assert_eq!((calls, rows(&cluster).as_str()), (2, "1:0 2:0"));

    // Through the breaker too: checkouts fail at once while the server is away, more often than there are attempts.
    let (patient, repeated) = (Retry { attempts: 3, ..quick() }, pool.sessions_repeated(Tier::Automation));
    let (outcome, calls) = thread::scope(|scope| {
        counted(&pool, &SessionOptions::new().retry(patient), |tx, call| {
            insert(tx, 3)?;
            if call == 1 {
                cluster.stop_fast();
                scope.spawn(|| {
                    eventually(LONG_BOUND, "attempts at an open breaker", || {
                        let refused =
                            pool.automation().get_timeout(LONG_BOUND).is_err_and(|e| e.is_circuit_open());
                        refused && pool.sessions_repeated(Tier::Automation) >= repeated + 8
                    });
                    cluster.start();
                });
            }
            insert(tx, 4)
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!((calls, rows(&cluster).as_str()), (2, "1:0 2:0 3:0 4:0"));
}

#[test]
fn a_statement_made_stale_behind_another_is_prepared_anew_by_a_repetition() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder.base_size(1));
    let read = |tx: &mut Session<'_>, _| {
        tx.batch_execute("SELECT 1")?;
        Ok::<_, PgError>(tx.query_cached("SELECT * FROM t", &[])?.len())
    };
    assert_eq!(counted(&pool, &options(), read).1, 1);
    pool.session(|tx| tx.batch_execute("ALTER TABLE t ADD more int")).unwrap();
    let (outcome, calls) = counted(&pool, &options(), read);
    assert_eq!((outcome.unwrap(), calls), (0, 2));
}

#[test]
fn a_server_that_turned_read_only_and_back_is_met_by_a_repetition() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    let read_only = |on: bool| {
        let mut admin = cluster.admin();
        admin.batch_execute(&format!("ALTER DATABASE app SET default_transaction_read_only = {on}")).unwrap();
    };
    read_only(true);
    // The new setting holds for connections opened from now on.
    pool.automation().evict_idle();
    let (outcome, calls) = counted(&pool, &options(), |tx, call| {
        let written = tx.batch_execute("INSERT INTO t VALUES (1)");
        if call == 1 {
            read_only(false);
        }
        written
    });
    outcome.unwrap();
    assert_eq!((calls, rows(&cluster).as_str()), (2, "1:0"));
}
