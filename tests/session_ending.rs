//! Sessions that leave their last statement to COMMIT: what is kept, what is told, and what is repeated.
#![cfg(feature = "postgres")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use support::cluster::Cluster;
use support::pools::checkouts;
use support::proxy::{Admission, Proxy};
use support::retried::{Opaque, cluster, cut_commits, options, pool, quick, rows};
use tierpool::postgres::{Ending, Last, Session, SessionOptions, run_session_ending};
use tierpool::stats::CloseCause;
use tierpool::{PgError, PgPool, Tier};

const INSERT: &str = "INSERT INTO t VALUES ($1, $2)";

/// The last statement of most tests: a row.
fn row<'a>(id: i32, n: i32) -> Last<'a, u64> {
    Last::execute(INSERT).with(id).with(n)
}

/// Over TCP, where the wire is read along, and over a Unix socket, where it is not.
fn pools(cluster: &Cluster) -> [PgPool; 2] {
    [pool(cluster.url(), |builder| builder), pool(cluster.url_unix(), |builder| builder)]
}

fn empty(cluster: &Cluster) {
    cluster.client().batch_execute("TRUNCATE t").unwrap();
}

/// Runs a session and returns with its outcome how often the closure was called.
fn counted<'e, T: 'e, E: From<PgError>>(
    pool: &PgPool,
    options: &SessionOptions,
    mut work: impl FnMut(&mut Session<'_>, usize) -> Result<Ending<'e, T>, E>,
) -> (Result<T, E>, usize) {
    let mut calls = 0;
    let outcome = pool.session_ending_with(Tier::Automation, options, |tx| {
        calls += 1;
        work(tx, calls)
    });
    (outcome, calls)
}

#[test]
fn each_kind_of_end_is_committed_and_gives_what_its_work_asked_for() {
    let cluster = cluster();
    for pool in pools(&cluster) {
        empty(&cluster);
        let value = pool.session_ending(|tx| {
            tx.execute_cached(INSERT, &[&1, &10])?;
            Ok::<_, PgError>(Ending::Commit("by itself"))
        });
        assert_eq!((value.unwrap(), rows(&cluster).as_str()), ("by itself", "1:10"));

        let count = pool.session_ending(|tx| {
            tx.execute_cached(INSERT, &[&2, &20])?;
            Ok::<_, PgError>(row(3, 30).into())
        });
        assert_eq!((count.unwrap(), rows(&cluster).as_str()), (1, "1:10 2:20 3:30"));

        // The only statement of its session, and rows with what was known before.
        let returned = pool.session_ending(|_| {
            let before = 7;
            let delete = Last::query("DELETE FROM t WHERE id = ANY ($1) RETURNING n").with(vec![1, 3]);
            let values = delete.map(|rows| rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>());
            Ok::<_, PgError>(Ending::Last(values.map(move |values| (before, values))))
        });
        assert_eq!((returned.unwrap(), rows(&cluster).as_str()), ((7, vec![10, 30]), "2:20"));

        let mut conn = pool.get(Tier::Automation).unwrap();
        let by_hand = run_session_ending(&mut conn, &SessionOptions::new(), |tx| {
            tx.execute_cached(INSERT, &[&4, &40])?;
            Ok::<_, PgError>(row(5, 50).into())
        });
        assert_eq!((by_hand.unwrap(), rows(&cluster).as_str()), (1, "2:20 4:40 5:50"));
    }
}

#[test]
fn parameters_are_owned_or_borrowed_from_what_outlives_the_work() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    let (text, number, list) = (String::from("a text"), Some(7_i64), vec![1.5, 2.5]);
    let sql = String::from("SELECT concat($1::text, $2::text, $3::bigint, $4::float8[], $5::text)");
    let echo = || {
        pool.session_ending(|tx| {
            let own: String = tx.query_one_cached("SELECT 'own'", &[])?.get(0);
            let echo = Last::query(&*sql).with(&text).with(own).with(number).with(&list).with(None::<&str>);
            Ok::<_, PgError>(Ending::Last(echo.map(|rows| rows[0].get::<_, String>(0))))
        })
    };
    assert_eq!(echo().unwrap(), "a textown7{1.5,2.5}");
}

#[test]
fn a_last_statement_that_fails_undoes_all_and_its_error_is_the_sessions() {
    let cluster = cluster();
    for pool in pools(&cluster) {
        empty(&cluster);
        for values in [[1, 1], [2, 0]] {
            let made = AtomicBool::new(false);
            let outcome = pool.session_ending(|tx| {
                tx.execute_cached(INSERT, &[&1, &0])?;
                let last = Last::execute("INSERT INTO t SELECT $1, 1 / $2").with(values[0]).with(values[1]);
                Ok::<_, PgError>(Ending::Last(last.map(|_| made.store(true, SeqCst))))
            });
            let code = if values[1] == 0 { "22012" } else { "23505" };
            assert_eq!(outcome.unwrap_err().sqlstate(), Some(code));
            assert!(!made.load(SeqCst) && rows(&cluster).is_empty(), "{}", rows(&cluster));
        }
        // A value that its parameter does not take never leaves the client.
        let error = pool.session_ending(|tx| {
            tx.execute_cached(INSERT, &[&1, &0])?;
            Ok::<_, PgError>(Ending::Last(Last::execute(INSERT).with("text").with(0)))
        });
        assert!(error.unwrap_err().sqlstate().is_none() && rows(&cluster).is_empty());
        let stats = pool.automation().stats();
        assert_eq!(
            (stats.opened, pool.session_ending(|_| Ok::<_, PgError>(row(1, 1).into())).unwrap()),
            (1, 1)
        );
    }
}

#[test]
fn a_copy_from_or_to_the_client_is_no_last_statement_and_is_not_sent() {
    let cluster = cluster();
    for pool in pools(&cluster) {
        for sql in ["COPY t FROM STDIN", "/* all */ copy (SELECT 1) to stdout"] {
            let error = pool.session_ending(|tx| {
                tx.execute_cached(INSERT, &[&1, &1])?;
                Ok::<_, PgError>(Ending::Last(Last::execute(sql)))
            });
            let error = error.unwrap_err();
            assert!(error.to_string().starts_with("a COPY from or to the client cannot be"), "{error}");
            assert!(!error.is_outcome_unknown() && rows(&cluster).is_empty(), "{}", rows(&cluster));
        }
        // One that is the server's own is as any statement.
        let on_server = pool.session_ending(|_| Ok::<_, PgError>(Last::execute("COPY t TO '/x'").into()));
        assert_eq!(on_server.unwrap_err().sqlstate(), Some("42501"));
        let broken = pool.automation().stats().closed.count(CloseCause::Broken);
        assert_eq!(broken, 0, "the connection is good");
    }
}

#[test]
fn what_ends_the_transaction_is_no_last_statement_and_is_not_sent() {
    let cluster = cluster();
    for pool in pools(&cluster) {
        for sql in ["ROLLBACK", "commit; ", "PREPARE TRANSACTION 'x'"] {
            let error = pool.session_ending(|tx| {
                tx.execute_cached(INSERT, &[&1, &1])?;
                Ok::<_, PgError>(Ending::Last(Last::execute(sql)))
            });
            let error = error.unwrap_err();
            assert!(error.to_string().starts_with("what ends the transaction cannot be the last"), "{error}");
            assert!(!error.is_outcome_unknown() && rows(&cluster).is_empty(), "{}", rows(&cluster));
        }
        let broken = pool.automation().stats().closed.count(CloseCause::Broken);
        assert_eq!(broken, 0, "the connection is good");
    }
}

#[test]
fn a_commit_that_fails_is_told_by_its_own_error() {
    let cluster = cluster();
    cluster
        .client()
        .batch_execute("CREATE TABLE deferred (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        .unwrap();
    for pool in pools(&cluster) {
        let made = AtomicBool::new(false);
        let outcome = pool.session_ending(|tx| {
            tx.execute_cached(INSERT, &[&1, &1])?;
            let twice = Last::execute("INSERT INTO deferred VALUES ($1), ($1)").with(1);
            Ok::<_, PgError>(Ending::Last(twice.map(|_| made.store(true, SeqCst))))
        });
        let error = outcome.unwrap_err();
        assert_eq!(error.sqlstate(), Some("23505"));
        assert!(!error.is_outcome_unknown() && !made.load(SeqCst) && rows(&cluster).is_empty());
        assert_eq!(pool.session_ending(|_| Ok::<_, PgError>(row(1, 1).into())).unwrap(), 1);
        let broken = pool.automation().stats().closed.count(CloseCause::Broken);
        assert_eq!(broken, 0, "the connection is good");
        empty(&cluster);
    }
}

#[test]
fn after_an_error_that_was_ignored_the_last_statement_says_that_nothing_was_committed() {
    let cluster = cluster();
    for pool in pools(&cluster) {
        let outcome = pool.session_ending(|tx| {
            tx.execute_cached(INSERT, &[&1, &1])?;
            let _ = tx.execute("SELECT 1 / 0", &[]);
            Ok::<_, PgError>(row(2, 2).into())
        });
        let text = outcome.unwrap_err().to_string();
        assert!(text.starts_with("nothing was committed"), "{text}");
        assert_eq!(rows(&cluster), "");
    }
}

#[test]
fn where_no_connection_can_be_had_the_last_statement_says_so() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.url_through(proxy.port()), |builder| builder);
    proxy.admit(Admission::Refuse);
    proxy.reset();
    let error = pool.session_ending(|_| Ok::<_, PgError>(row(1, 1).into())).unwrap_err();
    assert!(error.as_checkout().is_some(), "{error}");
    // Nothing was to be sent.
    assert_eq!(pool.session_ending(|_| Ok::<_, PgError>(Ending::Commit(7))).unwrap(), 7);
}

#[test]
fn a_conflict_is_repeated_whether_the_statement_or_commit_meets_it_or_the_work_has_ignored_it() {
    let cluster = cluster();
    // Each odd row is refused, whether its transaction was rolled back or not.
    let refusals = "CREATE SEQUENCE tries;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') % 2 = 1 THEN RAISE 'not now' USING ERRCODE = '40001'; END IF;
            RETURN NULL;
        END $$;
        CREATE TABLE at_once (id int);
        CREATE TRIGGER refusal AFTER INSERT ON at_once FOR EACH ROW EXECUTE FUNCTION refuse();
        CREATE TABLE at_commit (id int);
        CREATE CONSTRAINT TRIGGER refusal AFTER INSERT ON at_commit DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION refuse();";
    cluster.client().batch_execute(refusals).unwrap();
    let into = ["INSERT INTO at_once VALUES ($1)", "INSERT INTO at_commit VALUES ($1)"];
    for pool in pools(&cluster) {
        for last in into {
            empty(&cluster);
            let (outcome, calls) = counted(&pool, &options(), |tx, _| {
                tx.execute_cached(INSERT, &[&1, &1]).map_err(|_| Opaque)?;
                Ok::<_, Opaque>(Last::execute(last).with(1).into())
            });
            assert_eq!((outcome.unwrap(), calls, rows(&cluster).as_str()), (1, 2, "1:1"), "{last}");
        }
        empty(&cluster);
        let (outcome, calls) = counted(&pool, &options(), |tx, _| {
            let _ = tx.execute_cached(into[0], &[&1]);
            Ok::<_, PgError>(row(1, 1).into())
        });
        assert_eq!((outcome.unwrap(), calls, rows(&cluster).as_str()), (1, 2, "1:1"));
    }
}

#[test]
fn a_last_statement_cut_off_is_of_unknown_outcome_once_commit_was_sent() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.url_through(proxy.port()), |builder| builder);
    cut_commits(&cluster, &proxy, |options, attempt| {
        counted(&pool, options, |_, call| {
            attempt(call);
            let set = "INSERT INTO t VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = $2";
            Ok::<_, PgError>(Ending::Last(Last::execute(set).with(1).with(1)))
        })
    });
}

#[test]
fn a_connection_known_to_be_lost_ahead_of_the_last_statement_is_repeated_and_applied_once() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    let (outcome, calls) = counted(&pool, &options().retry(quick()), |tx, call| {
        tx.execute_cached(INSERT, &[&1, &1]).map_err(|_| Opaque)?;
        if call == 1 {
            let pid: i32 = tx.query_one("SELECT pg_backend_pid()", &[]).map_err(|_| Opaque)?.get(0);
            cluster.admin().execute("SELECT pg_terminate_backend($1, 20000)", &[&pid]).unwrap();
            // By this the session hears of it, and nobody minds.
            assert!(tx.query_one("SELECT 1", &[]).is_err());
        }
        Ok::<_, Opaque>(row(2, 2).into())
    });
    assert_eq!((outcome.unwrap(), calls, rows(&cluster).as_str()), (1, 2, "1:1 2:2"));
}

#[test]
fn a_plan_gone_stale_is_prepared_anew_where_the_last_statement_is_the_only_one() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    let all = || pool.session_ending(|_| Ok::<_, PgError>(Ending::Last(Last::query("SELECT * FROM t"))));
    assert!(all().unwrap().is_empty());
    cluster.client().batch_execute("ALTER TABLE t ADD COLUMN more int; INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(all().unwrap()[0].columns().len(), 3);
    assert_eq!(pool.automation().stats().opened, 1);
}

#[test]
fn a_panic_in_what_is_made_of_the_answer_undoes_nothing() {
    let cluster = cluster();
    for pool in pools(&cluster) {
        empty(&cluster);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            pool.session_ending(|_| Ok::<_, PgError>(Ending::Last(row(1, 1).map(|_| panic!("in map")))))
        }));
        assert!(panicked.is_err());
        assert_eq!(rows(&cluster), "1:1");
        assert_eq!(pool.session_ending(|_| Ok::<_, PgError>(row(2, 2).into())).unwrap(), 1);
        assert_eq!((pool.automation().stats().opened, checkouts(&pool)), (1, 2));
    }
}
