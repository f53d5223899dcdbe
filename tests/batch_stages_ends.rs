//! How batches of two stages end: by a stop, without a database, by a panic, and that they add up.
#![cfg(feature = "postgres")]

mod support;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use support::batches::{
    assert_at_rest, assert_let_go, assert_sum, cluster, copied, fetching, hang, holding, pool, stage, write,
    written,
};
use support::retried::quick;
use support::stress;
use support::wait::{BOUND, LONG_BOUND, MS, eventually};
use tierpool::batch::{self, BoxError, Class, Ended, Fetching, Options};
use tierpool::postgres::{Retry, Session};

#[test]
fn a_stop_begins_no_fetch_and_stores_what_is_fetched() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder.min_size(4));
    for group in [1, 7] {
        let before = written(&cluster).1;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let fetch = move |key: &i64| {
            if *key == 50 {
                stopped.store(true, Ordering::Relaxed);
            }
            copied(key)
        };
        let options = Options::new().stop(Arc::clone(&stop)).group(group, LONG_BOUND);
        let report =
            batch::stages(&pool, 0..1_000_i64, fetching(), options, fetch, |tx, _, &page| write(tx, page));
        assert_sum(&report, 1_000);
        assert!(matches!(report.ended, Ended::Stopped) && report.failed.is_empty(), "{report}");
        assert!(report.committed > 50 && report.not_started > 800, "{report}");
        assert_eq!(stage(&report).fetched, report.committed, "{report}");
        assert_eq!((written(&cluster).1 - before) as u64, report.committed);
        assert!(report.elapsed < LONG_BOUND, "{report}");
    }
    // The pause before another attempt ends as well; the item has failed then, by what it had met.
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let fetch = move |_: &i64| {
        stopped.store(true, Ordering::Relaxed);
        Err::<i64, BoxError>("busy".into())
    };
    let late = Retry { first: LONG_BOUND, longest: LONG_BOUND, within: 10 * LONG_BOUND, ..Retry::default() };
    let fetching = fetching().threads(1).retry(late, |_| true);
    let options = Options::new().stop(stop);
    let report = batch::stages(&pool, 0..9_i64, fetching, options, fetch, |tx, _, &page| write(tx, page));
    assert_sum(&report, 9);
    assert_eq!((report.failed.len(), report.not_started), (1, 8), "{report}");
    assert!(report.elapsed < LONG_BOUND, "{report}");
}

#[test]
fn after_a_stop_one_store_without_a_connection_leaves_the_rest() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| {
        // Callers wait for their deadline, and are not told at once.
        builder.connection_timeout(300 * MS).automation(|tier| tier.failure_threshold(0))
    });
    pool.automation().evict_idle();
    cluster.kill9();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let fetch = move |key: &i64| {
        stopped.fetch_or(*key == 10, Ordering::Relaxed);
        copied(key)
    };
    let options = Options::new().workers(1).retry(quick()).stop(stop);
    let fetching = fetching().threads(1).pages(20);
    let report = batch::stages(&pool, 0..1_000_i64, fetching, options, fetch, |tx, _, &page| write(tx, page));
    assert_sum(&report, 1_000);
    assert!(matches!(report.ended, Ended::Stopped) && stage(&report).fetched >= 10, "{report}");
    let failed: Vec<_> = report.failed.iter().map(|failed| (failed.item, failed.class)).collect();
    assert_eq!(failed, [(0, Class::Checkout)], "{report}");
}

#[test]
fn while_the_database_is_away_fetches_go_on_until_the_channel_is_full() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    pool.automation().evict_idle();
    cluster.kill9();
    let fetched = Arc::new(AtomicUsize::new(0));
    let report = thread::scope(|scope| {
        let fetches = Arc::clone(&fetched);
        let server = &cluster;
        scope.spawn(move || {
            // Three with the fetchers, two that wait, one with the store; of the other seven there is no page.
            eventually(LONG_BOUND, "the channel is full", || fetches.load(Ordering::Relaxed) >= 6 + 7);
            server.start();
        });
        let fetches = Arc::clone(&fetched);
        let fetch = move |key: &i64| {
            fetches.fetch_add(1, Ordering::Relaxed);
            assert!(*key >= 7, "while the database is away");
            copied(key)
        };
        let fetching = fetching().threads(3).pages(2);
        let options = Options::new().workers(1).retry(Retry::NEVER).outage(LONG_BOUND);
        batch::stages(&pool, 0..40_i64, fetching, options, fetch, |tx, _, &page| write(tx, page))
    });
    assert_sum(&report, 40);
    assert_eq!(report.failed_by_class().into_iter().collect::<Vec<_>>(), [(Class::Panic, 7)]);
    assert_eq!((report.committed, report.retried), (33, 0), "{report}");
    assert_eq!(fetched.load(Ordering::Relaxed), 40);
}

#[test]
fn a_database_that_stays_away_ends_the_batch_and_a_second_run_completes_it() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    for group in [1, 10] {
        cluster.client().batch_execute("TRUNCATE done").unwrap();
        let (held, begun) = (Arc::new(()), AtomicUsize::new(0));
        let options = || Options::new().retry(quick()).outage(500 * MS).group(group, 20 * MS);
        let report = thread::scope(|scope| {
            scope.spawn(|| {
                eventually(LONG_BOUND, "the batch is under way", || begun.load(Ordering::Relaxed) > 40);
                cluster.kill9();
            });
            batch::stages(
                &pool,
                0..1_000_i64,
                fetching(),
                options(),
                holding(&held, copied),
                |tx, _, &page| {
                    begun.fetch_add(1, Ordering::Relaxed);
                    tx.batch_execute("SELECT pg_sleep(0.005)")?;
                    write(tx, page)
                },
            )
        });
        assert_sum(&report, 1_000);
        assert!(matches!(report.ended, Ended::Unusable(_)), "{report}");
        assert!(report.committed > 0 && report.not_started > 0, "{report}");
        for failed in &report.failed {
            assert!(matches!(failed.class, Class::ConnectionLost | Class::OutcomeUnknown), "{failed:?}");
        }
        assert_let_go(&held);
        cluster.start();
        let (before, rows) = written(&cluster);
        assert_eq!(before.len(), rows);
        let rest = (0..1_000_i64).filter(|key| !before.contains(key));
        let options = options().outage(LONG_BOUND);
        let report = batch::stages(&pool, rest, fetching(), options, copied, |tx, _, &page| write(tx, page));
        assert!(report.is_complete(), "{report}");
        assert_eq!(written(&cluster), ((0..1_000).collect(), 1_000));
    }
}

#[test]
fn a_panic_in_a_callback_or_the_input_comes_through_and_leaves_nothing_behind() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let panics = |items: &mut dyn Iterator<Item = i64>, options: Options, done: fn(&i64, ())| {
        let held = Arc::new(());
        let run = || {
            let fetching = fetching().threads(3).pages(1);
            let fetch = holding(&held, copied);
            let store = |tx: &mut Session<'_>, _: &i64, &page: &i64| {
                tx.batch_execute("SELECT pg_sleep(0.1)")?;
                write(tx, page)
            };
            batch::stages_with(&pool, items, fetching, options, fetch, store, done);
        };
        catch_unwind(AssertUnwindSafe(run)).expect_err("the panic comes through");
        assert_let_go(&held);
        assert_at_rest(&pool);
    };
    panics(&mut (0_i64..), Options::new().workers(2), |_, ()| panic!("in done"));
    panics(&mut (0_i64..), Options::new().on_progress(|_| panic!("in progress")), |_, ()| ());
    let before = written(&cluster).1;
    // All thirty are in the queue long before they can be stored, and most are not started.
    let mut input = (0_i64..).inspect(|&key| assert_ne!(key, 30, "in the input"));
    panics(&mut input, Options::new().workers(1).queue(100), |_, ()| ());
    assert!(written(&cluster).1 - before < 30);
}

/// Panics when it is dropped, the first time.
#[derive(Debug)]
struct Spiteful(Arc<AtomicBool>);

impl Drop for Spiteful {
    fn drop(&mut self) {
        if self.0.swap(false, Ordering::SeqCst) {
            resume_unwind(Box::new("as the test wants"));
        }
    }
}

impl fmt::Display for Spiteful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("spiteful")
    }
}

impl std::error::Error for Spiteful {}

#[test]
fn what_a_fetch_leaves_behind_ends_no_fetch_thread_by_a_panic_of_its_own() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let errs = [0, 1].map(|_| Arc::new(AtomicBool::new(true)));
    let fetch = move |key: &i64| match errs.get(*key as usize) {
        // Its error is gone when it is fetched again.
        Some(armed) if *key == 0 && armed.load(Ordering::SeqCst) => Err(Spiteful(Arc::clone(armed))),
        Some(armed) if *key == 1 => resume_unwind(Box::new(Spiteful(Arc::clone(armed)))),
        _ => Ok(*key),
    };
    let batch = thread::spawn(move || {
        let fetching = Fetching::new().threads(1).retry(quick(), |_: &Spiteful| true);
        batch::stages(&pool, 0..50_i64, fetching, Options::new(), fetch, |tx, _, &page| write(tx, page))
    });
    eventually(LONG_BOUND, "the batch ends", || batch.is_finished());
    let report = batch.join().unwrap();
    assert_sum(&report, 50);
    let failed: Vec<_> = report.failed.iter().map(|failed| (failed.item, failed.class)).collect();
    assert_eq!((report.committed, failed), (49, vec![(1, Class::Panic)]), "{report}");
}

/// What goes wrong in these is drawn at random, at every stage and at once.
#[test]
fn it_adds_up_whatever_happens_at_whichever_stage() {
    let cluster = cluster();
    let mut dice = fastrand::Rng::with_seed(stress::seed());
    for round in 0..24 {
        let pool = pool(&cluster, |builder| builder);
        cluster.client().batch_execute("TRUNCATE done").unwrap();
        let items = dice.i64(0..300);
        let (mut rate, mut coin) = (|| dice.u64(0..8), fastrand::Rng::with_seed(round));
        let (fetch_errs, fetch_panics, store_errs, store_panics) = (rate(), rate(), rate(), rate());
        let hangs = coin.bool();
        let chance = |n: u64, key: i64, salt: u64| (key as u64 * 31 + salt) % 97 < n;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let end_at = coin.i64(0..600);
        let by_stop = coin.bool();
        let gate = Arc::new(AtomicBool::new(false));
        let opened = Arc::clone(&gate);
        let fetch = move |key: &i64| {
            if by_stop && *key == end_at {
                stopped.store(true, Ordering::Relaxed);
            }
            if hangs && chance(1, *key, 5) {
                hang(&opened);
            }
            assert!(!chance(fetch_panics, *key, 17), "in fetch");
            if chance(fetch_errs, *key, 41) { Err::<i64, BoxError>("in fetch".into()) } else { Ok(*key) }
        };
        let held = Arc::new(());
        let fetch = holding(&held, fetch);
        let threads = coin.usize(1..9);
        let fetching = fetching().threads(threads).limit(200 * MS).pages(coin.usize(1..5));
        let fetching = fetching.bytes(1 + coin.usize(0..500), |&page| page as usize % 7);
        let group = coin.usize(1..12);
        let options = Options::new().retry(quick()).stop(stop).group(group, coin.u32(0..30) * MS);
        let done = AtomicUsize::new(0);
        let work = |tx: &mut Session<'_>, key: &i64, page: &i64| {
            if !by_stop && *key == end_at {
                pool.close(Duration::ZERO);
            }
            write(tx, *page)?;
            assert!(!chance(store_panics, *key, 59), "in store");
            if chance(store_errs, *key, 73) { Err::<(), BoxError>("in store".into()) } else { Ok(()) }
        };
        let told = |_: &i64, ()| _ = done.fetch_add(1, Ordering::Relaxed);
        let report = batch::stages_with(&pool, 0..items, fetching, options, fetch, work, told);
        gate.store(true, Ordering::Relaxed);
        assert_sum(&report, items as u64);
        let (keys, rows) = written(&cluster);
        assert_eq!(keys.len(), rows, "an item was stored twice, in round {round}: {report}");
        let unknown = report.failed.iter().filter(|failed| failed.class == Class::OutcomeUnknown).count();
        let sure = report.committed as usize;
        assert!(rows >= sure && rows <= sure + unknown, "{rows} rows in round {round}: {report}");
        assert_eq!(done.into_inner(), sure, "{report}");
        for failed in &report.failed {
            assert!(failed.attempts >= 1 || failed.class == Class::Checkout, "{failed:?}");
        }
        eventually(BOUND, "the fetches have let go of what they had", || Arc::strong_count(&held) == 1);
    }
}
