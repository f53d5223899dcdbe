//! A session takes its connection at its first statement: what it holds before, what it is told when there is none, and
//! what is repeated.
#![cfg(feature = "postgres")]

mod support;

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;
use support::cluster::{Cluster, cluster};
use support::pools::{checkouts, pool_of};
use support::retried::{Opaque, counted, quick};
use support::wait::{BOUND, LONG_BOUND, SECOND, eventually};
use support::wire::{manager, one, open};
use tierpool::postgres::{
    Ending, IsolationLevel, Last, Session, SessionOptions, SocketTimeout, TransactionStatus, run_session,
};
use tierpool::{Error, PgBuilder, PgError, PgPool, Tier};

fn pool(size: u32, url: String, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    pool_of(size, "lazy", url, change)
}

/// How many connections borrowers have. A reset after one, as over a Unix socket, is not theirs.
fn lent(pool: &PgPool) -> u32 {
    pool.automation().stats().lent
}

#[test]
fn nothing_is_held_before_the_first_statement() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = pool(1, url, |builder| builder);
        let options = SessionOptions::new().tag("an import");
        let before = checkouts(&pool);
        for round in 1..=2 {
            let value = pool.session_with(Tier::Automation, &options, |tx| {
                assert_eq!((lent(&pool), checkouts(&pool)), (0, before + 2 * (round - 1)));
                // Somebody else's work in between.
                pool.session(|tx| tx.batch_execute("SELECT 1"))?;
                let value: i32 = tx.query_one("SELECT 7", &[])?.get(0);
                assert_eq!(lent(&pool), 1);
                let holders = pool.automation().holders();
                assert_eq!(holders[0].tag.as_deref(), Some("an import"));
                assert!(
                    holders[0].location.file().ends_with("sessions_lazy.rs"),
                    "{:?}",
                    holders[0].location
                );
                Ok::<_, PgError>(value)
            });
            assert_eq!((value.unwrap(), lent(&pool)), (7, 0));
        }
    }
}

#[test]
fn whichever_call_comes_first_takes_the_connection_and_is_in_the_transaction() {
    let cluster = cluster();
    type First = fn(&mut Session<'_>) -> Result<(), PgError>;
    let calls: [(&str, First); 14] = [
        ("execute", |tx| tx.execute("SELECT 1", &[]).map(drop)),
        ("execute_typed", |tx| tx.execute_typed("SELECT 1", &[]).map(drop)),
        ("query", |tx| tx.query("SELECT 1", &[]).map(drop)),
        ("query_opt", |tx| tx.query_opt("SELECT 1", &[]).map(drop)),
        ("query_raw", |tx| {
            let no_parameters: [&str; 0] = [];
            Ok(tx.query_raw("SELECT 1", no_parameters)?.count().map(drop)?)
        }),
        ("simple_query", |tx| tx.simple_query("SELECT 1").map(drop)),
        ("batch_execute", |tx| tx.batch_execute("SELECT 1")),
        ("prepare", |tx| tx.prepare("SELECT 1").map(drop)),
        ("prepare_cached", |tx| tx.prepare_cached("SELECT 1").map(drop)),
        ("execute_cached", |tx| tx.execute_cached("SELECT 1", &[]).map(drop)),
        ("copy_in", |tx| {
            let mut rows = tx.copy_in("COPY t FROM STDIN")?;
            rows.write_all(b"5\n")?;
            Ok(rows.finish().map(drop)?)
        }),
        ("copy_out", |tx| Ok(tx.copy_out("COPY t TO STDOUT")?.read_to_end(&mut Vec::new()).map(drop)?)),
        ("savepoint", |tx| tx.savepoint(|tx| tx.batch_execute("SELECT 1"))),
        ("client", |tx| tx.client().map(drop)),
    ];
    cluster.client().batch_execute("CREATE TABLE t (i int)").unwrap();
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = pool(1, url, |builder| builder);
        for (name, call) in calls {
            pool.session(|tx| {
                assert_eq!(lent(&pool), 0, "{name}");
                call(tx)?;
                assert_eq!(lent(&pool), 1, "{name}");
                let transaction = "SELECT pg_current_xact_id()::text";
                let first: String = tx.query_one(transaction, &[])?.get(0);
                let second: String = tx.query_one(transaction, &[])?.get(0);
                assert_eq!(first, second, "{name} left the session outside of a transaction");
                Ok::<_, PgError>(())
            })
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn the_deadline_of_the_checkout_counts_from_the_first_statement() {
    let cluster = cluster();
    let limit = 2 * SECOND;
    let pool = pool(1, cluster.url(), |builder| builder.connection_timeout(limit));
    let guard = pool.get(Tier::Automation).unwrap();
    let asks = AtomicBool::new(false);
    let answer = thread::scope(|scope| {
        let session = scope.spawn(|| {
            pool.session(|tx| {
                // Longer than any wait for a connection may take.
                thread::sleep(limit + SECOND / 4);
                asks.store(true, SeqCst);
                Ok::<i32, PgError>(tx.query_one("SELECT 7", &[])?.get(0))
            })
        });
        eventually(LONG_BOUND, "the session waits", || {
            asks.load(SeqCst) && pool.automation().gauges().waiting == 1 || session.is_finished()
        });
        drop(guard);
        session.join().unwrap()
    });
    assert_eq!(answer.unwrap_or_else(|error| panic!("{error}")), 7);
}

#[test]
fn a_session_that_sends_nothing_takes_nothing_also_with_the_server_away() {
    let cluster = cluster();
    for url in [cluster.url(), cluster.url_unix()] {
        let pool = pool(1, url, |builder| builder);
        let before = checkouts(&pool);
        assert_eq!(pool.session(|_| Ok::<_, PgError>(7)).unwrap(), 7);
        assert!(pool.session(|_| Err::<(), _>(Opaque)).is_err());
        assert_eq!(checkouts(&pool), before);
    }
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    let before = conn.round_trips();
    assert_eq!(run_session(&mut conn, &SessionOptions::new(), |_| Ok::<_, PgError>(7)).unwrap(), 7);
    assert_eq!((conn.round_trips(), conn.transaction_status()), (before, Some(TransactionStatus::Idle)));

    let pool = pool(1, cluster.url(), |builder| builder);
    cluster.stop_fast();
    pool.automation().evict_idle();
    assert_eq!(pool.session(|_| Ok::<_, PgError>(7)).unwrap(), 7);
    assert!(pool.session(|tx| tx.batch_execute("SELECT 1")).is_err());
}

/// The waits of checkouts told by these errors.
fn waits(errors: &[PgError]) -> Vec<Duration> {
    let refusal = |error: &PgError| error.as_checkout().map(Error::waited);
    errors.iter().map(|error| refusal(error).unwrap_or_else(|| panic!("{error}"))).collect()
}

#[test]
fn a_refused_checkout_is_told_by_every_statement_and_never_ends_well() {
    let cluster = cluster();
    let pool = pool(1, cluster.url(), |builder| builder.connection_timeout(SECOND / 5));
    let guard = pool.get(Tier::Automation).unwrap();
    let refused = || pool.automation().stats().checkouts.timed_out;
    let session = |work: &(dyn Fn(&mut Session<'_>) -> Result<(), PgError> + Sync)| {
        thread::scope(|scope| scope.spawn(|| pool.session(work)).join().unwrap())
    };
    let swallowed = session(&|tx| {
        let errors = [
            tx.batch_execute("SELECT 1").unwrap_err(),
            tx.query("SELECT 1", &[]).unwrap_err(),
            tx.query_cached("SELECT 1", &[]).unwrap_err(),
            tx.client().map(drop).unwrap_err(),
            tx.savepoint(|_| -> Result<(), PgError> { unreachable!("there is no savepoint") }).unwrap_err(),
        ];
        let waits = waits(&errors);
        assert!(waits.iter().all(|wait| *wait == waits[0]), "{waits:?}");
        assert!(errors.iter().all(|error| error.to_string() == errors[0].to_string()));
        Ok(())
    });
    let error = swallowed.expect_err("nothing of it was done");
    assert!(error.as_checkout().is_some_and(Error::is_timeout), "{error}");
    assert_eq!(refused(), 1, "it waited once");

    // The caller gets what the work has made of it.
    let own = thread::scope(|scope| {
        let work = |tx: &mut Session<'_>| tx.batch_execute("SELECT 1").map_err(|_| Opaque);
        scope.spawn(move || pool.session(work)).join().unwrap()
    });
    assert!(own.is_err());
    drop(guard);
}

#[test]
fn what_is_repeated_after_a_refused_checkout_goes_by_the_refusal() {
    let cluster = cluster();
    let pool = pool(1, cluster.url(), |builder| builder.connection_timeout(SECOND));
    let begun = AtomicUsize::new(0);
    let options = SessionOptions::new().retry(quick()).tag("lazy");
    pool.automation().evict_idle();
    cluster.stop_fast();
    let (outcome, calls) = thread::scope(|scope| {
        scope.spawn(|| {
            eventually(LONG_BOUND, "it is repeated", || pool.sessions_repeated(Tier::Automation) >= 3);
            cluster.start();
        });
        counted(&pool, &options, |tx, _| {
            begun.fetch_add(1, SeqCst);
            // One that hides the refusal, and one that lets it go.
            let answer = tx.query_one("SELECT 7", &[]).map_err(|_| Opaque)?;
            Ok::<i32, Opaque>(answer.get(0))
        })
    });
    assert_eq!(outcome.unwrap(), 7);
    // What is done before the first statement is not repeated for as long as no connection can be had.
    assert!(calls == 2 && begun.into_inner() == 2, "{calls} calls");

    let guard = pool.get(Tier::Automation).unwrap();
    let (outcome, calls) = thread::scope(|scope| {
        let session = || {
            counted(&pool, &options, |tx, _| {
                let _ = tx.batch_execute("SELECT 1");
                Ok::<_, PgError>(())
            })
        };
        scope.spawn(session).join().unwrap()
    });
    assert!(outcome.unwrap_err().as_checkout().is_some_and(Error::is_timeout));
    assert_eq!(calls, 1, "others have the connections");
    drop(guard);
}

#[test]
fn a_retry_repeats_what_was_done_before_the_first_statement_too() {
    let cluster = cluster();
    let pool = pool(1, cluster.url(), |builder| builder);
    let fetched = AtomicUsize::new(0);
    let options = SessionOptions::new().retry(quick());
    let (outcome, calls) = counted(&pool, &options, |tx, call| {
        assert_eq!(lent(&pool), 0);
        fetched.fetch_add(1, SeqCst);
        match call {
            1 => tx.batch_execute("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"),
            _ => tx.batch_execute("SELECT 1"),
        }
    });
    outcome.unwrap();
    assert_eq!((calls, fetched.into_inner()), (2, 2));
}

fn standby() -> (Cluster, Cluster) {
    let primary = Cluster::builder().replicates().start().unwrap();
    let standby = primary.standby().unwrap();
    standby.catch_up(&primary);
    (primary, standby)
}

#[test]
fn where_begin_is_refused_no_statement_runs_outside_of_a_transaction() {
    let (_primary, standby) = standby();
    let serializable = SessionOptions::new().isolation(IsolationLevel::Serializable).retry(quick());
    let told = |error: &PgError| {
        let begin = error.to_string().starts_with("the transaction could not be begun: ");
        assert!(begin && error.sqlstate() == Some("0A000") && !error.is_retryable(), "{error}");
    };
    for url in [standby.url(), standby.url_unix()] {
        let pool = pool(1, url, |builder| builder);
        let (outcome, calls) = counted(&pool, &serializable, |tx, _| {
            told(&tx.batch_execute("SELECT 1").unwrap_err());
            told(&tx.query_one("SELECT 1", &[]).unwrap_err());
            told(&tx.query_one_cached("SELECT 1", &[]).unwrap_err());
            told(&tx.client().map(drop).unwrap_err());
            Ok::<_, PgError>(())
        });
        told(&outcome.expect_err("nothing of it was done"));
        assert_eq!(calls, 1);
        // Over TCP its BEGIN goes along with the statement.
        let (ignored, calls) = counted(&pool, &serializable, |tx, _| {
            told(&tx.query_one_cached("SELECT 1", &[]).unwrap_err());
            tx.query_one_cached("SELECT 1", &[]).expect_err("there is no transaction");
            Ok::<_, PgError>(())
        });
        told(&ignored.expect_err("nothing of it was done"));
        assert_eq!(calls, 1);
        let last = pool.session_ending_with(Tier::Automation, &serializable, |tx| {
            told(&tx.query_one_cached("SELECT 1", &[]).unwrap_err());
            Ok::<_, PgError>(Ending::Last(Last::query("SELECT 1").map(drop)))
        });
        told(&last.expect_err("nothing of it was done"));
        let (own, calls) =
            counted(&pool, &serializable, |tx, _| tx.batch_execute("SELECT 1").map_err(|_| Opaque));
        assert!(own.is_err() && calls == 1);
        let mut conn = pool.get(Tier::Automation).unwrap();
        told(&run_session(&mut conn, &serializable, |tx| tx.batch_execute("SELECT 1")).unwrap_err());
        // Which is refused within a transaction.
        conn.batch_execute("DISCARD ALL").unwrap();
        drop(conn);
        let stats = pool.automation().stats();
        assert_eq!((stats.opened, stats.closed.total()), (1, 0), "the connection is good");
    }
}

#[test]
fn a_panic_takes_nothing_before_the_first_statement_and_gives_all_back_after_it() {
    let cluster = cluster();
    let pool = pool(1, cluster.url(), |builder| builder);
    let before = checkouts(&pool);
    let panics = |sql: Option<&str>| {
        let work = |tx: &mut Session<'_>| -> Result<(), PgError> {
            sql.map_or(Ok(()), |sql| tx.batch_execute(sql))?;
            resume_unwind(Box::new("as the test wants"))
        };
        catch_unwind(AssertUnwindSafe(|| pool.session(work))).expect_err("the panic comes through");
    };
    panics(None);
    assert_eq!((checkouts(&pool), lent(&pool)), (before, 0));
    panics(Some("CREATE TABLE t (i int)"));
    assert_eq!(checkouts(&pool), before + 1);
    // Rolled back by the pool, on the same connection.
    let is_gone = "SELECT to_regclass('t') IS NULL";
    assert!(one::<bool>(&mut pool.get(Tier::Automation).unwrap(), is_gone));
    let stats = pool.automation().stats();
    assert_eq!((stats.returned_dirty, stats.opened), (1, 1));
}

#[test]
fn the_borrowers_own_limit_is_back_after_a_panic() {
    let cluster = cluster();
    // Long enough for the ROLLBACK too, on a machine under load.
    let limit = 2 * SECOND;
    let manager = manager(&cluster.url(), |options| options.socket_timeout = SocketTimeout::After(limit));
    let mut conn = open(&manager);
    let options = SessionOptions::new().statement_timeout(LONG_BOUND);
    let panics = catch_unwind(AssertUnwindSafe(|| {
        run_session(&mut conn, &options, |tx| -> Result<(), PgError> {
            tx.batch_execute("SELECT pg_sleep(2.3)")?;
            resume_unwind(Box::new("as the test wants"))
        })
    }));
    assert!(panics.is_err());
    conn.batch_execute("ROLLBACK").unwrap();
    let error = conn.batch_execute("SELECT pg_sleep(30)").map_err(PgError::from).unwrap_err();
    assert!(error.is_client_timeout(), "{error}");
}

#[test]
fn sessions_within_each_other_deadlock_only_where_the_outer_one_has_a_connection() {
    let cluster = cluster();
    let pool = pool(1, cluster.url(), |builder| builder.connection_timeout(BOUND));
    let inner = || pool.session(|tx| Ok::<i32, PgError>(tx.query_one("SELECT 7", &[])?.get(0)));
    let outer = pool.session(|tx| {
        let value = inner()?;
        let mine: i32 = tx.query_one("SELECT 1", &[])?.get(0);
        Ok::<_, PgError>(value + mine)
    });
    assert_eq!(outer.unwrap(), 8);
    let outer = pool.session(|tx| {
        tx.batch_execute("SELECT 1")?;
        inner()
    });
    let error = outer.unwrap_err();
    assert!(error.as_checkout().is_some_and(Error::is_would_deadlock), "{error}");
    assert_eq!(inner().unwrap(), 7);
}
