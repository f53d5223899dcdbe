//! The cache of prepared statements: what it keeps, what it closes, and what a change below it does.
#![cfg(feature = "postgres")]

mod support;

use std::time::Duration;

use support::cluster::{Cluster, cluster};
use support::wire::{manager, one, open};
use tierpool::postgres::{
    IsolationLevel, PgConnection, PgDriver, PgError, PgManager, ResetPolicy, Retry, Session, SessionOptions,
    run_session,
};
use tierpool::{Driver, PgPool, Tier};

const LIMIT: Duration = Duration::from_secs(10);
const STAR: &str = "SELECT * FROM t";

fn sized(cluster: &Cluster, size: u32) -> PgManager {
    manager(&cluster.url(), |options| options.statement_cache_size = size)
}

/// The statements that the server holds for this connection, without the client's own for types.
fn on_server(conn: &mut PgConnection) -> String {
    let held =
        "SELECT coalesce(string_agg(statement, '|' ORDER BY prepare_time), '') FROM pg_prepared_statements
        WHERE statement LIKE 'SELECT ''%'";
    let rows = conn.simple_query(held).unwrap();
    let text = rows.iter().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    text.unwrap().to_owned()
}

fn counts(conn: &PgConnection) -> [u64; 4] {
    let stats = conn.statement_cache_stats();
    [stats.hits, stats.misses, stats.evictions, stats.clears]
}

#[test]
fn a_hit_costs_one_round_trip_and_the_least_recently_used_is_closed() {
    let cluster = cluster();
    let manager = sized(&cluster, 2);
    let mut conn = open(&manager);
    let cost = |conn: &mut PgConnection, sql: &str| {
        let before = conn.round_trips().unwrap();
        conn.query_cached(sql, &[]).unwrap();
        conn.round_trips().unwrap() - before
    };
    assert_eq!(cost(&mut conn, "SELECT 'a'"), 2);
    assert_eq!(cost(&mut conn, "SELECT 'b'"), 2);
    assert_eq!(cost(&mut conn, "SELECT 'a'"), 1);
    assert_eq!(on_server(&mut conn), "SELECT 'a'|SELECT 'b'");
    assert_eq!(cost(&mut conn, "SELECT 'c'"), 2);
    assert_eq!(on_server(&mut conn), "SELECT 'a'|SELECT 'c'", "b was not used for longest");
    assert_eq!(cost(&mut conn, "SELECT 'a'"), 1);
    assert_eq!(counts(&conn), [2, 3, 1, 0]);

    let mut other = open(&manager);
    assert_eq!(other.query_one_cached("SELECT 'a'", &[]).unwrap().get::<_, String>(0), "a");
    assert_eq!(counts(&other), [0, 1, 0, 0]);
    drop(other);
    let all = manager.statement_cache_stats();
    assert_eq!((all.hits, all.misses, all.evictions), (2, 4, 1), "the sum, of closed connections too");
}

#[test]
fn a_statement_in_use_outlives_its_eviction() {
    let cluster = cluster();
    let mut conn = open(&sized(&cluster, 1));
    let held = conn.prepare_cached("SELECT 'held'").unwrap();
    conn.prepare_cached("SELECT 'next'").unwrap();
    assert_eq!(conn.query_one(&held, &[]).unwrap().get::<_, String>(0), "held");
    drop(held);
    assert_eq!(on_server(&mut conn), "SELECT 'next'");
}

#[test]
fn size_zero_prepares_each_time_and_keeps_nothing() {
    let cluster = cluster();
    let mut conn = open(&sized(&cluster, 0));
    for _ in 0..2 {
        assert_eq!(
            conn.query_opt_cached("SELECT 'x'", &[]).unwrap().map(|row| row.get(0)),
            Some("x".to_owned())
        );
        assert_eq!(on_server(&mut conn), "");
    }
    assert_eq!(counts(&conn), [0, 2, 0, 0]);
}

#[test]
fn a_failed_prepare_leaves_nothing_and_evicts_nothing() {
    let cluster = cluster();
    let mut conn = open(&sized(&cluster, 1));
    conn.prepare_cached("SELECT 'kept'").unwrap();
    for _ in 0..2 {
        let error = conn.execute_cached("SELECT 'x' FROM nowhere", &[]).unwrap_err();
        assert_eq!(error.sqlstate(), Some("42P01"));
    }
    assert_eq!(on_server(&mut conn), "SELECT 'kept'");
    assert_eq!(counts(&conn), [0, 3, 0, 0]);
}

#[test]
fn it_survives_resets_and_yields_to_one_that_drops_statements() {
    let cluster = cluster();
    let sql = |text: &str| ResetPolicy::Sql(text.to_owned());
    let policies = [
        (ResetPolicy::Rollback, true),
        (ResetPolicy::Full, true),
        (ResetPolicy::None, true),
        (sql("RESET ALL"), true),
        (sql("DISCARD ALL"), false),
        // Not seen in the text: found at the next use.
        (sql("DO $$ BEGIN EXECUTE 'DEALL' || 'OCATE ALL'; END $$"), false),
    ];
    for (policy, survives) in policies {
        let manager = manager(&cluster.url(), |options| options.reset = policy.clone());
        let mut conn = open(&manager);
        for turn in 0..3 {
            let row =
                conn.query_one_cached("SELECT 'a'", &[]).unwrap_or_else(|e| panic!("{policy:?}: {e:?}"));
            assert_eq!(row.get::<_, String>(0), "a", "{turn}");
            PgDriver.reset(&manager, &mut conn, false, LIMIT).unwrap();
        }
        let [hits, misses, _, clears] = counts(&conn);
        let survived = (misses, clears) == (1, 0);
        assert_eq!(survived, survives, "{policy:?}: {hits} hits, {misses} misses, {clears} clears");
    }
    // In a session there is no second try, so a reset known to drop statements must not leave them in the cache.
    let manager = manager(&cluster.url(), |options| options.reset = sql("DISCARD ALL"));
    let mut conn = open(&manager);
    for _ in 0..2 {
        run_session(&mut conn, &SessionOptions::new(), |tx| tx.query_one_cached("SELECT 'a'", &[])).unwrap();
        PgDriver.reset(&manager, &mut conn, false, LIMIT).unwrap();
    }
}

fn columns(rows: &[postgres::Row]) -> usize {
    rows[0].columns().len()
}

#[test]
fn a_changed_result_type_is_met_by_one_retry_outside_of_a_transaction() {
    let cluster = cluster();
    // Over the Unix socket nothing is known of the transaction status.
    for url in [cluster.url(), cluster.url_unix()] {
        let mut conn = open(&manager(&url, |_| ()));
        conn.batch_execute("DROP TABLE IF EXISTS t; CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
            .unwrap();
        conn.prepare_cached("SELECT 'other'").unwrap();
        assert_eq!(columns(&conn.query_cached(STAR, &[]).unwrap()), 1);
        conn.batch_execute("ALTER TABLE t ADD b int").unwrap();
        assert_eq!(columns(&conn.query_cached(STAR, &[]).unwrap()), 2);
        assert_eq!(counts(&conn), [1, 3, 0, 1], "prepared anew, everything else dropped");
        assert_eq!(on_server(&mut conn), "", "also on the server");
        if conn.is_observed() {
            assert_eq!(conn.cached_plan_errors(), 1);
        }
    }
}

#[test]
fn in_a_transaction_the_caller_is_told_and_the_next_one_works() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let mut conn = open(&manager(&url, |_| ()));
        conn.batch_execute("DROP TABLE IF EXISTS t; CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
            .unwrap();
        // Where something was done already, it is not for the pool to leave that out.
        let read = |tx: &mut Session<'_>| {
            tx.batch_execute("SELECT 1")?;
            Ok::<_, PgError>(columns(&tx.query_cached(STAR, &[])?))
        };
        let plain = SessionOptions::new();
        assert_eq!(run_session(&mut conn, &plain, read).unwrap(), 1);
        conn.batch_execute("ALTER TABLE t ADD b int").unwrap();
        let error = run_session(&mut conn, &plain, read).unwrap_err();
        assert!(error.sqlstate() == Some("0A000") && error.is_retryable(), "{error}");
        assert_eq!(run_session(&mut conn, &plain, read).unwrap(), 2);

        conn.batch_execute("ALTER TABLE t ADD c int").unwrap();
        conn.batch_execute("BEGIN").unwrap();
        assert_eq!(conn.query_cached(STAR, &[]).unwrap_err().sqlstate(), Some("0A000"));
        conn.batch_execute("ROLLBACK").unwrap();
        assert_eq!(columns(&conn.query_cached(STAR, &[]).unwrap()), 3);
    }
}

#[test]
fn the_first_statement_of_a_session_is_prepared_anew_and_run_within_the_same_call() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let mut conn = open(&manager(&url, |_| ()));
        conn.batch_execute("DROP TABLE IF EXISTS t; CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
            .unwrap();
        let options = SessionOptions::new()
            .isolation(IsolationLevel::RepeatableRead)
            .read_only(false)
            .statement_timeout(LIMIT)
            .lock_timeout(LIMIT);
        let work = |tx: &mut Session<'_>| {
            let read = columns(&tx.query_cached(STAR, &[])?);
            // In a transaction as it was asked for, and what is done in it stays.
            let state = "SELECT concat_ws('|', current_setting('transaction_isolation'),
                current_setting('statement_timeout'), current_setting('lock_timeout'))";
            assert_eq!(tx.query_one(state, &[])?.get::<_, String>(0), "repeatable read|10s|10s");
            tx.batch_execute("UPDATE t SET a = a + 1")?;
            Ok::<_, PgError>(read)
        };
        assert_eq!(run_session(&mut conn, &options, work).unwrap(), 1);
        for (turn, spoil) in
            ["ALTER TABLE t ADD b int", "DEALLOCATE ALL", "ALTER TABLE t ADD c int"].iter().enumerate()
        {
            conn.batch_execute(spoil).unwrap();
            let before = conn.round_trips();
            let read =
                run_session(&mut conn, &options, work).unwrap_or_else(|error| panic!("{spoil}: {error}"));
            assert_eq!(read, [2, 2, 3][turn], "{spoil}");
            if let (Some(before), Some(after)) = (before, conn.round_trips()) {
                // The statement, with BEGIN, refused; ROLLBACK and BEGIN; prepared anew, and run; three for the two
                // others, one of which is prepared; COMMIT.
                assert_eq!(after - before, 8, "{spoil}");
            }
        }
        assert_eq!(one::<i32>(&mut conn, "SELECT a FROM t"), 5, "each ran once");
        // An error of its own is not repeated.
        let error = run_session(&mut conn, &options, |tx| tx.query_cached("SELECT 1/0", &[])).unwrap_err();
        assert_eq!(error.sqlstate(), Some("22012"));
    }
}

#[test]
fn tenants_whose_tables_differ_are_told_twice_and_no_more() {
    let cluster = cluster();
    let tables = "CREATE SCHEMA a; CREATE TABLE a.t (v int); INSERT INTO a.t VALUES (7);
        CREATE SCHEMA b; CREATE TABLE b.t (v text); INSERT INTO b.t VALUES ('7')";
    let (tcp, unix) = (cluster.url(), cluster.url_unix());
    // Over the Unix socket each return is looked into, and meanwhile the next session takes another connection.
    for (url, size, first) in [(tcp, 2, ""), (unix, 1, "DROP SCHEMA a, b CASCADE;")] {
        cluster.client().batch_execute(&format!("{first} {tables}")).unwrap();
        let builder = PgPool::builder().url(url).base_size(size).max_overflow(0);
        let pool = builder.build().unwrap();
        let options = SessionOptions::new();
        let session = |options: &SessionOptions, tenant: usize, text: &str| {
            let schema = ["a", "b"][tenant % 2];
            pool.session_with(Tier::Automation, options, |tx| {
                tx.batch_execute(&format!("SET LOCAL search_path = {schema}"))?;
                let row = tx.query_one_cached(&text.replace("SCHEMA", schema), &[])?;
                assert_eq!(row.columns()[0].type_().name(), ["int4", "text"][tenant % 2]);
                Ok::<_, PgError>(())
            })
        };
        // A text of its own for each tenant.
        for tenant in 0..20 {
            session(&options, tenant, "/* SCHEMA */ SELECT v FROM t").unwrap();
        }
        let stats = pool.statement_cache_stats(Tier::Automation);
        assert_eq!((stats.hits, stats.misses, stats.clears), (18, 2, 0));

        let mut outcomes = (0..20).map(|tenant| session(&options, tenant, "SELECT v FROM t"));
        let refused: Vec<_> = outcomes.by_ref().filter_map(Result::err).collect();
        assert!(refused.iter().all(|error| error.sqlstate() == Some("0A000")), "{refused:?}");
        assert_eq!(refused.len(), 2);
        // The other connection of the pool has heard of it.
        let held = (size > 1).then(|| pool.get(Tier::Automation).unwrap());
        for tenant in 0..4 {
            session(&options, tenant, "SELECT v FROM t").unwrap();
        }
        drop(held);
        // Where the session is repeated, nobody hears of it.
        let retry =
            SessionOptions::new().retry(Retry { first: Duration::from_millis(1), ..Retry::default() });
        for tenant in 0..10 {
            session(&retry, tenant, "SELECT v FROM t WHERE true").unwrap();
        }
    }
}

#[test]
fn a_handle_that_is_refused_is_not_given_out_again() {
    let cluster = cluster();
    let mut conn = open(&sized(&cluster, 10));
    conn.batch_execute("CREATE TABLE t (a int)").unwrap();
    for (spoil, code) in [("ALTER TABLE t ADD b int", "0A000"), ("DEALLOCATE ALL", "26000")] {
        let handle = conn.prepare_cached(STAR).unwrap();
        conn.query(&handle, &[]).unwrap();
        conn.batch_execute(spoil).unwrap();
        let error = conn.query(&handle, &[]).map_err(PgError::from).unwrap_err();
        assert_eq!(error.sqlstate(), Some(code));
        let handle = conn.prepare_cached(STAR).unwrap();
        conn.query(&handle, &[]).unwrap();
    }
}

#[test]
fn an_error_from_within_a_function_is_not_taken_for_a_stale_statement() {
    let cluster = cluster();
    let mut conn = open(&sized(&cluster, 10));
    conn.batch_execute(
        "CREATE SEQUENCE calls;
         CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
         BEGIN PERFORM nextval('calls'); EXECUTE 'EXECUTE missing'; RETURN 1; END $$",
    )
    .unwrap();
    let error = conn.query_cached("SELECT f()", &[]).unwrap_err();
    assert_eq!(error.sqlstate(), Some("26000"));
    assert_eq!(one::<i64>(&mut conn, "SELECT last_value FROM calls"), 1, "the function ran twice");
    assert_eq!(counts(&conn), [0, 1, 0, 0]);
}

#[test]
fn the_pool_has_the_setting_and_the_sums() {
    let cluster = cluster();
    let builder = PgPool::builder().url(cluster.url()).base_size(1).max_overflow(0).statement_cache_size(1);
    let pool = builder.build().unwrap();
    for _ in 0..3 {
        pool.session(|tx| tx.execute_cached("SELECT 'a'", &[])).unwrap();
    }
    pool.get(Tier::Automation).unwrap().execute_cached("SELECT 'b'", &[]).unwrap();
    let stats = pool.statement_cache_stats(Tier::Automation);
    assert_eq!((stats.hits, stats.misses, stats.evictions, stats.clears), (2, 2, 1, 0));
    assert_eq!(pool.statement_cache_stats(Tier::Adhoc).misses, 0);
}
