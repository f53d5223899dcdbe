//! What the tests of queues share: a database of one's own, a queue of numbers, and what adds up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use postgres::{Client, NoTls};
use tierpool::batch::Options;
use tierpool::batch::queue::{Claims, Item, Queue, Report};
use tierpool::postgres::Session;
use tierpool::{PgError, PgPool};

use super::batches::{self, write, written_by};
use super::cluster::{APP_PASSWORD, Cluster};
use super::pools::pool_of;
use super::retried::quick;
use super::wait::{LONG_BOUND, MS};

/// A database of a test's own, with the table `done`. Tests that run at the same time have one server for theirs, which
/// goes with the last of them.
pub struct Place {
    pub cluster: Arc<Cluster>,
    database: String,
}

/// Locked while a server starts, so that whoever comes meanwhile gets that one.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
static PLACES: AtomicU64 = AtomicU64::new(0);

impl Place {
    pub fn new() -> Self {
        let mut shared = SHARED.lock();
        let cluster = shared.upgrade().unwrap_or_else(|| Arc::new(batches::cluster()));
        *shared = Arc::downgrade(&cluster);
        drop(shared);
        let database = format!("place_{}", PLACES.fetch_add(1, Ordering::Relaxed));
        cluster.admin().batch_execute(&format!("CREATE DATABASE {database} OWNER app")).unwrap();
        let place = Place { cluster, database };
        place.execute(batches::TABLE);
        place
    }

    /// The database.
    pub fn name(&self) -> &str {
        &self.database
    }

    pub fn url(&self) -> String {
        self.url_through(self.cluster.port())
    }

    pub fn url_through(&self, port: u16) -> String {
        format!("postgresql://app:{APP_PASSWORD}@127.0.0.1:{port}/{}", self.database)
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        self.cluster.config().dbname(&self.database).connect(NoTls).unwrap()
    }

    #[track_caller]
    pub fn execute(&self, statements: &str) {
        self.client().batch_execute(statements).unwrap();
    }

    /// The one value that a query returns.
    #[track_caller]
    pub fn number(&self, query: &str) -> i64 {
        self.client().query_one(query, &[]).unwrap().get(0)
    }

    pub fn pool(&self) -> PgPool {
        pool_of(4, "batch", self.url(), |builder| builder)
    }

    #[track_caller]
    pub fn assert_once(&self, items: i64) {
        assert_once(&mut self.client(), items);
    }
}

/// Whether each number below `items` was written once.
#[track_caller]
pub fn assert_once(client: &mut Client, items: i64) {
    let (keys, rows) = written_by(client);
    assert_eq!(rows, items as usize, "rows of {} keys", keys.len());
    assert_eq!(keys, (0..items).collect());
}

/// A queue of the numbers below `items`.
pub fn numbers(pool: &PgPool, items: i64) -> Queue {
    let queue = Queue::create(pool, "jobs").unwrap();
    queue.push_many((0..items).map(|n| n.to_string())).unwrap();
    queue
}

/// Ends when all is done, and waits for nothing that a test need not wait for.
pub fn claims() -> Claims {
    Claims::new().until_empty(true).backoff(MS, MS).poll(20 * MS)
}

pub fn options() -> Options {
    Options::new().retry(quick()).outage(LONG_BOUND)
}

pub fn number(item: &Item) -> i64 {
    item.text().unwrap().parse().unwrap()
}

pub fn work(tx: &mut Session<'_>, item: &Item) -> Result<(), PgError> {
    write(tx, number(item))
}

#[track_caller]
pub fn assert_sum(report: &Report) {
    let Report { committed, put_off, dead, taken_over, settled, given_back, left, .. } = report;
    assert_eq!(
        report.claimed,
        committed + put_off + dead + taken_over + settled + given_back + left,
        "{report}"
    );
}
