//! Many items in groups, while sessions are ended at random and the server is killed, again and again: each is there
//! once, and the report adds up.
//!
//! In full, as CI runs it: `TIERPOOL_KILLED_ITEMS=100000 cargo test --all-features --test batch_killed -- --nocapture`.
#![cfg(feature = "postgres")]

mod support;

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread;

use support::batches::{assert_at_rest, assert_sum, cluster, end_one_session, pool, write};
use support::retried::quick;
use support::stress;
use support::wait::{LONG_BOUND, MS, Over};
use tierpool::batch::{self, BoxError, Class, Ended, Fetching, Options};
use tierpool::postgres::Retry;

/// As many as are done within some seconds by a debug build.
const USUAL_ITEMS: usize = 20_000;
const GROUP: usize = 100;
/// Items between two kills of the server.
const BETWEEN_KILLS: usize = 5_000;

fn items() -> usize {
    let given = env::var("TIERPOOL_KILLED_ITEMS").ok();
    given.map_or(USUAL_ITEMS, |text| text.parse().expect("TIERPOOL_KILLED_ITEMS must be a whole number"))
}

#[test]
fn each_item_is_there_once_whatever_is_killed() {
    let items = items();
    let mut dice = fastrand::Rng::with_seed(stress::seed());
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let done: Vec<AtomicU8> = (0..items).map(|_| AtomicU8::new(0)).collect();
    let committed = Arc::new(AtomicUsize::new(0));
    let is_over = AtomicBool::new(false);
    let (mut ended, mut killed) = (0, 0);
    let report = thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                thread::sleep(dice.u32(20..200) * MS);
                if committed.load(Ordering::Relaxed) >= (killed + 1) * BETWEEN_KILLS {
                    cluster.kill9();
                    cluster.start();
                    killed += 1;
                } else {
                    ended += usize::from(end_one_session(&cluster, &mut dice));
                }
            }
        });
        let progress = Arc::clone(&committed);
        let options = Options::new()
            .group(GROUP, 50 * MS)
            .retry(Retry { attempts: 100, ..quick() })
            .outage(LONG_BOUND)
            .on_progress(move |now| _ = progress.fetch_max(now.committed as usize, Ordering::Relaxed));
        batch::stages_with(
            &pool,
            0..items as i64,
            Fetching::new(),
            options,
            |&key| Ok::<_, BoxError>(key),
            |tx, _, &page| write(tx, page),
            |&key, ()| _ = done[key as usize].fetch_add(1, Ordering::Relaxed),
        )
    });
    println!("{report}\n{ended} sessions ended, the server killed {killed} times");
    assert_sum(&report, items as u64);
    assert!(matches!(report.ended, Ended::Completed) && report.not_started == 0, "{report}");
    assert!(killed > 0 && ended > 0, "nothing was killed");
    assert_at_rest(&pool);

    let rows = cluster.client().query("SELECT key, count(*) FROM done GROUP BY key", &[]).unwrap();
    let rows: BTreeMap<i64, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let twice: Vec<_> = rows.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "done twice: {twice:?}");
    let mut unknown = 0;
    for failed in &report.failed {
        assert_eq!(failed.class, Class::OutcomeUnknown, "{failed:?}");
        assert_eq!(done[failed.item as usize].load(Ordering::Relaxed), 0, "told twice: {failed:?}");
        unknown += usize::from(rows.contains_key(&failed.item));
    }
    let told: Vec<usize> = (0..items).filter(|&key| done[key].load(Ordering::Relaxed) == 1).collect();
    let missing: Vec<_> = told.iter().filter(|key| !rows.contains_key(&(**key as i64))).collect();
    assert!(missing.is_empty(), "told to be committed, and not there: {missing:?}");
    assert_eq!(told.len() as u64, report.committed);
    assert_eq!(rows.len(), told.len() + unknown, "somebody else's rows");
    println!("{} of unknown outcome, of which {unknown} are there", report.failed.len());
}
