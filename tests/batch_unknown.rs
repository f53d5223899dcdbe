//! Items of which nobody knows whether their COMMIT took effect, on a real server: told as such, and repeated only
//! where that does no harm.
#![cfg(feature = "postgres")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use support::batches::{assert_sum, cluster, write, written};
use support::cluster::Cluster;
use support::pools::pool_of;
use support::proxy::{Admission, Direction, Proxy};
use support::retried::{Opaque, quick};
use support::wait::{LONG_BOUND, MS, SECOND, eventually};
use tierpool::batch::{self, BoxError, Class, Ended, Groups, Options, Report};
use tierpool::postgres::{Retry, Session, SessionOptions};
use tierpool::{PgError, PgPool, Tier};

/// By one worker, so that what is in a group is known; full ones, as the input does not keep them waiting.
fn groups_of(most: usize) -> Options {
    Options::new().workers(1).group(most, LONG_BOUND).retry(quick())
}

fn groups<I>(report: &Report<I>) -> (u64, u64) {
    report.groups.map_or((0, 0), |Groups { committed, taken_apart, .. }| (committed, taken_apart))
}

/// Loses the first COMMIT or its answer, and returns what became of five items and how many were told.
fn cut_at_commit<E: From<PgError> + Into<BoxError>>(
    (cluster, proxy, pool): (&Cluster, &Proxy, &PgPool),
    direction: Direction,
    options: Options,
) -> (Report<i64>, usize) {
    cluster.client().batch_execute("TRUNCATE done").unwrap();
    let done = AtomicUsize::new(0);
    let is_first = AtomicBool::new(true);
    let work = |tx: &mut Session<'_>, &key: &i64| {
        write(tx, key)?;
        if key == 4 && is_first.swap(false, Ordering::Relaxed) {
            proxy.cut_at(direction, b"COMMIT");
        }
        Ok::<_, E>(())
    };
    let told = |_: &i64, ()| _ = done.fetch_add(1, Ordering::Relaxed);
    let report = batch::run_with(pool, 0..5_i64, options, work, told);
    assert_sum(&report, 5);
    (report, done.into_inner())
}

#[test]
fn a_commit_of_unknown_outcome_is_repeated_only_where_that_does_no_harm() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool_of(1, "batch", cluster.url_through(proxy.port()), |builder| builder);
    let rig = (&cluster, &proxy, &pool);
    for (direction, rows_by_cut) in [(Direction::ToClient, 5), (Direction::ToServer, 0)] {
        // Whatever the type of the work's errors keeps of the pool's.
        for is_opaque in [false, true] {
            let run = if is_opaque { cut_at_commit::<Opaque> } else { cut_at_commit::<PgError> };
            let options = |idempotent| groups_of(5).session(SessionOptions::new().idempotent(idempotent));
            let (report, done) = run(rig, direction, options(true));
            assert!(report.is_complete() && report.retried == 5, "{direction:?}: {report}");
            assert_eq!((groups(&report), done), ((0, 1), 5));
            assert_eq!(written(&cluster).1, rows_by_cut + 5);

            let (report, done) = run(rig, direction, options(false));
            assert_eq!((report.failed.len(), groups(&report), done), (5, (0, 0), 0), "{report}");
            assert_eq!(written(&cluster).1, rows_by_cut);
            for failed in &report.failed {
                assert_eq!((failed.class, failed.attempts), (Class::OutcomeUnknown, 1));
                assert_eq!(failed.error.to_string(), "a group of 5 items failed as one");
                let cause = failed.error.source().expect("why");
                let is_told = cause.downcast_ref().is_some_and(PgError::is_outcome_unknown);
                assert!(is_told || is_opaque && cause.is::<Opaque>(), "{failed:?}");
            }
            assert!(report.to_string().contains("\n  outcome unknown    5, such as: "), "{report}");

            // An item of its own, the last.
            let (report, done) = run(rig, direction, Options::new().workers(1).retry(quick()));
            let failed: Vec<_> = report.failed.iter().map(|f| (f.item, f.class, f.attempts)).collect();
            assert_eq!((failed, done), (vec![(4, Class::OutcomeUnknown, 1)], 4), "{report}");
        }
    }
}

#[test]
fn what_the_session_itself_has_met_is_told_by_its_class_whatever_the_type_of_the_error() {
    let cluster = cluster();
    let pool = pool_of(1, "batch", cluster.url(), |builder| builder);
    let late =
        "CREATE TABLE late (key bigint UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO late VALUES (0)";
    cluster.client().batch_execute(late).unwrap();
    let options = Options::new().workers(1).retry(Retry::NEVER);
    let report = batch::run(&pool, 0..3_i64, options, |tx, &key| {
        match key {
            // Found out by COMMIT; hidden by the work, and so told by COMMIT; and one lost with nobody looking.
            0 => tx.batch_execute("INSERT INTO late VALUES (0)")?,
            1 => _ = tx.batch_execute("SELECT 1/0"),
            _ => _ = tx.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())"),
        }
        Ok::<_, Opaque>(())
    });
    assert_sum(&report, 3);
    let failed: Vec<_> = report.failed.iter().map(|f| (f.item, f.class)).collect();
    assert_eq!(failed, [(0, Class::Database), (1, Class::Database), (2, Class::ConnectionLost)]);
}

#[test]
fn what_may_have_been_done_is_not_called_not_started() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = pool_of(1, "batch", cluster.url_through(proxy.port()), |builder| builder);
    let session = SessionOptions::new().idempotent(true);
    let options = groups_of(3).session(session).outage(300 * MS);
    let begun = AtomicUsize::new(0);
    let report = batch::run(&pool, 0..6_i64, options, |tx, &key| {
        begun.fetch_add(1, Ordering::Relaxed);
        write(tx, key)?;
        if key == 2 {
            // The answer is lost, and nobody is there to ask again.
            proxy.admit(Admission::Refuse);
            proxy.cut_at(Direction::ToClient, b"COMMIT");
        }
        Ok::<_, PgError>(())
    });
    assert_sum(&report, 6);
    assert!(matches!(report.ended, Ended::Unusable(_)), "{report}");
    assert_eq!((report.committed, report.not_started), (0, 3), "{report}");
    let failed: Vec<_> = report.failed.iter().map(|f| (f.item, f.class)).collect();
    assert_eq!(failed, [0, 1, 2].map(|item| (item, Class::OutcomeUnknown)));
    // The first of them has found out that there is no database; the others are not begun in vain.
    assert_eq!(begun.into_inner(), 3 + 1);
    assert_eq!(written(&cluster), ((0..3).collect(), 3));
}

#[test]
fn a_refused_connection_does_not_hide_that_a_commit_may_have_taken_effect() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let url = cluster.url_through(proxy.port());
    let pool = pool_of(1, "batch", url, |builder| builder.connection_timeout(SECOND).min_size(1));
    eventually(LONG_BOUND, "the connection is open", || pool.get(Tier::Automation).is_ok());
    let idempotent = SessionOptions::new().idempotent(true);
    let retry = Retry { attempts: 3, ..quick() };
    // Has somebody else take the only connection as soon as the one that is cut is gone, and keep it.
    let taken_after = |run: &dyn Fn(&(dyn Fn() + Sync))| {
        let (sender, receiver) = mpsc::channel::<()>();
        let lets_go = AtomicBool::new(false);
        thread::scope(|scope| {
            let (pool, lets_go) = (&pool, &lets_go);
            scope.spawn(move || {
                receiver.recv_timeout(LONG_BOUND).unwrap();
                let taken = std::iter::repeat_with(|| pool.get(Tier::Automation)).find_map(Result::ok);
                eventually(LONG_BOUND, "the session has ended", || lets_go.load(Ordering::Relaxed));
                drop(taken);
            });
            run(&|| {
                sender.send(()).unwrap();
                eventually(LONG_BOUND, "somebody waits for the connection", || {
                    pool.automation().gauges().waiting == 1
                });
                proxy.cut_at(Direction::ToClient, b"COMMIT");
            });
            lets_go.store(true, Ordering::Relaxed);
        });
    };
    taken_after(&|cut| {
        let options = Options::new().workers(1).session(idempotent.clone()).retry(retry);
        let report = batch::run(&pool, [1_i64], options, |tx, &key| {
            write(tx, key)?;
            cut();
            Ok::<_, PgError>(())
        });
        let [failed] = &report.failed[..] else { panic!("{report}") };
        assert!(failed.class == Class::OutcomeUnknown && failed.attempts > 1, "{failed:?}");
        assert!(failed.error.downcast_ref().is_some_and(PgError::is_outcome_unknown), "{failed:?}");
    });
    taken_after(&|cut| {
        let options = idempotent.clone().retry(retry);
        let outcome = pool.session_with(Tier::Automation, &options, |tx| {
            write(tx, 2)?;
            cut();
            Ok::<_, PgError>(())
        });
        let error = outcome.expect_err("its connection is somebody else's");
        assert!(error.is_outcome_unknown(), "{error}");
    });
    assert_eq!(written(&cluster), ((1..3).collect(), 2));
}
