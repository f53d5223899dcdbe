//! What makes a session be repeated and what does not, and the bounds of it.
#![cfg(feature = "postgres")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use support::proxy::{Direction, Proxy};
use support::retried::{Opaque, cluster, counted, options, pool, quick, rows};
use support::wait::{LONG_BOUND, SECOND, eventually};
use tierpool::postgres::{Retry, Session, SessionOptions, SocketTimeout, run_session};
use tierpool::{PgError, Tier};

/// What a server says that asks for the transaction to be repeated, without a conflict.
const CONFLICT: &str = "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$";

#[test]
fn work_that_commits_by_itself_is_not_repeated() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool(cluster.url_through(proxy.port()), |builder| builder);
    pool.session(|tx| tx.batch_execute("INSERT INTO t VALUES (1)")).unwrap();
    // The answer is lost, and it took effect.
    let (outcome, calls) = counted(&pool, &options(), |tx, _| {
        tx.batch_execute("UPDATE t SET n = n + 1")?;
        proxy.cut_at(Direction::ToClient, b"COMMIT");
        tx.batch_execute("COMMIT")
    });
    assert!(outcome.unwrap_err().is_connection_lost());
    assert_eq!((calls, rows(&cluster).as_str()), (1, "1:1"));
    // Another transaction has begun since, and the status tells nothing.
    let (outcome, calls) = counted(&pool, &options(), |tx, _| {
        tx.batch_execute("UPDATE t SET n = n + 1; COMMIT; BEGIN")?;
        tx.batch_execute(CONFLICT)
    });
    assert!(outcome.unwrap_err().sqlstate() == Some("40001"));
    assert_eq!((calls, rows(&cluster).as_str()), (1, "1:2"));
}

#[test]
fn what_the_pool_has_ended_is_not_repeated() {
    let cluster = cluster();
    let ms = Duration::from_millis;
    let pool = pool(cluster.url(), |builder| {
        builder.automation(move |tier| tier.terminate_stuck_after(Some(ms(200))).reaper_rate(ms(20)))
    });
    let (outcome, calls) = counted(&pool, &options(), |tx, _| tx.batch_execute("SELECT pg_sleep(20)"));
    assert!(outcome.unwrap_err().is_connection_lost());
    assert_eq!((calls, pool.automation().stats().stuck_terminated), (1, 1));
}

#[test]
fn a_transaction_that_overran_a_limit_of_the_servers_is_not_repeated() {
    let cluster = cluster();
    let bounded = SessionOptions::new().retry(Retry { within: Duration::from_secs(2), ..quick() });
    let idempotent = bounded.idempotent(true);
    // Long enough for the limit, where the work finds out by a call, and where only COMMIT does.
    let idle = |tx: &mut Session<'_>| {
        tx.batch_execute("SET LOCAL idle_in_transaction_session_timeout = 50; SELECT 1")?;
        eventually(LONG_BOUND, "the server ends the session", || {
            cluster.connections("retry/automation") == 0
        });
        Ok::<_, PgError>(())
    };
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = pool(url.clone(), |builder| builder);
        let (outcome, calls) = counted(&pool, &idempotent, |tx, _| {
            idle(tx)?;
            tx.batch_execute("SELECT 1")
                .map_err(|_| PgError::from(std::io::Error::other("of the work's own")))
        });
        assert!(outcome.is_err() && calls == 1, "{outcome:?} after {calls} over {url}");
        let (outcome, calls) = counted(&pool, &idempotent, |tx, _| idle(tx));
        assert!(outcome.is_err() && calls == 1, "{outcome:?} after {calls}, at COMMIT over {url}");
    }
}

#[test]
fn a_borrowers_own_socket_timeout_outlives_its_sessions() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder);
    let mut conn = pool.get(Tier::Automation).unwrap();
    conn.set_socket_timeout(Some(Duration::from_millis(300)));
    for options in [SessionOptions::new(), SessionOptions::new().statement_timeout(Duration::from_secs(2))] {
        run_session(&mut conn, &options, |tx| tx.batch_execute("SELECT 1")).unwrap();
    }
    let error = PgError::from(conn.batch_execute("SELECT pg_sleep(10)").unwrap_err());
    assert!(error.is_client_timeout(), "{error}");
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
    let committing = "UPDATE t SET n = n + 1; COMMIT";
    let (outcome, calls) = counted(&pool, &options(), |tx, _| {
        tx.batch_execute(committing)?;
        tx.batch_execute(CONFLICT)
    });
    assert_eq!((outcome.unwrap_err().sqlstate(), calls), (Some("40001"), 1));
    let in_one_message = format!("{committing}; {CONFLICT}");
    let (outcome, calls) = counted(&pool, &options(), |tx, _| tx.batch_execute(&in_one_message));
    assert_eq!((outcome.unwrap_err().sqlstate(), calls), (Some("40001"), 1));
    assert_eq!(rows(&cluster), "1:2");
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
        ("the bare client", |tx| Ok(tx.client()?.batch_execute(CONFLICT)?), false),
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
    let mut holder = cluster.client();
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
    assert!(outcome.unwrap_err().as_checkout().is_some_and(|error| error.is_timeout()) && calls == 1);
    drop(held);
}

#[test]
fn a_checkout_that_timed_out_is_not_repeated() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder.connection_timeout(Duration::from_millis(200)));
    let held: Vec<_> = (0..2).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    let (outcome, calls) = thread::scope(|scope| {
        let session = || counted(&pool, &options(), |tx, _| tx.batch_execute("SELECT 1"));
        scope.spawn(session).join().unwrap()
    });
    assert!(outcome.unwrap_err().as_checkout().is_some_and(|error| error.is_timeout()));
    assert_eq!((calls, pool.sessions_repeated(Tier::Automation)), (1, 0));
    drop(held);
}

#[test]
fn a_checkout_that_timed_out_since_nothing_could_be_opened_is_repeated_until_the_server_is_back() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| {
        let builder = builder.connection_timeout(Duration::from_millis(200));
        // Callers wait for their deadline, and are not told at once.
        builder.automation(|tier| tier.failure_threshold(0))
    });
    cluster.stop_fast();
    let (outcome, calls) = thread::scope(|scope| {
        scope.spawn(|| {
            eventually(LONG_BOUND, "more repetitions than attempts", || {
                pool.sessions_repeated(Tier::Automation) >= 4
            });
            cluster.start();
        });
        let options = SessionOptions::new().retry(Retry { attempts: 2, ..quick() });
        counted(&pool, &options, |tx, _| tx.batch_execute("SELECT 1"))
    });
    outcome.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(calls, 2, "not for as long as there was no connection");
}

#[test]
fn no_attempt_begins_later_than_told_while_others_have_the_connections() {
    let cluster = cluster();
    let pool = pool(cluster.url(), |builder| builder.base_size(1).connection_timeout(4 * LONG_BOUND));
    let begun = AtomicUsize::new(0);
    let options = SessionOptions::new().retry(Retry { within: SECOND / 2, ..quick() });
    let (outcome, calls) = thread::scope(|scope| {
        scope.spawn(|| {
            eventually(LONG_BOUND, "the session is at it", || begun.load(SeqCst) == 1);
            let taken = pool.get(Tier::Automation).unwrap();
            eventually(LONG_BOUND, "the session is begun anew", || begun.load(SeqCst) == 2);
            drop(taken);
        });
        counted(&pool, &options, |tx, call| {
            begun.store(call, SeqCst);
            tx.batch_execute("SELECT 1")?;
            if call == 1 {
                eventually(LONG_BOUND, "somebody waits for the connection", || {
                    pool.automation().gauges().waiting == 1
                });
                tx.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())")?;
            }
            Ok::<_, PgError>(())
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(calls, 2);
}
