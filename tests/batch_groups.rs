//! Groups of items in one transaction on a real server: committed as one, taken apart where that fails.
#![cfg(feature = "postgres")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use support::batches::{assert_at_rest, assert_sum, cluster, pool, run_through_an_outage, write, written};
use support::cluster::Cluster;
use support::pools::pool_of;
use support::retried::quick;
use support::wait::{LONG_BOUND, MS, eventually};
use tierpool::batch::{self, BoxError, Class, Ended, Groups, Options, Report};
use tierpool::postgres::Retry;
use tierpool::{ErrorKind, PgError, Tier};

/// By one worker, so that what is in a group is known; full ones, as the input does not keep them waiting.
fn groups_of(most: usize) -> Options {
    Options::new().workers(1).group(most, LONG_BOUND).retry(quick())
}

fn groups<I>(report: &Report<I>) -> (u64, u64) {
    let Groups { committed, taken_apart, .. } = report.groups.expect("there were groups");
    (committed, taken_apart)
}

/// How many transactions have written what is in the table.
fn transactions(cluster: &Cluster) -> i64 {
    cluster.client().query_one("SELECT count(DISTINCT xmin::text) FROM done", &[]).unwrap().get(0)
}

#[test]
fn a_group_is_one_transaction_and_its_values_are_handed_on_after_its_commit() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let (worked, done) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let outside = Mutex::new(cluster.client());
    let report = batch::run_with(
        &pool,
        0..105_i64,
        groups_of(10),
        |tx, &key| {
            worked.lock().push(key);
            write(tx, key).map(|()| -key)
        },
        |&key, value| {
            let seen = "SELECT count(*) FROM done WHERE key = $1";
            assert_eq!(outside.lock().query_one(seen, &[&key]).unwrap().get::<_, i64>(0), 1);
            assert_eq!(value, -key);
            done.lock().push(key);
        },
    );
    assert_sum(&report, 105);
    assert!(report.is_complete() && report.retried == 0, "{report}");
    assert_eq!(groups(&report), (11, 0));
    assert_eq!(transactions(&cluster), 11);
    let in_order: Vec<i64> = (0..105).collect();
    assert_eq!((worked.into_inner(), done.into_inner()), (in_order.clone(), in_order));
    assert_eq!(written(&cluster).1, 105);
    assert!(report.to_string().contains("\ngroups       11 committed, 0 taken apart\n"), "{report}");

    // With many workers, as many as there happen to be.
    let options = Options::new().group(10, Duration::ZERO);
    let report = batch::run(&pool, 105..400_i64, options, |tx, &key| write(tx, key));
    assert!(report.is_complete(), "{report}");
    assert_eq!(written(&cluster), ((0..400).collect(), 400));
    assert!(batch::run(&pool, [0_i64], Options::new(), |tx, _| tx.batch_execute("")).groups.is_none());
}

#[test]
fn one_that_cannot_be_done_fails_alone() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    // Of each way to fail one, amid its group.
    let done = AtomicUsize::new(0);
    let report = batch::run_with(
        &pool,
        0..60_i64,
        groups_of(10),
        |tx, &key| {
            write(tx, key)?;
            match key {
                4 => Err("not today".into()),
                15 => panic!("item {key}"),
                26 => tx.batch_execute("SELECT 1/0").map_err(Into::into),
                37 => {
                    let _ = tx.batch_execute("SELECT 1/0");
                    Ok(())
                }
                _ => Ok::<(), BoxError>(()),
            }
        },
        |_, ()| _ = done.fetch_add(1, Ordering::Relaxed),
    );
    assert_sum(&report, 60);
    assert_eq!(groups(&report), (2, 4), "{report}");
    let mut failed: Vec<_> = report.failed.iter().map(|f| (f.item, f.class, f.attempts)).collect();
    failed.sort_by_key(|failed| failed.0);
    // Once in the group, once alone.
    let expected =
        [(4, Class::Work, 2), (15, Class::Panic, 2), (26, Class::Database, 2), (37, Class::Database, 2)];
    assert_eq!(failed, expected);
    // Those behind it in its group had no turn there; item 37 failed its group by the item behind it.
    assert_eq!(report.retried, 5 + 6 + 7 + 9, "{report}");
    let kept: BTreeSet<i64> = (0..60).filter(|key| ![4, 15, 26, 37].contains(key)).collect();
    assert_eq!(written(&cluster), (kept, 56));
    assert_eq!(done.into_inner(), 56);
    assert_at_rest(&pool);
}

#[test]
fn one_that_fails_at_commit_fails_alone() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let table =
        "CREATE TABLE late (key bigint UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO late VALUES (13)";
    cluster.client().batch_execute(table).unwrap();
    let report = batch::run(&pool, 10..20_i64, groups_of(10), |tx, &key| {
        write(tx, key)?;
        tx.execute("INSERT INTO late VALUES ($1)", &[&key]).map(drop)
    });
    assert_sum(&report, 10);
    let [failed] = &report.failed[..] else { panic!("{report}") };
    assert_eq!((failed.item, failed.class, failed.attempts), (13, Class::Database, 2));
    assert_eq!((groups(&report), report.retried), ((0, 1), 10));
    assert_eq!(written(&cluster), ((10..20).filter(|key| *key != 13).collect(), 9));
}

#[test]
fn what_passes_is_tried_again_by_each_alone_with_all_its_attempts() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let turns = [const { AtomicUsize::new(0) }; 10];
    let retry = Retry { attempts: 3, ..quick() };
    let report = batch::run(&pool, 0..10_i64, groups_of(10).retry(retry), |tx, &key| {
        write(tx, key)?;
        // Item 5 fails the group and twice alone; item 9, which had no turn there, three times.
        let turn = turns[key as usize].fetch_add(1, Ordering::Relaxed);
        if [5, 9].contains(&key) && turn < 3 {
            tx.batch_execute("DO $$ BEGIN RAISE 'later' USING ERRCODE = '40001'; END $$")?;
        }
        Ok::<_, PgError>(())
    });
    assert_sum(&report, 10);
    let failed: Vec<_> = report.failed.iter().map(|f| (f.item, f.attempts)).collect();
    assert_eq!(failed, [(9, 3)], "{report}");
    assert_eq!(written(&cluster), ((0..9).collect(), 9));
}

#[test]
fn a_group_waits_for_others_no_longer_than_told_and_without_a_connection() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder.min_size(1));
    // The input stands still until those that came before are there.
    let items = (0..6_i64).inspect(|&key| {
        if key == 3 {
            eventually(LONG_BOUND, "the first are committed", || written(&cluster).1 == 3);
        }
    });
    let report = batch::run(&pool, items, groups_of(100).group(100, 20 * MS), |tx, &key| write(tx, key));
    assert!(report.is_complete() && groups(&report).0 >= 2, "{report}");

    let items = (6..9_i64).inspect(|&key| {
        if key == 8 {
            // By now one is with the worker: the other is in its place in the queue.
            assert_eq!(pool.automation().gauges().in_use, 0);
        }
    });
    let report = batch::run(&pool, items, groups_of(100).queue(2), |tx, &key| write(tx, key));
    // The end of the input ends the waiting.
    assert!(report.is_complete() && report.elapsed < LONG_BOUND, "{report}");
    assert_eq!(groups(&report), (1, 0));
    assert_eq!(written(&cluster), ((0..9).collect(), 9));
}

#[test]
fn through_an_outage_a_group_waits_as_an_item_does() {
    let report = run_through_an_outage(groups_of(10).outage(LONG_BOUND));
    assert_eq!(groups(&report), (2, 0));
}

#[test]
fn a_group_without_a_connection_fails_as_one_after_all_its_attempts() {
    let cluster = cluster();
    let pool = pool_of(1, "batch", cluster.url(), |builder| builder.connection_timeout(100 * MS));
    let held = pool.get(Tier::Automation).unwrap();
    let retry = Retry { attempts: 3, ..quick() };
    let report = batch::run(&pool, 0..5_i64, groups_of(5).retry(retry), |tx, &key| write(tx, key));
    drop(held);
    assert_sum(&report, 5);
    assert_eq!((report.failed.len(), groups(&report), report.retried), (5, (0, 0), 10), "{report}");
    for failed in &report.failed {
        assert_eq!((failed.class, failed.attempts), (Class::Checkout, 3));
        let cause = failed.error.source().expect("why").downcast_ref::<PgError>().expect("the pool's");
        assert_eq!(cause.as_checkout().map(tierpool::Error::kind), Some(ErrorKind::Timeout));
    }
    // A pool that does not lend any more has started none.
    pool.close(Duration::ZERO);
    let report = batch::run(&pool, 0..5_i64, groups_of(5), |tx, &key| write(tx, key));
    assert_sum(&report, 5);
    assert!(matches!(report.ended, Ended::Unusable(_)) && report.not_started == 5, "{report}");
    assert_eq!(written(&cluster).1, 0);
}

#[test]
fn a_stop_starts_no_group_and_does_not_take_one_apart() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    // While one gathers.
    let stop = Arc::new(AtomicBool::new(false));
    let items = (0..20_i64).inspect(|&key| stop.store(key == 15, Ordering::Relaxed));
    let options = groups_of(100).stop(Arc::clone(&stop));
    let report = batch::run(&pool, items, options, |tx, &key| write(tx, key));
    assert_sum(&report, 20);
    assert_eq!((report.not_started, written(&cluster).1), (20, 0), "{report}");
    assert!(matches!(report.ended, Ended::Stopped) && report.elapsed < LONG_BOUND, "{report}");
    // While one is under way, that succeeds and that fails.
    for fails in [false, true] {
        stop.store(false, Ordering::Relaxed);
        let report = batch::run(&pool, 0..20_i64, groups_of(10).stop(Arc::clone(&stop)), |tx, &key| {
            write(tx, key)?;
            if key == 5 {
                stop.store(true, Ordering::Relaxed);
            }
            if key == 8 && fails { Err::<_, BoxError>("not today".into()) } else { Ok(()) }
        });
        assert_sum(&report, 20);
        assert_eq!(report.committed, if fails { 0 } else { 10 }, "{report}");
        // The one by which its group failed has failed, by its own error.
        let failed = report.failed.iter().map(|f| (f.item, f.class, f.attempts, f.error.to_string()));
        let expected = fails.then(|| (8, Class::Work, 1, "not today".to_owned()));
        assert_eq!(failed.collect::<Vec<_>>(), Vec::from_iter(expected));
    }
    assert_eq!(written(&cluster).1, 10);
}
