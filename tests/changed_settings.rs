//! A borrower's own settings end with its checkout, also where the policy is only to roll back.
#![cfg(feature = "postgres")]

mod support;

use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;
use r2d2::CustomizeConnection;
use support::bouncer::Bouncer;
use support::cluster::cluster;
use support::pools::pool_of;
use support::wait::eventually;
use support::wire::{manager, one, open};
use tierpool::config::PgBouncer;
use tierpool::postgres::{PgConnection, PgDriver, PgManager, ResetPolicy, SessionOptions};
use tierpool::stats::CloseCause;
use tierpool::{Condition, Driver, PgBuilder, PgError, PgPool, Tier};

const LIMIT: Duration = Duration::from_secs(2);

/// Gives a connection back and takes it again: its condition, and the round trips that its reset took.
fn returned(manager: &PgManager, conn: &mut PgConnection) -> (Condition, u64) {
    let before = conn.round_trips().unwrap();
    let condition = PgDriver.condition(manager, conn);
    if condition == Condition::Dirty {
        PgDriver.reset(manager, conn, false, LIMIT).unwrap();
        assert_eq!(PgDriver.condition(manager, conn), Condition::Clean, "after its reset");
    }
    (condition, conn.round_trips().unwrap() - before)
}

const STATE: &str =
    "SELECT concat_ws('|', current_setting('statement_timeout'), current_setting('search_path'),
    current_setting('application_name'), current_user, session_user, current_setting('app.user', true))";

#[test]
fn what_a_borrower_set_is_put_back_in_one_round_trip_and_the_rest_costs_none() {
    let cluster = cluster();
    cluster.admin().batch_execute("CREATE ROLE other; GRANT other TO app").unwrap();
    let manager = manager(&cluster.url(), |options| {
        options.statement_timeout = Some(Duration::from_secs(30));
        options.application_name = Some("own".to_owned());
    });
    let conn = &mut open(&manager);
    let new = one::<String>(conn, STATE);
    assert_eq!(new, "30s|\"$user\", public|own|app|app");
    assert_eq!(returned(&manager, conn), (Condition::Clean, 0));
    for text in [
        "SET statement_timeout = 0",
        "RESET ALL",
        "DISCARD TEMP",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET ROLE other",
        "SET search_path = nowhere; SET application_name = 'x'",
        "BEGIN; SET search_path = nowhere; COMMIT",
        "BEGIN; SET LOCAL search_path = nowhere; SET search_path = nowhere; COMMIT",
        "BEGIN; SET search_path = nowhere",
        "SELECT set_config('app.user', 'eve', false)",
        "BEGIN; SELECT set_config('app.user', 'eve', false); COMMIT",
        "DO $$ BEGIN PERFORM set_config('search_path', 'nowhere', false); END $$",
    ] {
        conn.batch_execute(text).unwrap();
        assert_eq!(returned(&manager, conn), (Condition::Dirty, 1), "{text}");
        // A setting that never was in the session is NULL, one that was put back is empty.
        assert_eq!(one::<String>(conn, STATE).trim_end_matches('|'), new, "{text}");
        assert_eq!(returned(&manager, conn), (Condition::Clean, 0), "after {text}");
    }
    for text in [
        "CREATE TEMP TABLE IF NOT EXISTS sets (i int); UPDATE sets SET i = 1",
        "BEGIN; SET LOCAL search_path = nowhere; SET TRANSACTION READ ONLY; COMMIT",
        "BEGIN; SET CONSTRAINTS ALL DEFERRED; COMMIT",
        "BEGIN; SELECT set_config('app.user', 'eve', true); COMMIT",
    ] {
        conn.batch_execute(text).unwrap();
        assert_eq!(returned(&manager, conn), (Condition::Clean, 0), "{text}");
        assert_eq!(one::<String>(conn, STATE).trim_end_matches('|'), new, "{text}");
    }
}

#[test]
fn statements_that_are_prepared_count_when_they_run() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    let conn = &mut open(&manager);
    let call = "SELECT set_config($1, $2, false)";
    let kept = conn.prepare_cached(call).unwrap();
    assert_eq!(returned(&manager, conn), (Condition::Clean, 0), "it was not run");
    conn.query(&kept, &[&"app.user", &"eve"]).unwrap();
    assert_eq!(returned(&manager, conn), (Condition::Dirty, 1));
    // The text itself is not sent any more.
    conn.query_cached(call, &[&"app.user", &"eve"]).unwrap();
    assert_eq!(returned(&manager, conn), (Condition::Dirty, 1));
    one::<i32>(conn, "SELECT 1");
    assert_eq!(returned(&manager, conn), (Condition::Clean, 0), "another statement");

    conn.execute("SET search_path = nowhere", &[]).unwrap();
    assert_eq!(returned(&manager, conn), (Condition::Dirty, 1));
    let mut tx = conn.transaction().unwrap();
    let local = tx.prepare("SET LOCAL search_path = nowhere").unwrap();
    tx.execute(&local, &[]).unwrap();
    tx.execute("SET LOCAL lock_timeout = 5", &[]).unwrap();
    tx.query_typed("SELECT set_config('app.user', 'eve', true)", &[]).unwrap();
    tx.commit().unwrap();
    assert_eq!(returned(&manager, conn), (Condition::Clean, 0));
    let mut tx = conn.transaction().unwrap();
    tx.execute("SET lock_timeout = 5", &[]).unwrap();
    tx.commit().unwrap();
    assert_eq!(returned(&manager, conn), (Condition::Dirty, 1));

    // A row stream not read to its end hides what comes behind it.
    conn.batch_execute("BEGIN").unwrap();
    let none: [i32; 0] = [];
    let mut rows = conn
        .query_raw("SELECT set_config('app.user', 'eve', false), generate_series(1, 9999)", none)
        .unwrap();
    assert!(rows.next().unwrap().is_some());
    drop(rows);
    assert_eq!(returned(&manager, conn).0, Condition::Dirty);
    assert_eq!(one::<String>(conn, "SHOW lock_timeout"), "0");
}

#[test]
fn each_policy_but_none_puts_settings_back() {
    let cluster = cluster();
    let borrowed = |policy: ResetPolicy| {
        let manager = manager(&cluster.url(), |options| options.reset = policy);
        let mut conn = open(&manager);
        conn.batch_execute("SET lock_timeout = 7; SET search_path = nowhere").unwrap();
        let (_, cost) = returned(&manager, &mut conn);
        (
            cost,
            one::<String>(
                &mut conn,
                "SELECT concat_ws('|', current_setting('lock_timeout'), current_setting('search_path'))",
            ),
        )
    };
    let text = |cost: u64, state: &str| (cost, state.to_owned());
    assert_eq!(borrowed(ResetPolicy::Rollback), text(1, "0|\"$user\", public"));
    assert_eq!(borrowed(ResetPolicy::Full), text(1, "0|\"$user\", public"));
    // What the text itself sets comes last.
    let sql = ResetPolicy::Sql("SET search_path = own -- ours".to_owned());
    assert_eq!(borrowed(sql), text(1, "0|own"));
    assert_eq!(borrowed(ResetPolicy::None), text(0, "7ms|nowhere"));
}

#[test]
fn what_the_pool_sends_for_itself_does_not_count() {
    let cluster = cluster();
    let pool = pool_of(1, "own", cluster.url(), |builder| builder);
    let options = SessionOptions::new().statement_timeout(LIMIT).lock_timeout(LIMIT).read_only(true);
    pool.session_with(Tier::Automation, &options, |tx| tx.batch_execute("SELECT 1")).unwrap();
    pool.check_health(true);
    pool.server_activity().unwrap();
    pool.long_running_queries(LIMIT).unwrap();
    for tier in [pool.automation(), pool.adhoc()] {
        assert_eq!(tier.stats().returned_dirty, 0);
    }
}

/// Sets up each new connection by `SET`.
#[derive(Debug)]
struct SetsPath;

impl CustomizeConnection<PgConnection, PgError> for SetsPath {
    fn on_acquire(&self, conn: &mut PgConnection) -> Result<(), PgError> {
        Ok(conn.batch_execute("SET search_path = tenant")?)
    }
}

#[test]
fn a_connection_that_was_set_up_by_the_program_is_replaced_where_a_borrower_sets_something() {
    let cluster = cluster();
    let of = |change: fn(PgBuilder) -> PgBuilder| {
        let pool = pool_of(1, "set up", cluster.url(), |builder| {
            change(builder.automation(|tier| tier.connection_customizer(Box::new(SetsPath))))
        });
        let path =
            |pool: &PgPool| one::<String>(&mut pool.get(Tier::Automation).unwrap(), "SHOW search_path");
        for _ in 0..2 {
            assert_eq!(path(&pool), "tenant");
        }
        pool.get(Tier::Automation).unwrap().batch_execute("SET search_path = other").unwrap();
        (path(&pool), pool)
    };
    let (path, pool) = of(|builder| builder);
    assert_eq!(pool.automation().stats().returned_dirty, 0, "what the program itself set up is as new");
    let closed = pool.automation().stats().closed;
    assert_eq!((path.as_str(), closed.count(CloseCause::Broken), closed.total()), ("tenant", 1, 1));
    assert_eq!(pool.automation().stats().suspicions, 0, "it says nothing against others");

    // A text of the program's own is trusted to put it back.
    let (path, pool) =
        of(|builder| builder.reset_policy(ResetPolicy::Sql("SET search_path = tenant".to_owned())));
    assert_eq!((path.as_str(), pool.automation().stats().closed.total()), ("tenant", 0));
}

#[test]
fn what_a_reset_sets_arrives_in_whatever_encoding_a_borrower_left() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "session").start();
    let sql = ResetPolicy::Sql("SET app.note = 'ü''ü'".to_owned());
    for (url, mode, policy) in [
        (cluster.url(), PgBouncer::Off, sql.clone()),
        (bouncer.url(), PgBouncer::Session, sql),
        (bouncer.url(), PgBouncer::Session, ResetPolicy::Rollback),
    ] {
        let pool = pool_of(1, "ü'ü", url, |builder| builder.pgbouncer(mode).reset_policy(policy.clone()));
        let state = |conn: &mut PgConnection| {
            let text = "SELECT concat_ws('|', current_setting('application_name'),
                current_setting('client_encoding'), coalesce(current_setting('app.note', true), ''))";
            one::<String>(conn, text)
        };
        let mut conn = pool.get(Tier::Automation).unwrap();
        let new = state(&mut conn);
        let note = if policy == ResetPolicy::Rollback { "" } else { "ü'ü" };
        for left in ["", "; BEGIN", "; BEGIN; SELECT 1 / 0"] {
            conn.batch_execute("SET client_encoding = 'LATIN1'; SET application_name = 'x'").unwrap();
            conn.batch_execute(&format!("SELECT 1{left}")).err();
            drop(conn);
            conn = pool.get(Tier::Automation).unwrap();
            assert_eq!(
                state(&mut conn),
                format!("{}|{note}", new.trim_end_matches('|')),
                "{mode}, {policy:?}{left}"
            );
        }
        assert_eq!(pool.automation().stats().opened, 1);
    }
}

#[test]
fn the_next_borrower_of_a_pool_has_the_pools_statement_timeout() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "session").start();
    for (url, mode) in [(cluster.url(), PgBouncer::Off), (bouncer.url(), PgBouncer::Session)] {
        let pool = pool_of(1, "limits", url, |builder| builder.pgbouncer(mode).statement_timeout(LIMIT));
        let mut conn = pool.get(Tier::Automation).unwrap();
        conn.batch_execute("SET statement_timeout = 0; SET client_encoding = 'LATIN1'").unwrap();
        drop(conn);
        let mut conn = pool.get(Tier::Automation).unwrap();
        let state =
            "SELECT concat_ws('|', current_setting('statement_timeout'), current_setting('client_encoding'),
            current_setting('application_name'))";
        assert_eq!(one::<String>(&mut conn, state), "2s|UTF8|limits/automation", "{mode}");
        drop(conn);
        let stats = pool.automation().stats();
        eventually(LIMIT, "the reset ends", || pool.automation().stats().gauges.idle == 1);
        assert_eq!((stats.returned_dirty, stats.opened), (1, 1));
    }
}
