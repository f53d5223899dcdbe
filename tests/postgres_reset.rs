//! What a returned connection keeps and loses under each reset policy, and what that costs.
#![cfg(feature = "postgres")]

mod support;

use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;
use support::cluster::cluster;
use support::wait::{LONG_BOUND, eventually, took};
use support::wire::{DROP_BOUND, Frozen, manager, one, open};
use tierpool::postgres::{PgConnection, PgDriver, PgManager, ResetPolicy, TransactionStatus};
use tierpool::{Condition, Driver};

const LIMIT: Duration = Duration::from_secs(2);

fn condition(manager: &PgManager, conn: &mut PgConnection) -> Condition {
    PgDriver.condition(manager, conn)
}

/// Resets and returns the round trips that it took.
fn reset(manager: &PgManager, conn: &mut PgConnection) -> u64 {
    let before = conn.round_trips().unwrap();
    PgDriver.reset(manager, conn, false, LIMIT).unwrap();
    assert_eq!(condition(manager, conn), Condition::Clean);
    conn.round_trips().unwrap() - before
}

/// The lines that a server writes about mistakes of its clients.
fn complaints(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("WARNING") || line.contains("ERROR")).collect()
}

#[test]
fn a_clean_return_costs_nothing_and_a_dirty_one_a_round_trip() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    let mut conn = open(&manager);
    one::<i32>(&mut conn, "SELECT 1");
    let used = conn.round_trips();
    assert_eq!(condition(&manager, &mut conn), Condition::Clean);
    assert_eq!(conn.round_trips(), used);

    conn.batch_execute("BEGIN").unwrap();
    assert_eq!(condition(&manager, &mut conn), Condition::Dirty);
    assert_eq!(reset(&manager, &mut conn), 1);
    assert!(complaints(&cluster.server_log()).is_empty(), "{}", cluster.server_log());

    conn.batch_execute("BEGIN; SELECT 1/0").unwrap_err();
    assert_eq!(condition(&manager, &mut conn), Condition::Dirty);
    assert_eq!(reset(&manager, &mut conn), 1);

    conn.batch_execute("SELECT 1/0").unwrap_err();
    PgDriver.reset(&manager, &mut conn, false, LIMIT).unwrap();
    assert_eq!(reset(&manager, &mut conn), 0, "outside of a transaction there is nothing to roll back");
    let log = cluster.server_log();
    assert!(complaints(&log).iter().all(|line| line.contains("division by zero")), "{log}");
}

#[test]
fn a_row_stream_half_read_is_drained() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    let mut admin = cluster.admin();
    let is_done = "SELECT state = 'idle in transaction' FROM pg_stat_activity WHERE pid = $1";
    // A machine under load may not let the client have its turn within the time that it has, now and then.
    eventually(LONG_BOUND, "a connection is kept", || {
        let mut conn = open(&manager);
        conn.batch_execute("BEGIN").unwrap();
        let none: [i32; 0] = [];
        // More than the client reads at once, and all of it fits into the buffers on the way.
        let mut rows = conn.query_raw("SELECT generate_series(1, 20000)", none).unwrap();
        assert!(rows.next().unwrap().is_some());
        drop(rows);
        assert!(conn.is_reply_pending());
        let pid = conn.backend_pid().unwrap();
        eventually(LONG_BOUND, "the server has sent it", || {
            admin.query_one(is_done, &[&pid]).unwrap().get(0)
        });
        assert_eq!(condition(&manager, &mut conn), Condition::Dirty);
        PgDriver.reset(&manager, &mut conn, false, LIMIT).unwrap();
        let is_kept = condition(&manager, &mut conn) == Condition::Clean;
        assert!(!is_kept || conn.transaction_status() == Some(TransactionStatus::Idle));
        is_kept
    });
}

#[test]
fn a_reset_of_a_frozen_server_ends_at_its_limit() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    let mut conn = open(&manager);
    conn.batch_execute("BEGIN").unwrap();
    let frozen = Frozen::of(conn.backend_pid().unwrap());
    let limit = Duration::from_millis(200);
    let (outcome, time) = took(|| PgDriver.reset(&manager, &mut conn, true, limit));
    assert!(outcome.unwrap_err().is_client_timeout());
    assert!(time < limit + DROP_BOUND, "{time:?}");
    assert!(took(|| drop(conn)).1 < DROP_BOUND);
    drop(frozen);
}

#[test]
fn full_undoes_what_a_borrower_changed_in_one_round_trip() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |options| {
        options.reset = ResetPolicy::Full;
        options.statement_timeout = Some(Duration::from_secs(30));
        options.application_name = Some("full".to_owned());
    });
    cluster.admin().batch_execute("CREATE ROLE other; GRANT other TO app").unwrap();
    let mut conn = open(&manager);
    assert_eq!(condition(&manager, &mut conn), Condition::Clean, "nothing was sent");
    let kept = conn.prepare("SELECT 42").unwrap();
    conn.batch_execute(
        "SET statement_timeout = 77; SET application_name = 'x'; CREATE TEMP TABLE scratch (i int); LISTEN news;
         SELECT pg_advisory_lock(7); DECLARE held CURSOR WITH HOLD FOR SELECT 1; SET search_path = nowhere;
         SET ROLE other",
    )
    .unwrap();
    assert_eq!(condition(&manager, &mut conn), Condition::Dirty);
    assert_eq!(reset(&manager, &mut conn), 1);
    let state = "SELECT concat_ws('|', current_user, session_user, current_setting('statement_timeout'),
        current_setting('application_name'), current_setting('search_path'), to_regclass('scratch'),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
        (SELECT count(*) FROM pg_cursors WHERE name = 'held'), (SELECT count(*) FROM pg_listening_channels()))";
    assert_eq!(one::<String>(&mut conn, state), "app|app|30s|full|\"$user\", public|0|0|0");
    assert_eq!(conn.query_one(&kept, &[]).unwrap().get::<_, i32>(0), 42);

    conn.batch_execute("BEGIN; SET LOCAL lock_timeout = 5; SELECT 1/0").unwrap_err();
    assert_eq!(reset(&manager, &mut conn), 1);
    PgDriver.validate(&manager, &mut conn, LIMIT).unwrap();
    conn.ping(LIMIT).unwrap();
    assert_eq!(condition(&manager, &mut conn), Condition::Clean, "the pool's own ping does not count");
    let log = cluster.server_log();
    assert!(!log.contains("WARNING"), "{log}");
}

#[test]
fn full_gives_session_authorization_back() {
    let cluster = cluster();
    let mut admin = cluster.admin();
    admin.batch_execute("CREATE ROLE other; ALTER ROLE app SUPERUSER").unwrap();
    let manager = manager(&cluster.url(), |options| options.reset = ResetPolicy::Full);
    let mut conn = open(&manager);
    conn.batch_execute("SET SESSION AUTHORIZATION other").unwrap();
    assert_eq!(reset(&manager, &mut conn), 1);
    assert_eq!(one::<String>(&mut conn, "SELECT concat(session_user, current_user)"), "appapp");
}

#[test]
fn full_keeps_the_client_able_to_look_up_types() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |options| options.reset = ResetPolicy::Full);
    let mut conn = open(&manager);
    for name in ["mood", "size", "shape"] {
        conn.batch_execute(&format!("CREATE TYPE {name} AS ENUM ('a', 'b')")).unwrap();
        let row = conn.query_one(&format!("SELECT 'a'::{name}"), &[]).unwrap();
        assert_eq!(row.columns()[0].type_().name(), name);
        reset(&manager, &mut conn);
    }
}

#[test]
fn none_sends_nothing_and_refuses_an_open_transaction() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |options| options.reset = ResetPolicy::None);
    let mut conn = open(&manager);
    conn.batch_execute("SET search_path = nowhere").unwrap();
    assert_eq!(condition(&manager, &mut conn), Condition::Clean);
    conn.batch_execute("BEGIN").unwrap();
    let before = conn.round_trips();
    assert_eq!(condition(&manager, &mut conn), Condition::Dirty);
    let error = PgDriver.reset(&manager, &mut conn, false, LIMIT).unwrap_err();
    assert!(error.to_string().contains("returned inside a transaction"), "{error}");
    assert_eq!(conn.round_trips(), before);
}

#[test]
fn sql_of_the_users_own_runs_after_use() {
    let cluster = cluster();
    let sql = "RESET search_path".to_owned();
    let manager = manager(&cluster.url(), |options| options.reset = ResetPolicy::Sql(sql));
    let mut conn = open(&manager);
    conn.batch_execute("SET search_path = nowhere; BEGIN").unwrap();
    assert_eq!(condition(&manager, &mut conn), Condition::Dirty);
    assert_eq!(reset(&manager, &mut conn), 1);
    assert_eq!(one::<String>(&mut conn, "SHOW search_path"), "\"$user\", public");
}

#[test]
fn over_a_unix_socket_the_server_is_asked() {
    let cluster = cluster();
    let manager = manager(&cluster.url_unix(), |_| ());
    let mut conn = open(&manager);
    assert_eq!((conn.is_observed(), conn.transaction_status(), conn.round_trips()), (false, None, None));
    let pid = one::<i32>(&mut conn, "SELECT pg_backend_pid()");
    assert_eq!(conn.backend_pid().unwrap(), pid);
    assert!(!conn.abandon_handle().abandon());

    conn.batch_execute("CREATE TABLE t (i int)").unwrap();
    conn.batch_execute("BEGIN; INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(condition(&manager, &mut conn), Condition::Dirty);
    for _ in 0..2 {
        // Once in the transaction, once clean.
        PgDriver.reset(&manager, &mut conn, false, LIMIT).unwrap();
    }
    assert_eq!(one::<i64>(&mut conn, "SELECT count(*) FROM t"), 0);
    assert!(complaints(&cluster.server_log()).is_empty(), "{}", cluster.server_log());
    conn.batch_execute("BEGIN; SELECT 1/0").unwrap_err();
    PgDriver.reset(&manager, &mut conn, false, LIMIT).unwrap();
    assert_eq!(one::<i64>(&mut conn, "SELECT count(*) FROM t"), 0);

    PgDriver.validate(&manager, &mut conn, LIMIT).unwrap();
    let frozen = Frozen::of(conn.backend_pid().unwrap());
    let limit = Duration::from_millis(200);
    let (outcome, time) = took(|| PgDriver.validate(&manager, &mut conn, limit));
    assert!(outcome.is_err() && time < limit + DROP_BOUND, "{time:?}");
    drop(frozen);
}
