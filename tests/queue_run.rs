//! Batches over a queue that many hosts share: each item takes effect once, and the reports add up.
#![cfg(feature = "postgres")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use support::batches::{assert_at_rest, cluster, hang, pool, written_by};
use support::pools::pool_of;
use support::proxy::{Direction, Proxy};
use support::queues::{Place, assert_once, assert_sum, claims, number, numbers, options, work};
use support::wait::{LONG_BOUND, MS, Over, SECOND, comes_true, eventually};
use tierpool::PgError;
use tierpool::batch::queue::{self, Item};
use tierpool::batch::{BoxError, Ended, Options};
use tierpool::postgres::{Session, SessionOptions};

#[test]
fn each_item_is_committed_once_alone_or_in_a_group_and_the_reports_of_two_add_up() {
    let place = Place::new();
    let pool = place.pool();
    let queue = numbers(&pool, 300);
    let done = Mutex::new(BTreeSet::new());
    let run = |options: Options| {
        let feed = queue.feed(claims()).unwrap();
        let work = |tx: &mut Session<'_>, item: &Item| work(tx, item).map(|()| number(item));
        queue::run_with(&pool, &feed, options, work, |item, value| {
            assert_eq!(value, number(item));
            assert!(done.lock().insert(value));
        })
    };
    let (alone, grouped) = thread::scope(|scope| {
        let alone = scope.spawn(|| run(options().workers(2)));
        let grouped = run(options().workers(1).group(5, 10 * MS));
        (alone.join().unwrap(), grouped)
    });
    for report in [&alone, &grouped] {
        assert_sum(report);
        assert!(matches!(report.ended, Ended::Completed), "{report}");
    }
    assert_eq!(alone.committed + grouped.committed, 300, "{alone}\n{grouped}");
    assert_eq!(done.into_inner().len(), 300);
    place.assert_once(300);
    assert_eq!(queue.stats().unwrap().items(), 0);
    assert_at_rest(&pool);
}

#[test]
fn what_fails_is_put_off_and_dead_in_the_end_and_costs_no_other_item() {
    let place = Place::new();
    let pool = place.pool();
    let queue = numbers(&pool, 30);
    let report = queue
        .run(claims().attempts(2), options(), |tx, item| -> Result<(), BoxError> {
            work(tx, item)?;
            match number(item) {
                3 => Err("no good\nat all".into()),
                4 => panic!("much too bad"),
                5 if item.attempt() == 1 => Err("at first".into()),
                _ => Ok(()),
            }
        })
        .unwrap();
    assert_sum(&report);
    assert_eq!((report.committed, report.put_off, report.dead), (28, 3, 2), "{report}");
    let mut errors: Vec<_> = queue.dead_letters(9).unwrap().into_iter().map(|letter| letter.error).collect();
    errors.sort();
    assert_eq!(errors, ["no good\\nat all", "the work panicked: much too bad"]);
    let (keys, rows) = written_by(&mut place.client());
    assert_eq!((keys.len(), rows, keys.contains(&3), keys.contains(&5)), (28, 28, false, true));
}

#[test]
fn a_stop_finishes_what_was_begun_and_gives_the_rest_back() {
    let place = Place::new();
    let pool = place.pool();
    let queue = numbers(&pool, 50);
    let (stop, gate) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let begun = AtomicUsize::new(0);
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            // In this order: a worker that is let go before the stop begins another item.
            let _ends = (Over(&stop), Over(&gate));
            eventually(LONG_BOUND, "both workers are busy", || begun.load(SeqCst) == 2);
        });
        let options = options().workers(2).stop(Arc::clone(&stop));
        let run = queue.run(claims(), options, |tx, item| {
            work(tx, item)?;
            begun.fetch_add(1, SeqCst);
            hang(&gate);
            Ok::<_, PgError>(())
        });
        run.unwrap()
    });
    assert_sum(&report);
    assert!(matches!(report.ended, Ended::Stopped), "{report}");
    assert!(report.committed >= 2 && report.given_back > 0 && report.left == 0, "{report}");
    let stats = queue.stats().unwrap();
    assert_eq!((stats.leased, stats.ready), (0, 50 - report.committed), "{stats}");
    assert_eq!(place.number("SELECT sum(attempt) FROM jobs"), 0, "what was not begun was no attempt");
}

#[test]
fn work_that_takes_longer_than_its_lease_keeps_its_item() {
    let place = Place::new();
    let pool = place.pool();
    let queue = numbers(&pool, 1);
    let gate = AtomicBool::new(false);
    let lease = claims().lease(3 * SECOND);
    let (claimed, far) = ("SELECT count(owner) FROM jobs", "UPDATE jobs SET due = now() + interval '1 day'");
    let near = "SELECT count(*) FROM jobs WHERE due < now() + interval '1 hour'";
    let (report, is_renewed) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            // Whatever is seen: the worker waits for it.
            let _opens = Over(&gate);
            let is_claimed = comes_true(LONG_BOUND, || place.number(claimed) == 1);
            // A renewal shows by its lease, which is shorter; and until it comes none can end.
            place.execute(far);
            let is_renewed = comes_true(LONG_BOUND, || place.number(near) == 1);
            is_claimed && is_renewed
        });
        let report = queue.run(lease, options().workers(1), |tx, item| {
            hang(&gate);
            work(tx, item)
        });
        (report, watcher.join().unwrap())
    });
    assert!(is_renewed, "its claim was not renewed");
    assert_eq!(report.unwrap().committed, 1);
    place.assert_once(1);
}

#[test]
fn an_item_whose_claim_has_ended_meanwhile_is_rolled_back() {
    let place = Place::new();
    let pool = place.pool();
    let queue = numbers(&pool, 1);
    let report = queue
        .run(claims(), options().workers(1), |tx, item| {
            work(tx, item)?;
            if item.attempt() == 1 {
                // Another host claims it, and dies.
                let other = "UPDATE jobs SET owner = 'other', attempt = 2, due = now()";
                place.execute(other);
            }
            Ok::<_, PgError>(())
        })
        .unwrap();
    assert_sum(&report);
    assert_eq!((report.claimed, report.taken_over, report.committed), (2, 1, 1), "{report}");
    place.assert_once(1);
}

#[test]
fn an_item_that_another_host_has_done_meanwhile_is_counted_there() {
    let place = Place::new();
    for group in [1, 2] {
        let queue = numbers(&place.pool(), 2);
        let options = options().workers(1).group(group, LONG_BOUND);
        let report = queue.run(claims(), options, |tx, item| {
            work(tx, item)?;
            // Another host has claimed all and done it.
            place.execute("DELETE FROM jobs");
            Ok::<_, PgError>(())
        });
        let report = report.unwrap();
        assert_sum(&report);
        assert_eq!((report.taken_over, report.settled, report.committed), (2, 0, 0), "{group}: {report}");
        place.assert_once(0);
    }
}

#[test]
fn work_whose_commit_had_no_answer_takes_effect_once_alone_and_in_a_group() {
    let place = Place::new();
    let proxy = Proxy::start(place.cluster.port()).unwrap();
    let queue = numbers(&place.pool(), 2);
    // Done again in any case: a second time finds nothing to remove.
    let sessions = [true, false].map(|is_idempotent| SessionOptions::new().idempotent(is_idempotent));
    for (direction, is_lost_late) in [(Direction::ToClient, true), (Direction::ToServer, false)] {
        for (group, session) in [1, 2].into_iter().zip(sessions.clone()) {
            let pool = pool_of(2, "batch", place.url_through(proxy.port()), |builder| builder);
            let turns = AtomicUsize::new(0);
            let feed = queue.feed(claims()).unwrap();
            let options = options().workers(1).group(group, LONG_BOUND).session(session);
            let report = queue::run(&pool, &feed, options, |tx, item| {
                work(tx, item)?;
                if turns.fetch_add(1, SeqCst) + 1 == group {
                    proxy.cut_at(direction, b"COMMIT");
                }
                Ok::<_, PgError>(())
            });
            assert_sum(&report);
            let settled = if is_lost_late { group as u64 } else { 0 };
            assert_eq!((report.settled, report.committed), (settled, 2 - settled), "{group}: {report}");
            place.assert_once(2);
            place.execute("TRUNCATE done");
            queue.push_many(["0", "1"]).unwrap();
        }
    }
}

#[test]
fn an_outage_is_waited_for_and_a_queue_that_goes_ends_the_batch() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder.failure_threshold(1));
    let queue = numbers(&pool, 20);
    let is_killed = AtomicBool::new(false);
    let report = queue.run(claims(), options().workers(2), |tx, item| {
        if number(item) == 7 && !is_killed.swap(true, SeqCst) {
            cluster.kill9();
            cluster.start();
        }
        work(tx, item)
    });
    let report = report.unwrap();
    assert_sum(&report);
    assert!(matches!(report.ended, Ended::Completed), "{report}");
    assert_once(&mut cluster.client(), 20);

    cluster.client().batch_execute("DROP TABLE jobs").unwrap();
    let report = queue.run(claims(), options().workers(2), work).unwrap();
    let Ended::Unusable(why) = &report.ended else { panic!("{report}") };
    assert!(why.to_string().contains("there is no queue \"jobs\""), "{why}");
    assert!(queue.run(claims().lease(Duration::ZERO), options(), work).is_err());
}
