//! Sessions that are repeated, those that must not be, and a COMMIT whose answer is lost.
#![cfg(feature = "postgres")]

mod support;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use support::cluster::Cluster;
use support::proxy::{Direction, Proxy};
use tierpool::postgres::{IsolationLevel, Retry, Session, SessionOptions, SocketTimeout};
use tierpool::{PgBuilder, PgError, PgPool, Tier};

const BOUND: Duration = Duration::from_secs(20);
/// What a server says that asks for the transaction to be repeated, without a conflict.
const CONFLICT: &str = "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$";

fn cluster() -> Cluster {
    let cluster = Cluster::builder().setting("deadlock_timeout", "50ms").start();
    let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
    let table = "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)";
    cluster.config().connect(postgres::NoTls).unwrap().batch_execute(table).unwrap();
    cluster
}

fn pool(url: String, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    let builder = PgPool::configure().url(url).app_name("retry").base_size(2).max_overflow(0);
    change(builder).build().unwrap_or_else(|error| panic!("{error:#}"))
}

/// The rows as the server has them, asked past pool and proxy: `id:n` of each.
fn rows(cluster: &Cluster) -> String {
    let text = "SELECT coalesce(string_agg(id || ':' || n, ' ' ORDER BY id), '') FROM t";
    cluster.config().connect(postgres::NoTls).unwrap().query_one(text, &[]).unwrap().get(0)
}

fn quick() -> Retry {
    Retry { first: Duration::from_millis(10), longest: Duration::from_millis(100), ..Retry::default() }
}

fn options() -> SessionOptions {
    SessionOptions::new().retry(quick())
}

/// Runs a session and returns with its outcome how often the closure was called.
fn counted<T, E: From<PgError>>(
    pool: &PgPool,
    options: &SessionOptions,
    mut work: impl FnMut(&mut Session<'_>, usize) -> Result<T, E>,
) -> (Result<T, E>, usize) {
    let mut calls = 0;
    let outcome = pool.session_with(Tier::Automation, options, |tx| {
        calls += 1;
        work(tx, calls)
    });
    (outcome, calls)
}

/// An error type that keeps nothing of the server's.
#[derive(Debug)]
struct Opaque;

impl From<PgError> for Opaque {
    fn from(_: PgError) -> Self {
        Opaque
    }
}

impl fmt::Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("opaque")
    }
}

#[test]
fn a_commit_whose_fate_is_unknown_is_repeated_only_where_that_does_no_harm() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.url_through(proxy.port()), |builder| builder);
    // Either the answer is lost or COMMIT itself; the client cannot tell one from the other.
    let cuts = [(Direction::ToClient, "1:1"), (Direction::ToServer, "")];
    for (direction, after_cut) in cuts {
        for idempotent in [false, true] {
            cluster.config().connect(postgres::NoTls).unwrap().batch_execute("TRUNCATE t").unwrap();
            let options = options().idempotent(idempotent);
            let (outcome, calls) = counted(&pool, &options, |tx, call| {
                // Idempotent: it sets, and does not add.
                tx.execute_cached("INSERT INTO t VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = 1", &[])?;
                if call == 1 {
                    proxy.cut_at(direction, b"COMMIT");
                } else {
                    assert_eq!(
                        rows(&cluster),
                        after_cut,
                        "{direction:?}: seen from outside of the second attempt"
                    );
                }
                Ok::<_, PgError>(())
            });
            if idempotent {
                outcome.unwrap_or_else(|error| panic!("{direction:?}: {error}"));
                assert_eq!((calls, rows(&cluster).as_str()), (2, "1:1"), "{direction:?}");
            } else {
                let error = outcome.unwrap_err();
                assert!(error.is_outcome_unknown() && error.is_connection_lost(), "{direction:?}: {error}");
                assert!(error.to_string().starts_with("outcome unknown"), "{error}");
                assert_eq!((calls, rows(&cluster).as_str()), (1, after_cut), "{direction:?}");
            }
        }
    }
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
fn write_skew_ends_committed_and_the_rule_holds() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    pool.session(|tx| tx.batch_execute("INSERT INTO t VALUES (1, 1), (2, 1)")).unwrap();
    let serializable = options().isolation(IsolationLevel::Serializable);
    let (calls, both_read) = (AtomicUsize::new(0), Barrier::new(2));
    thread::scope(|scope| {
        for id in [1, 2] {
            let (pool, serializable, calls, both_read) = (&pool, &serializable, &calls, &both_read);
            scope.spawn(move || {
                let (outcome, own) = counted(pool, serializable, |tx, call| {
                    let on: i64 = tx.query_one("SELECT sum(n) FROM t", &[])?.get(0);
                    if call == 1 {
                        both_read.wait();
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
    let (calls, both_locked) = (AtomicUsize::new(0), Barrier::new(2));
    thread::scope(|scope| {
        for order in [[1, 2], [2, 1]] {
            let (pool, calls, both_locked) = (&pool, &calls, &both_locked);
            scope.spawn(move || {
                let add = "UPDATE t SET n = n + 1 WHERE id = $1";
                let (outcome, own) = counted(pool, &options(), |tx, call| {
                    tx.execute_cached(add, &[&order[0]])?;
                    if call == 1 {
                        both_locked.wait();
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

    // Through the breaker too: checkouts fail at once while the server is away.
    let patient = Retry { attempts: 1000, within: BOUND, ..quick() };
    let (outcome, calls) = thread::scope(|scope| {
        counted(&pool, &SessionOptions::new().retry(patient), |tx, call| {
            insert(tx, 3)?;
            if call == 1 {
                cluster.stop_fast();
                scope.spawn(|| {
                    support::wait::eventually(BOUND, "the breaker opens", || {
                        pool.automation().get_timeout(BOUND).is_err_and(|e| e.is_circuit_open())
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
fn what_does_not_pass_is_not_repeated() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    pool.session(|tx| tx.batch_execute("INSERT INTO t VALUES (1)")).unwrap();
    let limited = options().statement_timeout(Duration::from_millis(50));
    let idempotent = limited.idempotent(true);
    let once = |sql: &str, code: &str| {
        let (outcome, calls) = counted(&pool, &idempotent, |tx, _| tx.batch_execute(sql));
        assert_eq!((outcome.unwrap_err().sqlstate(), calls), (Some(code), 1), "{sql}");
    };
    once("INSERT INTO t VALUES (1)", "23505");
    once("SELECT pg_sleep(30)", "57014");
    once("SELECT 1/0", "22012");
    // The last error counts: this one is not the server's wish to repeat.
    let (outcome, calls) = counted(&pool, &idempotent, |tx, _| {
        tx.savepoint(|tx| tx.batch_execute(CONFLICT)).unwrap_err();
        tx.batch_execute("SELECT 1/0")
    });
    assert_eq!((outcome.unwrap_err().sqlstate(), calls), (Some("22012"), 1));
    // Read-only by the user's own wish: another server would refuse too.
    let read_only = options().read_only(true);
    let (outcome, calls) = counted(&pool, &read_only, |tx, _| tx.batch_execute("DELETE FROM t"));
    assert!(outcome.unwrap_err().is_read_only() && calls == 1);

    let (outcome, calls) = counted(&pool, &options(), |_, _| Err::<(), _>(Opaque));
    assert!(outcome.is_err() && calls == 1, "an error of the work's own");
    let panicking = AtomicUsize::new(0);
    let panics = catch_unwind(AssertUnwindSafe(|| {
        counted(&pool, &idempotent, |_, _| -> Result<(), PgError> {
            panicking.fetch_add(1, SeqCst);
            panic!("as the test wants")
        })
    }));
    assert!(panics.is_err() && panicking.into_inner() == 1);

    // What was committed by the work itself would be done twice.
    let (outcome, calls) = counted(&pool, &options(), |tx, _| {
        tx.batch_execute("INSERT INTO t VALUES (2); COMMIT")?;
        tx.batch_execute(CONFLICT)
    });
    assert_eq!((outcome.unwrap_err().sqlstate(), calls), (Some("40001"), 1));
    assert_eq!(rows(&cluster), "1:0 2:0");
    assert_eq!(pool.sessions_repeated(Tier::Automation), 0);
}

#[test]
fn the_server_is_heard_whatever_the_work_makes_of_its_error() {
    let cluster = cluster();
    type Fail = fn(&mut Session<'_>) -> Result<(), PgError>;
    // How the first attempt meets the conflict, and whether that is seen over a Unix socket as well.
    let ways: [(&str, Fail, bool); 4] = [
        ("a call of the session", |tx| tx.batch_execute(CONFLICT), true),
        ("a savepoint", |tx| tx.savepoint(|tx| tx.batch_execute(CONFLICT)), true),
        ("the bare client", |tx| Ok(tx.client().batch_execute(CONFLICT)?), false),
        (
            "a later call that says no more than that",
            |tx| {
                let _ = tx.batch_execute(CONFLICT);
                tx.batch_execute("SELECT 1")
            },
            true,
        ),
    ];
    for (url, observed) in [(cluster.url(), true), (cluster.url_unix(), false)] {
        let pool = pool(url, |builder| builder);
        for (way, fail, everywhere) in ways {
            let (outcome, calls) =
                counted(
                    &pool,
                    &options(),
                    |tx, call| {
                        if call == 1 { fail(tx).map_err(|_| Opaque) } else { Ok(()) }
                    },
                );
            let expected = if observed || everywhere { (true, 2) } else { (false, 1) };
            assert_eq!((outcome.is_ok(), calls), expected, "{way}, observed: {observed}");
        }
        let (outcome, calls) = counted(&pool, &options(), |tx, call| {
            if call == 1 {
                let _ = tx.batch_execute(CONFLICT);
            }
            Ok::<_, PgError>(())
        });
        assert!(outcome.is_ok() && calls == 2, "an ignored conflict makes COMMIT fail, and is repeated");
    }
}

#[test]
fn a_statement_made_stale_is_prepared_anew_by_a_repetition() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder.base_size(1));
    let read = |tx: &mut Session<'_>, _| Ok::<_, PgError>(tx.query_cached("SELECT * FROM t", &[])?.len());
    assert_eq!(counted(&pool, &options(), read).1, 1);
    pool.session(|tx| tx.batch_execute("ALTER TABLE t ADD more int")).unwrap();
    let (outcome, calls) = counted(&pool, &options(), read);
    assert_eq!((outcome.unwrap(), calls), (0, 2));
}

#[test]
fn attempts_and_time_are_bounded() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    let of = |retry| counted(&pool, &SessionOptions::new().retry(retry), |tx, _| tx.batch_execute(CONFLICT));
    let (outcome, calls) = of(Retry { attempts: 3, ..quick() });
    assert_eq!((outcome.unwrap_err().sqlstate(), calls), (Some("40001"), 3));
    assert_eq!(pool.sessions_repeated(Tier::Automation), 2);
    assert_eq!(of(Retry { within: Duration::ZERO, ..quick() }).1, 1);
    assert_eq!(of(Retry::NEVER).1, 1);
    let (outcome, calls) = counted(&pool, &SessionOptions::new(), |tx, _| tx.batch_execute(CONFLICT));
    assert!(outcome.unwrap_err().is_retryable() && calls == 1, "not unless asked for");
}

#[test]
fn limits_act_from_the_inside_out() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    // The settings of the guide on retries.
    let pool = pool(cluster.url_through(proxy.port()), |builder| {
        builder
            .connection_timeout(Duration::from_secs(4))
            .connect_timeout(Duration::from_secs(2))
            .statement_timeout(Duration::from_millis(500))
            .socket_timeout(SocketTimeout::After(Duration::from_secs(1)))
    });
    let options = SessionOptions::new()
        .lock_timeout(Duration::from_millis(200))
        .retry(Retry { within: Duration::from_secs(10), ..Retry::default() });
    let mut holder = cluster.config().connect(postgres::NoTls).unwrap();
    holder.batch_execute("INSERT INTO t VALUES (1)").unwrap();
    holder.batch_execute("BEGIN; UPDATE t SET n = 7").unwrap();
    let update = "UPDATE t SET n = 1";
    let (outcome, calls) = counted(&pool, &options, |tx, _| tx.batch_execute(update));
    assert!(outcome.unwrap_err().is_lock_timeout() && calls == 1);
    holder.batch_execute("ROLLBACK").unwrap();

    let (outcome, calls) = counted(&pool, &options, |tx, _| tx.batch_execute("SELECT pg_sleep(30)"));
    assert!(outcome.unwrap_err().is_statement_timeout() && calls == 1);

    let mut first = None;
    let (outcome, calls) = counted(&pool, &options, |tx, call| {
        if call == 1 {
            proxy.lose();
        }
        let outcome = tx.batch_execute(update);
        first.get_or_insert(outcome.as_ref().is_err_and(PgError::is_client_timeout));
        outcome
    });
    assert!(outcome.is_ok() && calls == 2 && first == Some(true), "{outcome:?} after {calls}, {first:?}");

    let held: Vec<_> = (0..2).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    let session = || counted(&pool, &options, |tx, _| tx.batch_execute(update));
    let (outcome, calls) = thread::scope(|scope| scope.spawn(session).join().unwrap());
    assert!(outcome.unwrap_err().as_checkout().is_some_and(|error| error.is_timeout()) && calls == 0);
    drop(held);
}

#[test]
fn a_checkout_that_timed_out_is_not_repeated() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder.connection_timeout(Duration::from_millis(200)));
    let held: Vec<_> = (0..2).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    let (outcome, calls) = thread::scope(|scope| {
        let session = || counted(&pool, &options(), |_, _| Ok::<_, PgError>(()));
        scope.spawn(session).join().unwrap()
    });
    assert!(outcome.unwrap_err().as_checkout().is_some_and(|error| error.is_timeout()));
    assert_eq!((calls, pool.sessions_repeated(Tier::Automation)), (0, 0));
    drop(held);
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
