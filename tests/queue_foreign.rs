//! Feeds of the program's own: what they are told, and what a batch makes of those that do not keep to the rules.
#![cfg(feature = "postgres")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use support::batches::write;
use support::pools::pool_of;
use support::proxy::{Direction, Proxy};
use support::queues::{Place, assert_sum, options};
use support::wait::MS;
use tierpool::PgError;
use tierpool::batch::BoxError;
use tierpool::batch::queue::{self, Claimed, Fate, Feed, FeedError, Room};
use tierpool::postgres::SessionOptions;

/// A broker of others: it learns of each item after its COMMIT, and brings more than it was asked for where it is told
/// to.
struct Broker {
    sender: Sender<i64>,
    receiver: Receiver<i64>,
    committed: Mutex<Vec<i64>>,
    failed: Mutex<Vec<(i64, String)>>,
    given_back: Mutex<Vec<i64>>,
    most_asked: AtomicUsize,
    brings_all: bool,
}

impl Broker {
    fn new(items: i64) -> Self {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let (committed, failed, given_back) = Default::default();
        let most_asked = AtomicUsize::new(0);
        let broker =
            Broker { sender, receiver, committed, failed, given_back, most_asked, brings_all: false };
        broker.fill(items);
        broker
    }

    fn fill(&self, items: i64) {
        (0..items).for_each(|item| self.sender.send(item).unwrap());
    }
}

impl Feed for Broker {
    type Item = i64;

    fn claim(&self, room: Room) -> Result<Claimed<i64>, FeedError> {
        self.most_asked.fetch_max(room.items, SeqCst);
        let most = if self.brings_all { usize::MAX } else { room.items };
        let items: Vec<_> = self.receiver.try_iter().take(most).collect();
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
    let place = Place::new();
    let pool = place.pool();
    let broker = Broker::new(40);
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

    broker.fill(40);
    let stop = Arc::new(AtomicBool::new(false));
    let report = queue::run(&pool, &broker, options().workers(1).stop(Arc::clone(&stop)), |_, _| {
        stop.store(true, SeqCst);
        Ok::<_, PgError>(())
    });
    assert_sum(&report);
    assert_eq!((report.committed, report.given_back), (1, broker.given_back.lock().len() as u64), "{report}");
    assert_eq!(broker.receiver.len(), 39);
}

#[test]
fn what_a_feed_brings_beyond_its_room_is_worked_on_and_given_back_at_a_stop() {
    let place = Place::new();
    let pool = place.pool();
    let broker = Broker { brings_all: true, ..Broker::new(100) };
    let report = queue::run(&pool, &broker, options().workers(2), |_, _| Ok::<_, PgError>(()));
    assert_sum(&report);
    assert_eq!(report.committed, 100, "{report}");

    broker.fill(100);
    let stop = Arc::new(AtomicBool::new(false));
    let report = queue::run(&pool, &broker, options().workers(2).stop(Arc::clone(&stop)), |_, _| {
        stop.store(true, SeqCst);
        Ok::<_, PgError>(())
    });
    assert_sum(&report);
    assert!(report.committed <= 4 && report.committed + report.given_back == 100, "{report}");
}

#[test]
fn a_group_without_bound_claims_no_more_than_a_thousand_items_for_each_half_of_a_worker() {
    let place = Place::new();
    let pool = place.pool();
    let broker = Broker::new(10);
    let options = options().workers(2).group(usize::MAX, MS);
    assert_eq!(queue::run(&pool, &broker, options, |_, _| Ok::<_, PgError>(())).committed, 10);
    assert_eq!(broker.most_asked.into_inner(), 4_000);
}

#[test]
fn a_commit_without_an_answer_is_told_to_a_feed_that_cannot_know_unless_the_work_is_idempotent() {
    let place = Place::new();
    let proxy = Proxy::start(place.cluster.port()).unwrap();
    let pool = pool_of(2, "batch", place.url_through(proxy.port()), |builder| builder);
    for (is_idempotent, rows) in [(false, 1), (true, 2)] {
        place.execute("TRUNCATE done");
        let broker = Broker::new(1);
        broker.failed.lock().push((-1, "of before".to_owned()));
        let is_first = AtomicBool::new(true);
        let options = options().workers(1).session(SessionOptions::new().idempotent(is_idempotent));
        let report = queue::run(&pool, &broker, options, |tx, item| {
            write(tx, *item)?;
            if is_first.swap(false, SeqCst) {
                proxy.cut_at(Direction::ToClient, b"COMMIT");
            }
            Ok::<_, PgError>(())
        });
        assert_sum(&report);
        assert_eq!(place.number("SELECT count(*) FROM done"), rows);
        let committed = u64::from(is_idempotent);
        assert_eq!((report.committed, report.dead), (committed, 1 - committed), "{report}");
        let failed = broker.failed.lock();
        let told: Vec<_> =
            failed[1..].iter().map(|(_, error)| error.starts_with("outcome unknown: ")).collect();
        assert_eq!(told, vec![true; 1 - committed as usize], "{failed:?}");
    }
}
