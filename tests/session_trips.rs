//! What a session costs in round trips: BEGIN goes along with its first statement, and the COMMIT of one that only
//! reads is not waited for.
#![cfg(feature = "postgres")]

mod support;

use std::time::Duration;

use postgres::types::Type;
use support::cluster::{Cluster, cluster};
use support::pools::pool_of;
use support::wait::{BOUND, eventually};
use support::wire::{manager, one, open};
use tierpool::postgres::{
    IsolationLevel, PgConnection, Session, SessionOptions, TransactionStatus, run_session,
};
use tierpool::{PgError, PgPool, Tier};

const ADD: &str = "INSERT INTO t VALUES ($1)";

fn with_table() -> Cluster {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    conn.batch_execute("CREATE TABLE t (n int)").unwrap();
    cluster
}

/// Runs a session, and tells what it cost.
fn trips<T>(
    conn: &mut PgConnection,
    options: &SessionOptions,
    work: impl FnOnce(&mut Session<'_>) -> Result<T, PgError>,
) -> (T, u64) {
    let before = conn.round_trips().unwrap();
    let value = run_session(conn, options, work).unwrap();
    assert_eq!(conn.transaction_status(), Some(TransactionStatus::Idle));
    (value, conn.round_trips().unwrap() - before)
}

#[test]
fn begin_costs_no_round_trip_but_ahead_of_a_simple_query() {
    let cluster = with_table();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    conn.prepare_cached(ADD).unwrap();
    let usual = SessionOptions::new();
    let full = SessionOptions::new()
        .isolation(IsolationLevel::Serializable)
        .read_only(false)
        .statement_timeout(BOUND)
        .lock_timeout(BOUND);
    for options in [&usual, &full] {
        let conn = &mut conn;
        assert_eq!(trips(conn, options, |_| Ok(())).1, 0);
        // The statement, and COMMIT.
        assert_eq!(trips(conn, options, |tx| tx.execute_cached(ADD, &[&1])), (1, 2));
        assert_eq!(trips(conn, options, |tx| tx.execute_typed(ADD, &[(&1, Type::INT4)])), (1, 2));
        assert_eq!(trips(conn, options, |tx| tx.execute(ADD, &[&1])), (1, 3), "prepared first");
        assert_eq!(trips(conn, options, |tx| tx.batch_execute("INSERT INTO t VALUES (1)")).1, 3);
        let by_client = |tx: &mut Session<'_>| Ok(tx.client()?.execute_typed(ADD, &[(&1, Type::INT4)])?);
        assert_eq!(trips(conn, options, by_client), (1, 3));
        let in_savepoint = |tx: &mut Session<'_>| tx.savepoint(|tx| tx.execute_cached(ADD, &[&1]));
        assert_eq!(trips(conn, options, in_savepoint), (1, 5));
    }
    assert_eq!(one::<i64>(&mut conn, "SELECT count(*) FROM t"), 12);
    let settings =
        "SELECT concat_ws('|', current_setting('statement_timeout'), current_setting('lock_timeout'))";
    let limits = |tx: &mut Session<'_>| Ok::<String, PgError>(tx.query_one(settings, &[])?.get(0));
    let in_session = run_session(&mut conn, &full, limits).unwrap();
    assert_ne!(in_session, one::<String>(&mut conn, settings), "they end with the session");
}

#[test]
fn the_first_statement_is_in_the_transaction_however_large_it_is() {
    let cluster = with_table();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    let text = "x".repeat(20 << 20);
    for _ in 0..2 {
        let (length, _) = trips(&mut conn, &SessionOptions::new(), |tx| {
            let row = tx.query_one_cached("SELECT length($1::text), pg_current_xact_id()::text", &[&text])?;
            // The same transaction.
            let now = tx.query_one_cached("SELECT pg_current_xact_id()::text", &[])?;
            assert_eq!(row.get::<_, String>(1), now.get::<_, String>(0));
            Ok(row.get::<_, i32>(0))
        });
        assert_eq!(length, 20 << 20);
    }
}

#[test]
fn a_session_that_failed_before_it_sent_anything_has_sent_nothing() {
    let cluster = with_table();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    conn.prepare_cached(ADD).unwrap();
    let wrong = |tx: &mut Session<'_>| {
        tx.execute_cached(ADD, &[&"no number"]).unwrap_err();
        Ok(())
    };
    assert_eq!(trips(&mut conn, &SessionOptions::new(), wrong).1, 0);
    assert_eq!(trips(&mut conn, &SessionOptions::new(), |tx| tx.execute_cached(ADD, &[&1])), (1, 2));
}

fn reading() -> SessionOptions {
    SessionOptions::new().read_only(true)
}

fn pool(url: String) -> PgPool {
    pool_of(1, "trips", url, |builder| builder)
}

fn read(pool: &PgPool, options: &SessionOptions) -> (i32, u64) {
    let before = pool.get(Tier::Automation).unwrap().round_trips().unwrap();
    let value = pool.session_with(Tier::Automation, options, |tx| {
        Ok::<_, PgError>(tx.query_one_cached("SELECT 7", &[])?.get(0))
    });
    let after = pool.get(Tier::Automation).unwrap().round_trips().unwrap();
    (value.unwrap(), after - before)
}

#[test]
fn the_commit_of_a_session_that_only_reads_is_not_waited_for() {
    let cluster = with_table();
    let pool = pool(cluster.url());
    read(&pool, &reading());
    let levels = [IsolationLevel::ReadCommitted, IsolationLevel::RepeatableRead];
    for options in [reading(), reading().isolation(levels[0]), reading().isolation(levels[1])] {
        assert_eq!(read(&pool, &options), (7, 1), "{options:?}");
    }
    // What only reads may be several commands.
    let mut conn = pool.get(Tier::Automation).unwrap();
    let several = |tx: &mut Session<'_>| {
        tx.query_one_cached("SELECT 7", &[])?;
        tx.savepoint(|tx| tx.simple_query("SHOW work_mem; SELECT 1").map(drop))?;
        tx.query_one_cached("SELECT 7", &[])
    };
    assert_eq!(trips(&mut conn, &reading(), several).1, 5);
    drop(conn);
    // As which it may be refused.
    assert_eq!(read(&pool, &reading().isolation(IsolationLevel::Serializable)), (7, 2));
    assert_eq!(read(&pool, &SessionOptions::new()), (7, 2));
    // What follows comes behind it, whatever it is.
    let mut conn = pool.get(Tier::Automation).unwrap();
    for _ in 0..20 {
        let value = run_session(&mut conn, &reading(), |tx| tx.query_one_cached("SELECT 7", &[])).unwrap();
        assert_eq!(value.get::<_, i32>(0), 7);
        assert_eq!(conn.transaction_status(), Some(TransactionStatus::Idle));
        conn.batch_execute("VACUUM t").unwrap(); // not within a transaction
        run_session(&mut conn, &SessionOptions::new(), |tx| tx.execute_cached(ADD, &[&1])).unwrap();
    }
    drop(conn);
    assert_eq!(one::<i64>(&mut pool.get(Tier::Automation).unwrap(), "SELECT count(*) FROM t"), 20);
    read(&pool, &reading());
    // Nobody has to come for it to be over on the server.
    let mut admin = cluster.admin();
    eventually(BOUND, "the transaction has ended", || {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
        admin.query_one(open, &[]).unwrap().get::<_, i64>(0) == 0
    });
    let stats = pool.automation().stats();
    assert_eq!((stats.returned_dirty, stats.opened), (0, 1));
}

/// What a read-only session may do that COMMIT could still undo, or is undone with it.
const MORE_THAN_READING: [(&str, &[&str]); 5] = [
    ("writable after all", &["SET TRANSACTION READ WRITE", "INSERT INTO once VALUES (1), (1)"]),
    ("writable by a setting", &["SET LOCAL transaction_read_only = off", "INSERT INTO once VALUES (1), (1)"]),
    (
        "serializable after all",
        &["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE", "INSERT INTO once VALUES (1), (1)"],
    ),
    ("a temporary table", &["INSERT INTO pg_temp.mine VALUES (1), (1)"]),
    ("a cursor that is held", &["DECLARE c CURSOR WITH HOLD FOR SELECT 1 / 0"]),
];

#[test]
fn the_commit_of_a_read_only_session_that_does_more_is_waited_for() {
    let cluster = with_table();
    let unique = "(k int UNIQUE DEFERRABLE INITIALLY DEFERRED)";
    let pool = pool(cluster.url());
    let mut conn = pool.get(Tier::Automation).unwrap();
    conn.batch_execute(&format!("CREATE TABLE once {unique}; CREATE TEMP TABLE mine {unique}")).unwrap();
    for options in [reading(), reading().isolation(IsolationLevel::ReadCommitted)] {
        for (what, statements) in MORE_THAN_READING {
            let outcome = run_session(&mut conn, &options, |tx| {
                statements.iter().try_for_each(|statement| tx.execute(*statement, &[]).map(drop))
            });
            assert!(outcome.is_err_and(|error| error.sqlstate().is_some()), "{what}: {options:?}");
        }
        assert_eq!(one::<i64>(&mut conn, "SELECT count(*) FROM once"), 0);
        // Another transaction than the session's own.
        let outcome = run_session(&mut conn, &options, |tx| {
            tx.execute("COMMIT AND CHAIN", &[])?;
            tx.batch_execute("COMMIT; BEGIN READ WRITE; INSERT INTO once VALUES (1), (1)")
        });
        assert!(outcome.is_err(), "{options:?}");
    }
}

/// By the server's own rule, on which it rests that commands which only read are enough to know.
#[test]
fn no_query_makes_a_read_only_transaction_writable() {
    let cluster = with_table();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    conn.batch_execute(
        "CREATE FUNCTION by_setting() RETURNS int LANGUAGE plpgsql SET transaction_read_only = off
            AS 'BEGIN RETURN 1; END';
        CREATE FUNCTION by_command() RETURNS int LANGUAGE plpgsql
            AS 'BEGIN SET TRANSACTION READ WRITE; RETURN 1; END';
        CREATE FUNCTION by_level() RETURNS int LANGUAGE plpgsql
            AS 'BEGIN SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; RETURN 1; END';
        PREPARE by_prepared AS SELECT set_config('transaction_read_only', 'off', true)",
    )
    .unwrap();
    for savepoint in [false, true] {
        for query in [
            "SELECT set_config('transaction_read_only', 'off', true)",
            "VALUES (set_config('transaction_read_only', 'off', true))",
            "SELECT set_config('transaction_isolation', 'serializable', true)",
            "SELECT by_setting()",
            "SELECT by_command()",
            "SELECT by_level()",
            "EXECUTE by_prepared",
            "SELECT 1 AS a INTO TEMP made",
        ] {
            let outcome = run_session(&mut conn, &reading(), |tx| {
                if savepoint {
                    tx.execute("SAVEPOINT a", &[])?;
                }
                tx.execute(query, &[])
            });
            assert!(outcome.is_err(), "{query}: {outcome:?}");
        }
    }
}

#[test]
fn where_the_default_is_serializable_the_commit_is_waited_for() {
    let cluster = with_table();
    cluster.admin().batch_execute("ALTER SYSTEM SET default_transaction_isolation = 'serializable'").unwrap();
    cluster.admin().batch_execute("SELECT pg_reload_conf()").unwrap();
    eventually(BOUND, "the setting is in force", || {
        let now = cluster.admin().query_one("SHOW default_transaction_isolation", &[]).unwrap();
        now.get::<_, String>(0) == "serializable"
    });
    let pool = pool(cluster.url());
    read(&pool, &reading());
    assert_eq!(read(&pool, &reading()), (7, 2));
}

#[test]
fn a_commit_that_is_still_due_is_neither_dirt_nor_silence() {
    let cluster = with_table();
    let proxy = support::proxy::Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.url_through(proxy.port()));
    read(&pool, &reading());
    proxy.delay(Duration::from_millis(20));
    for _ in 0..3 {
        let mut conn = pool.get(Tier::Automation).unwrap();
        run_session(&mut conn, &reading(), |tx| tx.query_one_cached("SELECT 7", &[])).unwrap();
        assert!(!conn.is_reply_pending());
        conn.probe(BOUND).unwrap();
        assert_eq!(conn.transaction_status(), Some(TransactionStatus::Idle));
        drop(conn);
        assert_eq!(
            pool.get(Tier::Automation).unwrap().query_one("SELECT 8", &[]).unwrap().get::<_, i32>(0),
            8
        );
    }
    let stats = pool.automation().stats();
    assert_eq!((stats.returned_dirty, stats.opened), (0, 1));
}
