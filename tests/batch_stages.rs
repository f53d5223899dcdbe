//! Batches of two stages on a real server: fetches without a connection, and what becomes of every item.
#![cfg(feature = "postgres")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use log::{Level, LevelFilter};
use support::batches::{
    assert_at_rest, assert_let_go, assert_sum, cluster, copied, fetching, hang, holding, pool, stage, write,
    written,
};
use support::logged;
use support::retried::quick;
use support::wait::{BOUND, LONG_BOUND, MS, Over, SECOND, eventually};
use tierpool::batch::{self, BoxError, Class, Ended, Fetching, Options};
use tierpool::postgres::Retry;

/// Lets go of all fetches in the end.
struct Opened<'a>(&'a [(usize, Arc<AtomicBool>)]);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|(_, gate)| gate.store(true, Ordering::Relaxed));
    }
}

#[test]
fn no_connection_is_out_while_pages_are_fetched_and_each_is_stored_once() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let begun = Arc::new(AtomicUsize::new(0));
    // From which items on no fetch returns until that many have been stored and looked for.
    let stages = [0, 200].map(|first| (first, Arc::new(AtomicBool::new(false))));
    let (held, done) = (Arc::new(()), AtomicUsize::new(0));
    let is_over = AtomicBool::new(false);
    let most_fetched = Arc::new(AtomicUsize::new(0));
    let most = Arc::clone(&most_fetched);
    let options = Options::new().workers(2).on_progress(move |progress| {
        assert_eq!(progress.total, Some(400));
        assert!(progress.fetched >= progress.committed);
        most.fetch_max(progress.fetched as usize, Ordering::Relaxed);
    });
    let report = thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| {
            // Whatever is seen, the fetches come to their end.
            let _opened = Opened(&stages);
            let text = "SELECT count(*) FROM pg_stat_activity
                        WHERE application_name LIKE 'batch%' AND xact_start IS NOT NULL";
            let mut admin = cluster.admin();
            let mut open = || admin.query_one(text, &[]).unwrap().get::<_, i64>(0);
            for (first, seen) in &stages {
                eventually(LONG_BOUND, "all fetchers are at work, and all before is stored", || {
                    // Never more than there are stores, also while both go on.
                    assert!(open() <= 2 && pool.automation().gauges().in_use <= 2);
                    begun.load(Ordering::Relaxed) == first + 16 && done.load(Ordering::Relaxed) == *first
                });
                assert_eq!((open(), pool.automation().gauges().in_use), (0, 0));
                seen.store(true, Ordering::Relaxed);
            }
            while !is_over.load(Ordering::Relaxed) {
                assert!(open() <= 2);
            }
        });
        let (begun, gates) = (Arc::clone(&begun), stages.clone());
        let fetch = move |key: &i64| {
            begun.fetch_add(1, Ordering::Relaxed);
            let (_, gate) = gates.iter().rfind(|(first, _)| *key as usize >= *first).unwrap();
            hang(gate);
            copied(key)
        };
        batch::stages_with(
            &pool,
            0..400_i64,
            fetching().threads(16),
            options,
            holding(&held, fetch),
            |tx, &key, &page| write(tx, page).map(|()| key),
            |&key, value| {
                assert_eq!(key, value);
                done.fetch_add(1, Ordering::Relaxed);
            },
        )
    });
    assert_sum(&report, 400);
    assert!(report.is_complete() && matches!(report.ended, Ended::Completed), "{report}");
    assert_eq!(written(&cluster), ((0..400).collect(), 400));
    assert_eq!((done.into_inner(), begun.load(Ordering::Relaxed)), (400, 400));
    assert_eq!(most_fetched.load(Ordering::Relaxed), 400);
    let fetch = stage(&report);
    assert_eq!((fetch.fetched, fetch.retried, fetch.abandoned, fetch.threads), (400, 0, 0, 16));
    assert!(fetch.peak_pages >= 1 && fetch.peak_pages <= 4, "{report}");
    assert!(
        report.to_string().contains("\nfetched      400 by 16 threads, 0 retried, 0 abandoned\n"),
        "{report}"
    );
    assert_at_rest(&pool);
    assert_let_go(&held);
}

#[test]
fn what_was_fetched_is_kept_for_every_attempt_at_storing_it() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    for group in [1, 10] {
        let (fetches, stores) = (Arc::new(AtomicUsize::new(0)), [const { AtomicUsize::new(0) }; 30]);
        let fetched = Arc::clone(&fetches);
        let fetch = move |key: &i64| {
            fetched.fetch_add(1, Ordering::Relaxed);
            copied(key)
        };
        let options = Options::new().retry(quick()).group(group, 5 * MS);
        let report = batch::stages(&pool, 0..30_i64, fetching(), options, fetch, |tx, _, &page| {
            if stores[page as usize].fetch_add(1, Ordering::Relaxed) < 2 {
                tx.batch_execute("DO $$ BEGIN RAISE 'later' USING ERRCODE = '40001'; END $$")?;
            }
            write(tx, page)
        });
        assert!(report.is_complete() && report.retried > 0, "{report}");
        assert_eq!(fetches.load(Ordering::Relaxed), 30);
    }
    assert_eq!(written(&cluster), ((0..30).collect(), 60));
}

#[test]
fn a_fetch_that_errs_or_panics_fails_its_own_item_only() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let tries = Arc::new(AtomicUsize::new(0));
    let tried = Arc::clone(&tries);
    let fetch = move |key: &i64| match key % 10 {
        1 => Err("gone".to_owned()),
        2 => Err("busy".to_owned()),
        3 => panic!("item {key}"),
        4 if tried.fetch_add(1, Ordering::Relaxed) < 2 => Err("busy".to_owned()),
        _ => Ok(*key),
    };
    let retry = Retry { attempts: 3, ..quick() };
    let fetching = Fetching::new().retry(retry, |error: &String| error == "busy").bytes(1_000, |page| {
        assert_ne!(page % 10, 5, "no size");
        if page % 10 == 6 { 1_001 } else { 100 }
    });
    let report = batch::stages(&pool, 0..20_i64, fetching, Options::new(), fetch, |tx, key, &page| {
        assert_ne!(key % 10, 7, "in store");
        write(tx, page)
    });
    assert_sum(&report, 20);
    let classes: Vec<_> = report.failed_by_class().into_iter().collect();
    assert_eq!(classes, [(Class::Fetch, 6), (Class::Panic, 6)]);
    for failed in &report.failed {
        let text = failed.error.to_string();
        let (expected, attempts) = match failed.item % 10 {
            1 => ("gone".to_owned(), 1),
            2 => ("busy".to_owned(), 3),
            3 => (format!("the fetch panicked: item {}", failed.item), 1),
            6 => ("the page takes 1001 bytes, more than the 1000 that all pages may take".to_owned(), 1),
            5 => {
                assert!(text.starts_with("the fetch panicked: ") && text.contains("no size"), "{text}");
                continue;
            }
            _ => {
                assert!(text.starts_with("the store panicked: ") && text.contains("in store"), "{text}");
                continue;
            }
        };
        assert_eq!((text, failed.attempts), (expected, attempts));
    }
    // Twice two for those that stay busy, and two in all for those that do not.
    assert_eq!((stage(&report).retried, report.retried), (6, 0), "{report}");
    let kept = |key: &i64| [0, 4, 8, 9].contains(&(key % 10));
    assert_eq!(written(&cluster), ((0..20).filter(kept).collect(), 8));
    assert_at_rest(&pool);
}

#[test]
fn a_fetch_beyond_its_limit_fails_its_item_and_leaves_its_place_to_another() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let gate = Arc::new(AtomicBool::new(false));
    let held = Arc::new(());
    let opened = Arc::clone(&gate);
    let fetch = holding(&held, move |key: &i64| {
        if *key == 3 {
            hang(&opened);
        }
        copied(key)
    });
    // No other is kept from returning for as long, also on a machine under load.
    let fetching = fetching().threads(1).limit(4 * SECOND);
    let report =
        batch::stages(&pool, 0..20_i64, fetching, Options::new(), fetch, |tx, _, &page| write(tx, page));
    assert_sum(&report, 20);
    assert!(matches!(report.ended, Ended::Completed), "{report}");
    let [failed] = &report.failed[..] else { panic!("{report}") };
    assert_eq!((failed.item, failed.class, failed.attempts), (3, Class::FetchTimeout, 1));
    assert_eq!(failed.error.to_string(), "the fetch did not end within 4.0 s");
    assert_eq!(stage(&report).abandoned, 1);
    // Its thread has the fetch until that returns, and nothing of the pool.
    assert_eq!(Arc::strong_count(&held), 2);
    pool.close(Duration::ZERO);
    gate.store(true, Ordering::Relaxed);
    eventually(BOUND, "the fetch has let go of what it had", || Arc::strong_count(&held) == 1);
    assert_eq!(written(&cluster).1, 19);
}

#[test]
fn more_fetches_beyond_their_limit_than_threads_end_the_batch() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let gate = Arc::new(AtomicBool::new(false));
    let (held, opened) = (Arc::new(()), Arc::clone(&gate));
    let fetch = holding(&held, move |key: &i64| {
        if *key >= 10 {
            hang(&opened);
        }
        copied(key)
    });
    let fetching = fetching().threads(2).limit(SECOND);
    let report =
        batch::stages(&pool, 0..1_000_i64, fetching, Options::new(), fetch, |tx, _, &page| write(tx, page));
    gate.store(true, Ordering::Relaxed);
    assert_sum(&report, 1_000);
    let Ended::Unusable(why) = &report.ended else { panic!("{report}") };
    let text = why.to_string();
    assert!(
        text.contains(" fetches go on beyond their limit of 1.0 s, and no more threads than 2 "),
        "{text}"
    );
    // Two were left, and then one that stood in a place of theirs, or both: whichever they were.
    let abandoned = stage(&report).abandoned;
    assert!((3..=4).contains(&abandoned), "{report}");
    assert_eq!(report.failed_by_class().into_iter().collect::<Vec<_>>(), [(Class::FetchTimeout, abandoned)]);
    assert_eq!(written(&cluster).1 as u64, report.committed);
    eventually(BOUND, "the fetches have let go of what they had", || Arc::strong_count(&held) == 1);
}

/// A page that knows how many there are.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn no_more_pages_are_there_than_may_wait_by_number_and_by_bytes() {
    const EACH: usize = 400;
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let live = Arc::new(AtomicUsize::new(0));
    let made = Arc::clone(&live);
    let fetch = move |_: &i64| {
        made.fetch_add(1, Ordering::SeqCst);
        Ok::<_, BoxError>(Counted(Arc::clone(&made)))
    };
    for (bytes, pages, group, most, most_waiting) in [
        // By number: six threads have one each, three wait, and two are in store.
        (usize::MAX, 3, 1, 6 + 3 + 2, 3),
        // By bytes: two in all, and those of the threads.
        (2 * EACH + 100, 50, 1, 6 + 2, 2),
        // A group does not wait for pages that it keeps out itself.
        (2 * EACH + 100, 50, 10, 6 + 2, 2),
    ] {
        let fetching = Fetching::new().threads(6).pages(pages).bytes(bytes, |_: &Counted| EACH);
        let options = Options::new().workers(2).group(group, LONG_BOUND);
        let seen = AtomicUsize::new(0);
        let report = batch::stages(&pool, 0..60_i64, fetching, options, fetch.clone(), |tx, &key, _| {
            seen.fetch_max(live.load(Ordering::SeqCst), Ordering::SeqCst);
            write(tx, key)
        });
        assert!(report.is_complete() && report.elapsed < LONG_BOUND, "{report}");
        let fetch = stage(&report);
        assert!(fetch.peak_pages <= most_waiting && seen.into_inner() <= most, "{report}");
        assert!(fetch.peak_bytes <= bytes && fetch.peak_bytes >= EACH, "{report}");
        assert_eq!(live.load(Ordering::SeqCst), 0, "a page is still there");
    }
    assert_eq!(written(&cluster).1, 180);
}

#[test]
fn zeros_count_as_one_and_are_told() {
    logged::capture(LevelFilter::Warn);
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let options = Options::new().workers(0).queue(0).group(0, SECOND);
    let fetching = fetching().threads(0).pages(0).bytes(0, |&page| usize::from(page == 3));
    let report = batch::stages(&pool, 0..10_i64, fetching, options, copied, |tx, _, &page| write(tx, page));
    assert_sum(&report, 10);
    assert_eq!((report.committed, stage(&report).threads), (9, 1), "{report}");
    let text = report.failed[0].error.to_string();
    assert_eq!(text, "the page takes 1 bytes, more than the 0 that all pages may take");
    let told: Vec<_> = logged::at("tierpool::batch");
    for setting in
        ["Options::workers", "Options::queue", "Options::group", "Fetching::threads", "Fetching::pages"]
    {
        let line = (Level::Warn, format!("{setting}: 0 counts as 1"));
        assert!(told.contains(&line), "{setting}: {told:?}");
    }
    assert!(told.iter().any(|(_, text)| text.starts_with("Fetching::bytes: within 0 ")), "{told:?}");
}

#[test]
fn whichever_stage_keeps_the_other_waiting_is_told() {
    logged::capture(LevelFilter::Warn);
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let run = |fetching: Fetching<i64, BoxError>, fetching_time: u32, sleep: &str, threads: usize| {
        let options = Options::new().workers(2);
        let fetch = move |key: &i64| {
            thread::sleep(fetching_time * MS);
            copied(key)
        };
        let sleep = format!("SELECT pg_sleep({sleep})");
        batch::stages(&pool, 0..60_i64, fetching.threads(threads), options, fetch, |tx, _, &page| {
            tx.batch_execute(&sleep)?;
            write(tx, page)
        })
    };
    // Two pages in store take all of it, while there is room for more by number.
    let of_two_bytes = fetching().pages(8).bytes(2, |_| 1);
    for (report, begins, names) in [
        (run(fetching(), 1, "0.1", 8), "fetchers waited ", "more workers"),
        (run(fetching(), 60, "0", 2), "stores waited ", "Fetching::threads"),
        (run(of_two_bytes, 1, "0.1", 8), "fetchers waited ", "within 2 bytes"),
    ] {
        let [advice] = &report.advice[..] else { panic!("{report}") };
        assert!(advice.starts_with(begins) && advice.contains(names), "{advice}");
        assert!(report.to_string().contains(&format!("\nnote         {begins}")), "{report}");
        assert!(logged::at("tierpool::batch").contains(&(Level::Warn, advice.clone())));
    }
}

#[test]
fn a_fetch_that_ends_after_its_limit_leaves_no_thread_to_count() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let given_up = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&given_up);
    let options = Options::new().on_progress(move |progress| {
        told.store(usize::try_from(progress.failed).unwrap(), Ordering::Relaxed);
    });
    // Each ends as soon as it has been given up: one after the other, as there is one thread.
    let fetch = move |key: &i64| {
        while given_up.load(Ordering::Relaxed) <= usize::try_from(*key).unwrap() {
            thread::sleep(MS);
        }
        copied(key)
    };
    let fetching = fetching().threads(1).limit(SECOND);
    let report = batch::stages(&pool, 0..4_i64, fetching, options, fetch, |tx, _, &page| write(tx, page));
    assert!(matches!(report.ended, Ended::Completed), "{report}");
    assert_eq!((report.failed.len(), stage(&report).abandoned), (4, 4), "{report}");
}

#[test]
fn numbers_beyond_reason_are_told_and_cut() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let options = Options::new().workers(usize::MAX).queue(usize::MAX).group(usize::MAX, Duration::ZERO);
    let text = format!("{options:?}");
    assert!(text.contains("workers: Some(4096)") && text.contains("queue: Some(1048576)"), "{text}");
    let report = batch::run(&pool, 0..10_i64, options.workers(2), |tx, &key| write(tx, key));
    assert_eq!(report.committed, 10, "{report}");
}
