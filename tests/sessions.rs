//! Sessions on a pool: what is committed, what is undone, and what the next borrower sees of the last.
#![cfg(feature = "postgres")]

mod support;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use support::cluster::Cluster;
use support::pools::pool_of;
use support::wait::{LONG_BOUND, eventually};
use support::wire::one;
use tierpool::postgres::{IsolationLevel, ResetPolicy, SessionOptions, TransactionStatus};
use tierpool::{PgBuilder, PgError, PgPool, Tier};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS t (i int)";

fn cluster() -> Cluster {
    let cluster = Cluster::start_new().unwrap();
    cluster.client().batch_execute(TABLE).unwrap();
    cluster
}

/// One automation connection, so that the next borrower gets what the last one left.
fn pool(url: String, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    pool_of(1, "sessions", url, change)
}

fn rows(pool: &PgPool) -> i64 {
    one(&mut pool.get(Tier::Adhoc).unwrap(), "SELECT count(*) FROM t")
}

#[test]
fn ok_commits_and_err_and_panic_roll_back() {
    let cluster = cluster();
    // With the observer and, over the Unix socket, without.
    for (url, observed) in [(cluster.url(), true), (cluster.url_unix(), false)] {
        let pool = pool(url, |builder| builder);
        pool.session(|tx| tx.batch_execute("TRUNCATE t; INSERT INTO t VALUES (1)")).unwrap();
        assert_eq!(rows(&pool), 1);

        // The types of error that programs have.
        let error: PgError = pool.session(|tx| tx.batch_execute("SELECT 1/0")).unwrap_err();
        assert_eq!(error.sqlstate(), Some("22012"));
        let error: Box<dyn Error + Send + Sync> = pool
            .session(|tx| {
                tx.batch_execute("INSERT INTO t VALUES (2)")?;
                "x".parse::<u8>()?;
                Ok::<_, Box<dyn Error + Send + Sync>>(())
            })
            .unwrap_err();
        assert_eq!(error.to_string(), "invalid digit found in string");
        let error: Box<dyn Error> =
            pool.session(|tx| Ok::<_, Box<dyn Error>>(tx.batch_execute("SELECT 1/0")?)).unwrap_err();
        assert_eq!(error.downcast_ref::<PgError>().unwrap().sqlstate(), Some("22012"));

        let dirty = pool.automation().stats().returned_dirty;
        let panics = AssertUnwindSafe(|| {
            pool.session(|tx| -> Result<(), PgError> {
                tx.batch_execute("INSERT INTO t VALUES (3)")?;
                panic!("F11")
            })
        });
        assert!(catch_unwind(panics).is_err());
        // Slot back, connection clean, nothing written.
        let mut conn = pool.get(Tier::Automation).unwrap();
        conn.batch_execute("VACUUM t").expect("VACUUM is refused inside a transaction");
        assert!(conn.transaction_status().is_none_or(|status| status == TransactionStatus::Idle));
        drop(conn);
        let stats = pool.automation().stats();
        // Without the observer every return has to be looked into, and counts.
        assert!(
            stats.returned_dirty > dirty && (!observed || stats.returned_dirty == dirty + 1),
            "{stats:?}"
        );
        assert_eq!((rows(&pool), stats.opened), (1, 1), "an error or a panic cost a connection");
    }
}

#[test]
fn a_savepoint_whose_panic_is_caught_is_not_kept() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = pool(url, |builder| builder);
        // Whatever the savepoint is in, and whatever the work does afterwards.
        for (nested, goes_on) in [(false, false), (false, true), (true, false), (true, true)] {
            let runs = std::cell::Cell::new(0);
            let error: PgError = pool
                .session(|tx| {
                    runs.set(runs.get() + 1);
                    tx.batch_execute("INSERT INTO t VALUES (1)")?;
                    let panics = |tx: &mut tierpool::postgres::Session<'_>| -> Result<(), PgError> {
                        tx.batch_execute("INSERT INTO t VALUES (2)")?;
                        panic!("F11")
                    };
                    let caught = catch_unwind(AssertUnwindSafe(|| match nested {
                        true => tx.savepoint(|tx| tx.savepoint(panics)),
                        false => tx.savepoint(panics),
                    }));
                    assert_eq!(*caught.unwrap_err().downcast_ref::<&str>().unwrap(), "F11");
                    if goes_on {
                        let error = tx.query_one("SELECT 1", &[]).unwrap_err();
                        assert!(error.to_string().contains("a savepoint panicked"), "{error}");
                        assert!(tx.client().is_err() && tx.savepoint(|_| Ok::<_, PgError>(())).is_err());
                    }
                    Ok(())
                })
                .unwrap_err();
            assert!(error.to_string().contains("a savepoint panicked"), "{error}");
            assert!(!error.is_retryable() && runs.get() == 1, "{error}");
            let mut conn = pool.get(Tier::Automation).unwrap();
            conn.batch_execute("VACUUM t").expect("VACUUM is refused inside a transaction");
            drop(conn);
            assert_eq!((rows(&pool), pool.automation().stats().opened), (0, 1));
        }
    }
}

#[test]
fn options_hold_in_the_session_and_never_leak() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    let options = SessionOptions::new()
        .isolation(IsolationLevel::Serializable)
        .read_only(true)
        .statement_timeout(Duration::from_millis(200))
        .lock_timeout(Duration::from_secs(3))
        .tag("nightly import");
    let state = "SELECT concat_ws('|', current_setting('transaction_isolation'),
        current_setting('transaction_read_only'), current_setting('statement_timeout'),
        current_setting('lock_timeout'))";
    let within: String = pool
        .session_with(Tier::Automation, &options, |tx| {
            let state = tx.query_one(state, &[])?.get(0);
            let holders = pool.automation().holders();
            assert_eq!(holders[0].tag.as_deref(), Some("nightly import"));
            assert!(holders[0].location.file().ends_with("sessions.rs"), "{:?}", holders[0].location);
            Ok::<_, PgError>(state)
        })
        .unwrap();
    assert_eq!(within, "serializable|on|200ms|3s");
    let after = |pool: &PgPool| {
        let mut conn = pool.get(Tier::Automation).unwrap();
        assert_eq!(pool.automation().holders()[0].tag, None, "a tag outlived its session");
        one::<String>(&mut conn, state)
    };
    assert_eq!(after(&pool), "read committed|off|30s|0");

    let write = |tx: &mut tierpool::postgres::Session<'_>| tx.batch_execute("INSERT INTO t VALUES (1)");
    let error = pool.session_with(Tier::Automation, &options, write).unwrap_err();
    assert!(error.is_read_only(), "{error}");
    // F14: classified, and the connection is kept.
    let error = pool
        .session_with(Tier::Automation, &options, |tx| tx.batch_execute("SELECT pg_sleep(5)"))
        .unwrap_err();
    assert!(error.is_statement_timeout() && !error.is_connection_lost(), "{error}");
    assert_eq!(after(&pool), "read committed|off|30s|0");
    let stats = pool.automation().stats();
    assert_eq!((stats.opened, stats.closed.total(), stats.returned_dirty), (1, 0, 0));
}

/// What a policy has to know of to undo it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leftover {
    Transaction,
    Setting,
    Rest,
}
use Leftover::{Rest, Setting, Transaction};

/// What one borrower leaves behind, and a question of the next whose answer is true when it is gone.
const LEFTOVERS: [(&str, &str, Leftover); 7] = [
    ("BEGIN; INSERT INTO t VALUES (1)", "SELECT count(*) = 0 FROM t", Transaction),
    ("BEGIN; SELECT 1; SELECT 1/0", "SELECT txid_current_if_assigned() IS NULL", Transaction),
    ("SET statement_timeout = '77ms'", "SELECT current_setting('statement_timeout') = '30s'", Setting),
    ("CREATE TEMP TABLE left_over (i int)", "SELECT to_regclass('left_over') IS NULL", Rest),
    (
        "SELECT pg_advisory_lock(4711)",
        "SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        Rest,
    ),
    ("LISTEN news", "SELECT count(*) = 0 FROM pg_listening_channels()", Setting),
    ("SET ROLE pg_monitor", "SELECT current_user = session_user", Setting),
];

#[test]
fn f12_the_next_borrower_sees_none_of_what_the_policy_covers() {
    let cluster = cluster();
    cluster.admin().batch_execute("GRANT pg_monitor TO app").unwrap();
    // Over the Unix socket nobody sees what was set.
    for (url, undone) in [(cluster.url(), &[Transaction, Setting][..]), (cluster.url_unix(), &[Transaction])]
    {
        for policy in [ResetPolicy::Rollback, ResetPolicy::Full] {
            for (leave, is_gone, kind) in LEFTOVERS {
                let pool = pool(url.clone(), |builder| builder.reset_policy(policy.clone()));
                let mut conn = pool.get(Tier::Automation).unwrap();
                let pid: i32 = one(&mut conn, "SELECT pg_backend_pid()");
                let _ = conn.batch_execute(leave);
                drop(conn);
                let mut conn = pool.get(Tier::Automation).unwrap();
                assert_eq!(
                    one::<i32>(&mut conn, "SELECT pg_backend_pid()"),
                    pid,
                    "{leave}: another connection"
                );
                // Under Rollback the rest stays, as its documentation says.
                let covered = undone.contains(&kind) || policy == ResetPolicy::Full;
                assert_eq!(one::<bool>(&mut conn, is_gone), covered, "{leave} under {policy:?}");
                drop(conn);
                let stats = pool.automation().stats();
                assert_eq!((stats.opened, stats.closed.total()), (1, 0), "{leave} under {policy:?}");
                assert!(
                    !undone.contains(&kind) || stats.returned_dirty >= 1,
                    "{leave} under {policy:?}: {stats:?}"
                );
            }
        }
    }
}

#[test]
fn a_statement_timeout_of_the_pool_keeps_the_connection() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| {
        builder.statement_timeout(Duration::from_millis(100)).adhoc_statement_timeout(Duration::from_secs(9))
    });
    let error = pool.session(|tx| tx.batch_execute("SELECT pg_sleep(5)")).unwrap_err();
    assert!(error.is_statement_timeout() && !error.is_retryable(), "{error}");
    let mut conn = pool.get(Tier::Automation).unwrap();
    let error = conn.batch_execute("SELECT pg_sleep(5)").map_err(PgError::from).unwrap_err();
    assert!(error.is_statement_timeout(), "{error}");
    drop(conn);
    assert_eq!(one::<i32>(&mut pool.get(Tier::Automation).unwrap(), "SELECT 1"), 1);
    assert_eq!(pool.automation().stats().opened, 1);
    let of_adhoc = "SELECT current_setting('statement_timeout')";
    assert_eq!(one::<String>(&mut pool.get(Tier::Adhoc).unwrap(), of_adhoc), "9s");
}

#[test]
fn tiers_are_told_apart_on_the_server_and_may_have_roles_of_their_own() {
    let cluster = cluster();
    let by_app = |like: &str| cluster.connections(like);
    cluster.admin().batch_execute("CREATE ROLE person LOGIN PASSWORD 'x-person'").unwrap();
    let adhoc_url = format!("postgresql://person:x-person@127.0.0.1:{}/app", cluster.port());
    let pool = pool(cluster.url(), |builder| builder.base_size(3).adhoc_url(adhoc_url));
    let held: Vec<_> = (0..3).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    let mut adhoc = pool.get(Tier::Adhoc).unwrap();
    assert_eq!(by_app("sessions/automation"), 3);
    assert_eq!(by_app("sessions/adhoc"), 1);
    assert_eq!(one::<String>(&mut adhoc, "SELECT session_user::text"), "person");
    drop(adhoc);

    // F13: all of automation is out; ad-hoc has its own.
    let error = std::thread::scope(|scope| {
        let get = || pool.automation().get_timeout(Duration::from_millis(100)).unwrap_err();
        scope.spawn(get).join().unwrap()
    });
    assert!(error.is_timeout() && error.holders().len() == 3, "{error:#}");
    assert_eq!((error.gauges().in_use, error.gauges().idle), (3, 0));
    assert_eq!(one::<i32>(&mut pool.get(Tier::Adhoc).unwrap(), "SELECT 1"), 1);
    drop(held);
    drop(pool);
    eventually(LONG_BOUND, "the server has no connection of the pool left", || by_app("sessions/%") == 0);
}
