//! Batches over a queue that many hosts share: each item takes effect once, and the reports add up.
#![cfg(feature = "postgres")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use support::batches::{assert_at_rest, cluster, hang, pool, write, written};
use support::cluster::Cluster;
use support::pools::pool_of;
use support::proxy::{Direction, Proxy};
use support::retried::quick;
use support::wait::{LONG_BOUND, MS, SECOND, comes_true, eventually};
use tierpool::batch::queue::{self, Claimed, Claims, Fate, Feed, FeedError, Item, Queue, Report, Room};
use tierpool::batch::{BoxError, Ended, Options};
use tierpool::postgres::Session;
use tierpool::{PgError, PgPool};

/// A queue of the numbers below `items`.
fn numbers(pool: &PgPool, items: i64) -> Queue {
    let queue = Queue::create(pool, "jobs").unwrap();
    queue.push_many((0..items).map(|n| n.to_string())).unwrap();
    queue
}

/// Ends when all is done, and waits for nothing that a test need not wait for.
fn claims() -> Claims {
    Claims::new().until_empty(true).backoff(MS, MS).poll(20 * MS)
}

fn options() -> Options {
    Options::new().retry(quick()).outage(LONG_BOUND)
}

fn number(item: &Item) -> i64 {
    item.text().unwrap().parse().unwrap()
}

fn work(tx: &mut Session<'_>, item: &Item) -> Result<(), PgError> {
    write(tx, number(item))
}

#[track_caller]
fn assert_sum(report: &Report) {
    let Report { committed, put_off, dead, taken_over, settled, given_back, left, .. } = report;
    assert_eq!(
        report.claimed,
        committed + put_off + dead + taken_over + settled + given_back + left,
        "{report}"
    );
}

#[track_caller]
fn assert_once(cluster: &Cluster, items: i64) {
    let (keys, rows) = written(cluster);
    assert_eq!(rows, items as usize, "rows of {} keys", keys.len());
    assert_eq!(keys, (0..items).collect());
}

#[test]
fn each_item_is_committed_once_alone_or_in_a_group_and_the_reports_of_two_add_up() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
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
    assert_once(&cluster, 300);
    assert_eq!(queue.stats().unwrap().items(), 0);
    assert_at_rest(&pool);
}

#[test]
fn what_fails_is_put_off_and_dead_in_the_end_and_costs_no_other_item() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
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
    let (keys, rows) = written(&cluster);
    assert_eq!((keys.len(), rows, keys.contains(&3), keys.contains(&5)), (28, 28, false, true));
}

#[test]
fn a_stop_finishes_what_was_begun_and_gives_the_rest_back() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let queue = numbers(&pool, 50);
    let (stop, gate) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let begun = AtomicUsize::new(0);
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            eventually(LONG_BOUND, "both workers are busy", || begun.load(SeqCst) == 2);
            stop.store(true, SeqCst);
            gate.store(true, SeqCst);
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
    let attempts: i64 = cluster.client().query_one("SELECT sum(attempt) FROM jobs", &[]).unwrap().get(0);
    assert_eq!(attempts, 0, "what was not begun was no attempt");
}

#[test]
fn work_that_takes_longer_than_its_lease_keeps_its_item() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let queue = numbers(&pool, 1);
    let gate = AtomicBool::new(false);
    // As long as it takes to see many renewals of one lease.
    let lease = claims().lease(30 * SECOND);
    let renewals = || -> i64 {
        let text = "SELECT count(*) FROM jobs WHERE due > now() + interval '25 s'";
        cluster.client().query_one(text, &[]).unwrap().get(0)
    };
    let (report, is_renewed) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let is_claimed = comes_true(LONG_BOUND, || renewals() == 1);
            // As if time had passed; the next renewal is 10 s after the claim at the latest.
            let sooner = "UPDATE jobs SET due = now() + interval '21 s'";
            cluster.client().batch_execute(sooner).unwrap();
            let is_renewed = comes_true(LONG_BOUND, || renewals() == 1);
            // Whatever was seen: the worker waits for it.
            gate.store(true, SeqCst);
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
    assert_once(&cluster, 1);
}

#[test]
fn an_item_whose_claim_has_ended_meanwhile_is_rolled_back() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let queue = numbers(&pool, 1);
    let report = queue
        .run(claims(), options().workers(1), |tx, item| {
            work(tx, item)?;
            if item.attempt() == 1 {
                // Another host claims it, and dies.
                let other = "UPDATE jobs SET owner = 'other', attempt = 2, due = now()";
                cluster.client().batch_execute(other).unwrap();
            }
            Ok::<_, PgError>(())
        })
        .unwrap();
    assert_sum(&report);
    assert_eq!((report.claimed, report.taken_over, report.committed), (2, 1, 1), "{report}");
    assert_once(&cluster, 1);
}

#[test]
fn work_whose_commit_had_no_answer_takes_effect_once() {
    let cluster = cluster();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let queue = numbers(&pool(&cluster, |builder| builder), 2);
    for (direction, settled) in [(Direction::ToClient, 1), (Direction::ToServer, 0)] {
        let pool = pool_of(2, "batch", cluster.url_through(proxy.port()), |builder| builder);
        let turns = AtomicUsize::new(0);
        let feed = queue.feed(claims()).unwrap();
        let report = queue::run(&pool, &feed, options().workers(1), |tx, item| {
            work(tx, item)?;
            if turns.fetch_add(1, SeqCst) == 0 {
                proxy.cut_at(direction, b"COMMIT");
            }
            Ok::<_, PgError>(())
        });
        assert_sum(&report);
        assert_eq!((report.settled, report.committed + report.settled), (settled, 2), "{report}");
        assert_once(&cluster, 2);
        cluster.client().batch_execute("TRUNCATE done").unwrap();
        queue.push_many(["0", "1"]).unwrap();
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
    assert_once(&cluster, 20);

    cluster.client().batch_execute("DROP TABLE jobs").unwrap();
    let report = queue.run(claims(), options().workers(2), work).unwrap();
    let Ended::Unusable(why) = &report.ended else { panic!("{report}") };
    assert!(why.to_string().contains("there is no queue \"jobs\""), "{why}");
    assert!(queue.run(claims().lease(Duration::ZERO), options(), work).is_err());
}

/// A broker of others: it learns of each item after its COMMIT.
struct Broker {
    sender: Sender<i64>,
    receiver: Receiver<i64>,
    committed: Mutex<Vec<i64>>,
    failed: Mutex<Vec<(i64, String)>>,
    given_back: Mutex<Vec<i64>>,
}

impl Feed for Broker {
    type Item = i64;

    fn claim(&self, room: Room) -> Result<Claimed<i64>, FeedError> {
        let items: Vec<_> = self.receiver.try_iter().take(room.items).collect();
        Ok(if items.is_empty() { Claimed::over() } else { Claimed::new(items) })
    }

    fn committed(&self, item: &i64) {
        self.committed.lock().push(*item);
    }

    fn failed(&self, item: &i64, error: &str) -> Result<Fate, FeedError> {
        let mut failed = self.failed.lock();
        failed.push((*item, error.to_owned()));
        match failed.len() {
            1 => Err(FeedError::passing("the broker is busy")),
            2 => Ok(Fate::Dead),
            _ => Err(FeedError::lasting("the broker has no room")),
        }
    }

    fn give_back(&self, items: &[Arc<i64>]) -> Result<(), FeedError> {
        self.given_back.lock().extend(items.iter().map(|item| **item));
        items.iter().for_each(|item| _ = self.sender.send(**item));
        Ok(())
    }
}

#[test]
fn a_consumer_of_the_programs_own_serves_as_well() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let (sender, receiver) = crossbeam_channel::unbounded();
    (0..40).for_each(|item| sender.send(item).unwrap());
    let (committed, failed, given_back) = Default::default();
    let broker = Broker { sender, receiver, committed, failed, given_back };
    let report = queue::run(&pool, &broker, options().workers(1), |tx, item| match item {
        // Told again where the broker was busy; lost to its lease where it would not hear.
        5 | 6 => Err(BoxError::from("no good")),
        _ => Ok(write(tx, *item)?),
    });
    assert_sum(&report);
    assert_eq!((report.committed, report.dead, report.left), (38, 1, 1), "{report}");
    assert_eq!(broker.committed.lock().len(), 38);
    let failed = broker.failed.lock().clone();
    assert_eq!(failed, [5, 5, 6].map(|item| (item, "no good".to_owned())));

    (0..40).for_each(|item| broker.sender.send(item).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let report = queue::run(&pool, &broker, options().workers(1).stop(Arc::clone(&stop)), |_, _| {
        stop.store(true, SeqCst);
        Ok::<_, PgError>(())
    });
    assert_sum(&report);
    assert_eq!((report.committed, report.given_back), (1, broker.given_back.lock().len() as u64), "{report}");
    assert_eq!(broker.receiver.len(), 39);
}
