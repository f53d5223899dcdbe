//! The threads of a pair of tiers, counted; alone in its process, so that all threads are the pool's.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use support::scripted::{Call, Gate, ScriptedManager, Step};
use support::wait::{BOUND, eventually, thread_count, thread_names};
use tierpool::{Tier, TieredPool};

#[test]
fn both_tiers_share_one_keeper_and_the_openers_and_leave_no_thread() {
    let gate = Gate::new();
    let (automation, adhoc) = (ScriptedManager::new(), ScriptedManager::new());
    for manager in [&automation, &adhoc] {
        manager.always(Call::Connect, Step::ok().behind(&gate));
    }
    let before = thread_count();
    let pool = TieredPool::builder()
        .open_concurrency(3)
        .build_unchecked(|tier| if tier == Tier::Adhoc { adhoc.clone() } else { automation.clone() })
        .unwrap();
    let served = AtomicUsize::new(0);
    let (mut most_threads, mut names) = (0, Vec::new());
    thread::scope(|scope| {
        for tier in [Tier::Automation, Tier::Adhoc].repeat(8) {
            let (pool, served) = (&pool, &served);
            scope.spawn(move || {
                let conn = pool.get(tier).unwrap();
                served.fetch_add(1, Ordering::Relaxed);
                conn
            });
        }
        eventually(BOUND, "every opener is at work", || gate.waiting() == 3);
        eventually(BOUND, "all callers wait", || {
            pool.automation().gauges().waiting + pool.adhoc().gauges().waiting == 16
        });
        // Never more: each of the two counts its own.
        assert_eq!((automation.running(Call::Connect), adhoc.running(Call::Connect)), (2, 1));
        // Less the sixteen callers.
        most_threads = thread_count() - 16;
        names = thread_names();
        gate.open();
    });
    assert_eq!(served.into_inner(), 16);
    assert!(automation.most_running(Call::Connect) <= 2 && adhoc.most_running(Call::Connect) == 1);
    assert!(most_threads <= before + 1 + 3, "{most_threads} threads, {before} before: {names:?}");
    assert_eq!(names.iter().filter(|name| name.ends_with("-keeper")).count(), 1, "{names:?}");
    drop(pool);
    eventually(BOUND, "no thread of the pool is left", || thread_count() == before);
}
