//! Batches whose items leave their last statement to COMMIT: alone, in groups, and in two stages.
#![cfg(feature = "postgres")]

mod support;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use parking_lot::Mutex;
use support::batches::{assert_at_rest, assert_sum, cluster, copied, fetching, pool, write, written};
use support::proxy::{Direction, Proxy};
use support::retried::{Opaque, quick};
use support::wait::LONG_BOUND;
use tierpool::PgError;
use tierpool::batch::{self, Class, Options};
use tierpool::postgres::{Ending, Last, Retry};

/// By one worker, so that what is in a group is known; full ones, as the input does not keep them waiting.
fn groups_of(most: usize) -> Options {
    Options::new().workers(1).group(most, LONG_BOUND).retry(quick())
}

/// The row of an item, which is borrowed.
fn row(key: &i64) -> Last<'_, u64> {
    Last::execute("INSERT INTO done VALUES ($1)").with(key)
}

/// A value that is no number fails the statement.
fn refused<'a>() -> Last<'a, u64> {
    Last::execute("INSERT INTO done VALUES (1 / $1)").with(0_i64)
}

#[test]
fn each_item_is_committed_with_its_last_statement_and_gives_its_value() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    for (nth, options) in [Options::new(), groups_of(7)].into_iter().enumerate() {
        let first = 100 * nth as i64;
        let done = Mutex::new(BTreeSet::new());
        let report = batch::run_ending(
            &pool,
            first..first + 30,
            options,
            |tx, key| {
                Ok::<_, PgError>(match key % 3 {
                    0 => Ending::Last(row(key).map(move |count| -key * count as i64)),
                    1 => {
                        write(tx, *key)?;
                        Ending::Commit(-key)
                    }
                    // Nothing at all to send.
                    _ => Ending::Commit(-key),
                })
            },
            |&key, value| {
                assert_eq!(value, -key);
                assert!(done.lock().insert(key));
            },
        );
        assert_sum(&report, 30);
        assert!(report.is_complete() && report.retried == 0, "{report}");
        assert_eq!(done.into_inner().len(), 30);
    }
    let expected: BTreeSet<i64> = (0..30).chain(100..130).filter(|key| key % 3 != 2).collect();
    assert_eq!(written(&cluster), (expected.clone(), expected.len()));
    assert_at_rest(&pool);
}

#[test]
fn two_stages_end_alike_and_lend_the_page_to_the_last_statement() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let report = batch::stages_ending(
        &pool,
        0..40_i64,
        fetching().threads(2),
        groups_of(10),
        copied,
        |_, _, page: &i64| Ok::<_, PgError>(row(page).into()),
        |_, count| assert_eq!(count, 1),
    );
    assert_sum(&report, 40);
    assert!(report.is_complete(), "{report}");
    assert_eq!(written(&cluster), ((0..40).collect(), 40));
    assert_at_rest(&pool);
}

#[test]
fn a_last_statement_that_fails_fails_its_item_alone_wherever_it_stands_in_its_group() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    // The first of its group, one in the middle, the last.
    let bad = [0, 14, 29];
    let report = batch::run_ending(
        &pool,
        0..40_i64,
        groups_of(10),
        |_, key| Ok::<_, Opaque>(if bad.contains(key) { refused().into() } else { row(key).into() }),
        |_, count| assert_eq!(count, 1),
    );
    assert_sum(&report, 40);
    let failed: Vec<_> = report.failed.iter().map(|f| (f.item, f.class, f.attempts)).collect();
    assert_eq!(failed, bad.map(|key| (key, Class::Database, 2)), "{report}");
    assert_eq!(written(&cluster), ((0..40).filter(|key| !bad.contains(key)).collect(), 37));
}

#[test]
fn a_last_statement_of_unknown_outcome_is_told_so_and_not_repeated() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let pool = support::pools::pool_of(2, "batch", cluster.url_through(proxy.port()), |builder| builder);
    for options in [Options::new().workers(1), groups_of(3)] {
        let turns = AtomicUsize::new(0);
        let report = batch::run_ending(
            &pool,
            0..3_i64,
            options.retry(Retry { attempts: 3, ..quick() }),
            |_, key| {
                // At the last item's COMMIT.
                if *key == 2 && turns.fetch_add(1, SeqCst) == 0 {
                    proxy.cut_at(Direction::ToClient, b"COMMIT");
                }
                Ok::<_, Opaque>(row(key).into())
            },
            |_, _| {},
        );
        assert_sum(&report, 3);
        assert!(!report.failed.is_empty(), "{report}");
        assert!(report.failed.iter().all(|failed| failed.class == Class::OutcomeUnknown), "{report}");
        assert_eq!(turns.into_inner(), 1);
        // The server had it done.
        assert_eq!(written(&cluster), ((0..3).collect(), 3));
        cluster.client().batch_execute("TRUNCATE done").unwrap();
    }
}

#[test]
fn a_panic_in_what_is_made_of_an_answer_ends_the_batch_and_undoes_nothing() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let batch = || {
        batch::run_ending(
            &pool,
            0..1_i64,
            Options::new(),
            |_, key| Ok::<_, PgError>(Ending::Last(row(key).map(|_| panic!("in map")))),
            |_, ()| {},
        )
    };
    assert!(catch_unwind(AssertUnwindSafe(batch)).is_err());
    assert_eq!(written(&cluster), ([0].into(), 1));
    assert_at_rest(&pool);
}
