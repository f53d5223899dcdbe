//! Values and columns that the known types do not fit.

use std::time::{Duration, UNIX_EPOCH};

use postgres::types::Type;

use super::support::cluster::cluster;
use super::support::wire::open;
use super::{Any, behind, cost, in_session, wandering};

/// The driver writes a `SystemTime` into either type, as another moment wherever the session's time zone is not UTC.
#[test]
fn a_time_is_written_for_what_its_column_is_now() {
    let cluster = cluster();
    cluster.client().batch_execute("CREATE TABLE t (at timestamp)").unwrap();
    let bouncer = wandering(&cluster);
    let mut conn = open(&behind(&bouncer));
    let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    conn.execute_cached("INSERT INTO t VALUES ($1)", &[&at]).unwrap();
    cluster.client().batch_execute("DROP TABLE t; CREATE TABLE t (at timestamptz)").unwrap();
    let stored = in_session(&mut conn, |tx| {
        tx.batch_execute("SET LOCAL TimeZone = 'America/New_York'")?;
        tx.execute_cached("INSERT INTO t VALUES ($1)", &[&at])?;
        tx.query_one("SELECT extract(epoch FROM at)::int8 FROM t", &[])
    });
    assert_eq!(stored.unwrap().get::<_, i64>(0), 1_700_000_000);
}

#[test]
fn a_type_that_the_server_takes_no_longer_is_told_and_learnt_anew_by_the_next_call() {
    let cluster = cluster();
    let mut owner = cluster.client();
    let bouncer = wandering(&cluster);
    let mut conn = open(&behind(&bouncer));
    let texts = [("INSERT INTO t VALUES ($1)", "42804"), ("UPDATE t SET v = v WHERE v = $1", "42883")];
    for (sql, code) in texts {
        owner.batch_execute("DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT 1 AS v").unwrap();
        for wanted in [2, 1] {
            assert_eq!(cost(&mut conn, |conn| conn.execute_cached(sql, &[&Any]).unwrap()).1, wanted);
        }
        owner.batch_execute("ALTER TABLE t ALTER v TYPE bool USING true").unwrap();
        let refused = owner.query_typed(sql, &[(&1, Type::INT4)]).unwrap_err();
        assert_eq!(refused.code().unwrap().code(), code);
        let (error, trips) = cost(&mut conn, |conn| conn.execute_cached(sql, &[&Any]).unwrap_err());
        assert_eq!((error.sqlstate(), trips), (Some(code), 1));
        for wanted in [2, 1] {
            let (rows, trips) = cost(&mut conn, |conn| conn.execute_cached(sql, &[&Any]).unwrap());
            assert_eq!((rows > 0, trips), (true, wanted), "{code}");
        }
    }
}

#[test]
fn a_value_of_a_wrong_type_is_the_callers_fault_and_not_the_texts() {
    let cluster = cluster();
    let bouncer = wandering(&cluster);
    let mut conn = open(&behind(&bouncer));
    let sql = "SELECT $1::int4 + 1";
    conn.query_one_cached(sql, &[&1]).unwrap();
    for _ in 0..3 {
        conn.query_one_cached(sql, &[&1_i64]).unwrap_err();
        let (row, trips) = cost(&mut conn, |conn| conn.query_one_cached(sql, &[&1]).unwrap());
        assert_eq!((row.get::<_, i32>(0), trips), (2, 1));
    }
}

#[test]
fn a_statement_that_fails_by_types_while_it_runs_is_run_once() {
    let cluster = cluster();
    cluster.client().batch_execute("CREATE SEQUENCE s").unwrap();
    let bouncer = wandering(&cluster);
    let mut conn = open(&behind(&bouncer));
    let sql = "SELECT nextval('s'), record_eq(row(g), row(g::text)) FROM generate_series(1, $1::int4) g";
    for run in 1..=3 {
        let error = match run {
            3 => in_session(&mut conn, |tx| tx.query_cached(sql, &[&1])).unwrap_err(),
            _ => conn.query_cached(sql, &[&1]).unwrap_err(),
        };
        assert_eq!(error.sqlstate(), Some("42804"));
        let last = cluster.client().query_one("SELECT last_value FROM s", &[]).unwrap();
        assert_eq!(last.get::<_, i64>(0), run);
    }
}
