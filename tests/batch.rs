//! The batch runner on a real server: what becomes of every item, and that the numbers add up.
#![cfg(feature = "postgres")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use support::batches::{assert_at_rest, assert_sum, cluster, pool, run_through_an_outage, write, written};
use support::retried::quick;
use support::wait::{LONG_BOUND, eventually};
use tierpool::Tier;
use tierpool::batch::{self, Class, Ended, Options};
use tierpool::postgres::{IsolationLevel, Retry, Session, SessionOptions};

#[test]
fn all_items_are_committed_once_and_the_report_tells() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let returned = AtomicU64::new(0);
    let seen = Arc::new(AtomicU64::new(0));
    let most_seen = Arc::clone(&seen);
    // More workers than connections: they take turns.
    let options = Options::new().workers(12).on_progress(move |progress| {
        assert_eq!(progress.total, Some(300));
        most_seen.fetch_max(progress.committed + progress.failed, Ordering::Relaxed);
    });
    let report = batch::run_with(
        &pool,
        0..300_i64,
        options,
        |tx, &key| write(tx, key).map(|()| 2),
        |_, value| _ = returned.fetch_add(value, Ordering::Relaxed),
    );
    assert_sum(&report, 300);
    assert!(report.is_complete() && matches!(report.ended, Ended::Completed), "{report}");
    assert_eq!(written(&cluster), ((0..300).collect(), 300));
    assert_eq!((returned.into_inner(), seen.load(Ordering::Relaxed)), (600, 300));
    assert!(report.peak_in_use <= 4 && report.peak_waiting > 0, "{report}");
    let stats = pool.automation().stats();
    assert_eq!((stats.items_committed, stats.items_failed), (300, 0));
    let text = report.to_string();
    assert!(text.starts_with("items        300\ncommitted    300\nfailed       0\n"), "{text}");

    // Of an input that does not know its length, and of none.
    let report = batch::run(&pool, (300..400_i64).filter(|key| key % 2 == 0), Options::new(), |tx, &key| {
        write(tx, key)
    });
    assert_sum(&report, 50);
    assert!(matches!(report.ended, Ended::Completed));
    let report = batch::run(&pool, [] as [i64; 0], Options::new(), |tx, &key| write(tx, key));
    assert_sum(&report, 0);
    assert!(report.is_complete() && matches!(report.ended, Ended::Completed));
    assert_eq!(written(&cluster).1, 350);
    assert_at_rest(&pool);
}

#[test]
fn work_that_errs_or_panics_fails_its_own_item_only() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let report = batch::run(&pool, 0..100_i64, Options::new().retry(quick()), |tx, &key| {
        write(tx, key)?;
        match key % 10 {
            1 => Err("not today".into()),
            2 => panic!("item {key}"),
            3 => tx.batch_execute("SELECT 1/0").map_err(Into::into),
            4 => {
                let _ = tx.batch_execute("SELECT 1/0");
                Ok(())
            }
            _ => Ok::<(), Box<dyn std::error::Error + Send + Sync>>(()),
        }
    });
    assert_sum(&report, 100);
    let classes: Vec<_> = report.failed_by_class().into_iter().collect();
    assert_eq!(classes, [(Class::Database, 20), (Class::Work, 10), (Class::Panic, 10)]);
    assert!(matches!(report.ended, Ended::Completed) && report.retried == 0, "{report}");
    for failed in &report.failed {
        assert_eq!(failed.attempts, 1);
        let text = failed.error.to_string();
        match failed.item % 10 {
            1 => assert_eq!(text, "not today"),
            2 => assert_eq!(text, format!("the work panicked: item {}", failed.item)),
            3 => assert_eq!(text, "division by zero (SQLSTATE 22012)"),
            _ => assert!(text.starts_with("nothing was committed"), "{text}"),
        }
    }
    assert_eq!(written(&cluster), ((0..100).filter(|key| !(1..=4).contains(&(key % 10))).collect(), 60));
    // F11: every slot is back, and no connection is in a transaction.
    assert_at_rest(&pool);
    let mut all: Vec<_> = (0..4).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    for conn in &mut all {
        conn.batch_execute("VACUUM done").expect("VACUUM is refused inside a transaction");
    }
}

#[test]
fn a_server_restarted_in_the_middle_loses_and_doubles_nothing() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let begun = AtomicUsize::new(0);
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            eventually(LONG_BOUND, "the batch is under way", || begun.load(Ordering::Relaxed) > 40);
            cluster.restart_fast();
        });
        batch::run(&pool, 0..400_i64, Options::new().retry(quick()), |tx, &key| {
            begun.fetch_add(1, Ordering::Relaxed);
            write(tx, key)?;
            // Long enough that the restart meets work.
            tx.batch_execute("SELECT pg_sleep(0.01)")
        })
    });
    assert_sum(&report, 400);
    assert_eq!(report.not_started, 0, "{report}");
    assert!(report.retried > 0, "the restart met no work: {report}");
    let (keys, rows) = written(&cluster);
    assert_eq!(keys.len(), rows, "an item was done twice: {report}");
    // Whoever was in COMMIT just then is told that nobody knows, and is not done again.
    for failed in &report.failed {
        assert_eq!(failed.class, Class::OutcomeUnknown, "{:?}", failed.error);
    }
    let unknown: BTreeSet<i64> = report.failed.iter().map(|failed| failed.item).collect();
    let missing: Vec<i64> = (0..400).filter(|key| !keys.contains(key) && !unknown.contains(key)).collect();
    assert!(missing.is_empty(), "{missing:?} were reported committed: {report}");
    assert_at_rest(&pool);
}

#[test]
fn a_server_that_does_not_come_back_ends_the_batch_and_a_second_run_completes_it() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let begun = AtomicUsize::new(0);
    let options = || Options::new().retry(quick()).outage(Duration::from_millis(500));
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            eventually(LONG_BOUND, "the batch is under way", || begun.load(Ordering::Relaxed) > 40);
            cluster.kill9();
        });
        batch::run(&pool, 0..1_000_i64, options(), |tx, &key| {
            begun.fetch_add(1, Ordering::Relaxed);
            tx.batch_execute("SELECT pg_sleep(0.005)")?;
            write(tx, key)
        })
    });
    assert_sum(&report, 1_000);
    let Ended::Unusable(why) = &report.ended else { panic!("{report}") };
    assert!(why.to_string().starts_with("the circuit breaker of pool"), "{why}");
    assert!(report.to_string().contains("Connection refused"), "{report}");
    assert!(report.committed > 0 && report.not_started > 0 && report.failed.len() <= 4, "{report}");
    for failed in &report.failed {
        assert!(matches!(failed.class, Class::ConnectionLost | Class::OutcomeUnknown), "{failed:?}");
    }

    cluster.start();
    let (before, _) = written(&cluster);
    let rest = (0..1_000_i64).filter(|key| !before.contains(key));
    let report = batch::run(&pool, rest, options().outage(LONG_BOUND), |tx, &key| write(tx, key));
    assert!(report.is_complete(), "{report}");
    assert_eq!(written(&cluster), ((0..1_000).collect(), 1_000));
}

#[test]
fn a_server_that_is_away_for_a_while_is_waited_for() {
    run_through_an_outage(Options::new());
}

#[test]
fn a_stop_finishes_the_items_under_way_and_starts_no_other() {
    let cluster = cluster();
    // One for each worker: an item that waits for its connection has not been started.
    let pool = pool(&cluster, |builder| builder.min_size(4));
    let stop = Arc::new(AtomicBool::new(false));
    let report = batch::run(&pool, 0..1_000_i64, Options::new().stop(Arc::clone(&stop)), |tx, &key| {
        if key == 50 {
            stop.store(true, Ordering::Relaxed);
        }
        write(tx, key)
    });
    assert_sum(&report, 1_000);
    assert!(matches!(report.ended, Ended::Stopped) && report.failed.is_empty(), "{report}");
    assert!(report.committed > 50 && report.committed <= 50 + 4 && report.not_started > 900, "{report}");
    assert_eq!(written(&cluster).1 as u64, report.committed);

    // Set from the start, with an input without an end: what was not taken cannot be counted.
    let report =
        batch::run(&pool, 0_i64.., Options::new().stop(Arc::clone(&stop)), |tx, &key| write(tx, key));
    assert_sum(&report, 0);
    assert!(matches!(report.ended, Ended::Stopped), "{report}");
    // Set by the last item: everything was done.
    stop.store(false, Ordering::Relaxed);
    let options = Options::new().workers(1).queue(1).stop(Arc::clone(&stop));
    let report = batch::run(&pool, [1_000_i64], options, |tx, &key| {
        stop.store(true, Ordering::Relaxed);
        write(tx, key)
    });
    assert!(report.is_complete() && matches!(report.ended, Ended::Completed), "{report}");
}

#[test]
fn no_more_is_taken_ahead_than_queue_and_workers() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let (taken, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let most = AtomicUsize::new(0);
    for (queue, workers) in [(1, 1), (5, 3)] {
        taken.store(0, Ordering::SeqCst);
        ended.store(0, Ordering::SeqCst);
        most.store(0, Ordering::SeqCst);
        let items = (0..200_i64).inspect(|_| {
            let ahead = taken.fetch_add(1, Ordering::SeqCst) + 1 - ended.load(Ordering::SeqCst);
            most.fetch_max(ahead, Ordering::SeqCst);
        });
        let options = Options::new().queue(queue).workers(workers);
        let report = batch::run(&pool, items, options, |tx, &key| {
            let written = write(tx, key);
            // Before the worker can take another.
            ended.fetch_add(1, Ordering::SeqCst);
            written
        });
        assert_sum(&report, 200);
        let most = most.load(Ordering::SeqCst);
        assert!(most > queue && most <= queue + workers, "{most} with queue {queue}, {workers} workers");
    }
}

#[test]
fn conflicts_between_items_are_tried_again() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let mut client = cluster.client();
    client.batch_execute("CREATE TABLE t (i int, n int); INSERT INTO t VALUES (0, 0), (1, 0)").unwrap();
    let sum = |client: &mut postgres::Client| -> i64 {
        client.query_one("SELECT sum(n) FROM t", &[]).unwrap().get(0)
    };
    // All read and write the same row: some of those that overlap fail with 40001, at a statement or at COMMIT.
    let retry = Retry { attempts: 50, ..quick() };
    let serializable = SessionOptions::new().isolation(IsolationLevel::Serializable);
    let report = batch::run(&pool, 0..40, Options::new().retry(retry).session(serializable), |tx, _| {
        let n: i32 = tx.query_one("SELECT n FROM t WHERE i = 0", &[])?.get(0);
        tx.batch_execute("SELECT pg_sleep(0.002)")?;
        tx.execute("UPDATE t SET n = $1 WHERE i = 0", &[&(n + 1)])
    });
    assert!(report.is_complete() && report.retried > 0, "{report}");
    assert_eq!(sum(&mut client), 40);

    // Two that lock in opposite order; each waits until the other has its first row, once.
    client.batch_execute("UPDATE t SET n = 0").unwrap();
    let have_first = AtomicUsize::new(0);
    let report = batch::run(&pool, [0_i32, 1], Options::new().retry(quick()), |tx, &first| {
        let add = |tx: &mut Session<'_>, i: i32| tx.execute("UPDATE t SET n = n + 1 WHERE i = $1", &[&i]);
        add(tx, first)?;
        have_first.fetch_add(1, Ordering::SeqCst);
        eventually(LONG_BOUND, "both have their first row", || have_first.load(Ordering::SeqCst) >= 2);
        add(tx, 1 - first)
    });
    assert!(report.is_complete() && report.retried == 1, "{report}");
    assert_eq!(sum(&mut client), 4);
}

#[test]
fn an_unknown_outcome_is_tried_again_only_where_that_does_no_harm() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    // The server ends the session while it works on COMMIT: by its own answer, 57P01, it would be worth a retry.
    cluster
        .client()
        .batch_execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;
             CREATE TABLE slow (key bigint);
             CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        .unwrap();
    let kill = |pid: i32| {
        let mut admin = cluster.admin();
        let in_commit =
            "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND query = 'COMMIT' AND state = 'active'";
        eventually(LONG_BOUND, "the session is in COMMIT", || {
            admin.query_one(in_commit, &[&pid]).unwrap().get::<_, i64>(0) == 1
        });
        admin.execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
    };
    for idempotent in [false, true] {
        let attempts = AtomicUsize::new(0);
        let options = Options::new().retry(quick()).session(SessionOptions::new().idempotent(idempotent));
        let report = thread::scope(|scope| {
            batch::run(&pool, [7_i64], options, |tx, &key| {
                if attempts.fetch_add(1, Ordering::SeqCst) == 0 {
                    let pid: i32 = tx.query_one("SELECT pg_backend_pid()", &[])?.get(0);
                    scope.spawn(move || kill(pid));
                    tx.execute("INSERT INTO slow VALUES ($1)", &[&key])?;
                }
                write(tx, key)
            })
        });
        assert_sum(&report, 1);
        if idempotent {
            assert!(report.is_complete() && report.retried == 1, "{report}");
        } else {
            assert_eq!((report.failed[0].class, report.failed[0].attempts), (Class::OutcomeUnknown, 1));
            assert!(report.failed[0].error.to_string().starts_with("outcome unknown"), "{report}");
        }
    }
}

#[test]
fn a_panic_in_a_callback_ends_the_batch_and_not_the_pool() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let panics = |options: Options, done: fn(&i64, ())| {
        let run = || batch::run_with(&pool, 0_i64.., options, |tx, &key| write(tx, key), done);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).expect_err("the panic comes through");
    };
    panics(Options::new().workers(2), |_, ()| panic!("in done"));
    panics(Options::new().workers(2).on_progress(|_| panic!("in progress")), |_, ()| ());
    assert_at_rest(&pool);
    assert!(batch::run(&pool, [1_i64], Options::new(), |tx, &key| write(tx, key)).is_complete());
}
