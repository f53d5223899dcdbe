//! A batch's items take their connections at their first statements.
#![cfg(feature = "postgres")]

mod support;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use support::cluster::cluster;
use support::pools::{checkouts, pool_of};
use support::retried::quick;
use support::wait::{BOUND, LONG_BOUND, MS, SECOND, eventually};
use tierpool::batch::{self, Class, Ended, Fetching, Options};
use tierpool::postgres::{Ending, Retry, Session};
use tierpool::{PgError, Tier};

#[test]
fn a_batch_holds_nothing_while_its_work_waits_for_something_else() {
    let cluster = cluster();
    let pool = pool_of(1, "lazy", cluster.url(), |builder| builder);
    // All eight are ahead of their first statement at once, on one connection.
    let ahead = AtomicUsize::new(0);
    let report = batch::run(&pool, 0..8, Options::new().workers(8), |tx, item| {
        ahead.fetch_add(1, SeqCst);
        eventually(BOUND, "the others are ahead too", || ahead.load(SeqCst) >= 8);
        tx.execute("SELECT $1::int", &[item])
    });
    assert!(report.is_complete() && report.session.max > Duration::ZERO, "{report}");

    let before = checkouts(&pool);
    let report = batch::run(&pool, 0..8, Options::new(), |_, _| Ok::<_, PgError>(()));
    assert!(report.is_complete() && checkouts(&pool) == before, "{report}");
    assert_eq!((report.wait, report.session), Default::default(), "of sessions without a statement");

    // A panic is the item's own, whatever has been sent.
    let report = batch::run(&pool, 0..8, Options::new(), |tx, item| {
        if item % 2 == 0 {
            tx.batch_execute("SELECT 1")?;
        }
        resume_unwind(Box::new("as the test wants"));
        #[expect(unreachable_code, reason = "for its type")]
        Ok::<(), PgError>(())
    });
    assert_eq!(report.failed_by_class().into_iter().collect::<Vec<_>>(), [(Class::Panic, 8)], "{report}");
}

#[test]
fn a_batch_waits_for_the_server_and_not_by_doing_its_work_again() {
    let cluster = cluster();
    let pool = pool_of(1, "lazy", cluster.url(), |builder| builder);
    let begun = AtomicUsize::new(0);
    let is_back = AtomicBool::new(false);
    pool.automation().evict_idle();
    cluster.stop_fast();
    let work = |tx: &mut Session<'_>, _: &i32| {
        begun.fetch_add(1, SeqCst);
        tx.batch_execute("SELECT 1").map_err(|_| Box::<dyn std::error::Error + Send + Sync>::from("hidden"))
    };
    let report = batch::run(&pool, [1], Options::new().retry(quick()).outage(300 * MS), work);
    let Ended::Unusable(why) = &report.ended else { panic!("{report}") };
    assert!(why.to_string().starts_with("the circuit breaker of pool"), "{why}");
    assert_eq!((report.not_started, begun.swap(0, SeqCst)), (1, 1), "{report}");

    let report = thread::scope(|scope| {
        scope.spawn(|| {
            eventually(LONG_BOUND, "the batch is at it", || begun.load(SeqCst) == 1);
            thread::sleep(SECOND);
            cluster.start();
            is_back.store(true, SeqCst);
        });
        batch::run(&pool, [1], Options::new().retry(quick()).outage(LONG_BOUND), work)
    });
    assert!(report.is_complete() && report.retried == 0 && is_back.load(SeqCst), "{report}");
    assert!(begun.load(SeqCst) <= 3, "{} times", begun.load(SeqCst));
}

#[test]
fn no_attempt_of_an_item_begins_later_than_told_while_others_have_the_connections() {
    let cluster = cluster();
    let pool = pool_of(1, "lazy", cluster.url(), |builder| builder.connection_timeout(4 * LONG_BOUND));
    let begun = AtomicUsize::new(0);
    let retry = Retry { within: SECOND / 2, ..quick() };
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            eventually(LONG_BOUND, "the item is at it", || begun.load(SeqCst) == 1);
            let taken = pool.get(Tier::Automation).unwrap();
            eventually(LONG_BOUND, "the item is begun anew", || begun.load(SeqCst) == 2);
            drop(taken);
        });
        batch::run(&pool, [1], Options::new().retry(retry), |tx, _| {
            let call = begun.fetch_add(1, SeqCst);
            tx.batch_execute("SELECT 1")?;
            if call == 0 {
                eventually(LONG_BOUND, "somebody waits for the connection", || {
                    pool.automation().gauges().waiting == 1
                });
                tx.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())")?;
            }
            Ok::<_, PgError>(())
        })
    });
    assert!(report.is_complete() && report.retried == 1 && begun.into_inner() == 2, "{report}");
}

#[test]
fn a_batch_holds_its_connections_at_the_line_that_runs_it() {
    let cluster = cluster();
    let pool = pool_of(1, "lazy", cluster.url(), |builder| builder);
    let lines = Mutex::new(Vec::new());
    let store = |tx: &mut Session<'_>| {
        tx.batch_execute("SELECT 1")?;
        let held_at = pool.automation().holders()[0].location;
        assert_eq!(held_at.file(), file!());
        lines.lock().push(held_at.line());
        Ok::<_, PgError>(())
    };
    let ending = |tx: &mut Session<'_>| store(tx).map(Ending::Commit);
    let (options, fetching) = (Options::new, Fetching::<i32, PgError>::new);
    let fetch = |item: &i32| Ok(*item);
    let first = line!() + 1;
    assert!(batch::run(&pool, 0..1, options(), |tx, _| store(tx)).is_complete());
    assert!(batch::run_with(&pool, 0..1, options(), |tx, _| store(tx), |_, ()| {}).is_complete());
    assert!(batch::run_ending(&pool, 0..1, options(), |tx, _| ending(tx), |_, ()| {}).is_complete());
    let (to_store, to_end) = (|tx: &mut Session<'_>, _: &i32, _: &i32| store(tx), |_: &i32, ()| {});
    assert!(batch::stages(&pool, 0..1, fetching(), options(), fetch, to_store).is_complete());
    assert!(batch::stages_with(&pool, 0..1, fetching(), options(), fetch, to_store, to_end).is_complete());
    assert!(
        batch::stages_ending(&pool, 0..1, fetching(), options(), fetch, |tx, _, _| ending(tx), to_end)
            .is_complete()
    );
    let lines: Vec<_> = lines.into_inner().into_iter().map(|line| line - first).collect();
    assert_eq!(lines, [0, 1, 2, 4, 5, 7]);
}
