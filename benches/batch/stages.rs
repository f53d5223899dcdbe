//! Work that waits for somebody else before it stores: in two stages, and with a connection held meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::NoTls;
use r2d2_postgres::PostgresConnectionManager;
use tierpool::batch::{self, Fetching, Options};
use tierpool::{PgBuilder, PgError};

use super::common::mode::Mode;
use super::common::rounds::Rounds;
use super::common::table::{Bound, Row, Table};
use super::support::cluster::Cluster;

const FETCHERS: usize = 64;
const CONNECTIONS: u32 = 7;
const FETCH: Duration = Duration::from_millis(50);
const INSERT: &str = "INSERT INTO fetched VALUES ($1)";

/// As slow as a web server that is near, and says nothing.
fn fetch(key: i64) -> i64 {
    thread::sleep(FETCH);
    key
}

pub fn measure(cluster: &Cluster, mode: Mode, table: &mut Table) {
    let items = mode.pick(400, 64);
    let mut admin = cluster.client();
    admin.batch_execute("CREATE TABLE fetched (key bigint NOT NULL)").expect("the database is ours");
    let sizes = |builder: PgBuilder| builder.base_size(CONNECTIONS).max_overflow(0).min_size(CONNECTIONS);
    let ours = sizes(PgBuilder::new().url(cluster.url())).build().expect("the server is up");
    let manager = PostgresConnectionManager::new(cluster.config(), NoTls);
    let theirs = r2d2::Pool::builder().max_size(CONNECTIONS).build(manager).expect("the server is up");

    let times = Rounds::run(mode.pick(9, 1), 2, |which| {
        admin.batch_execute("TRUNCATE fetched").expect("it was made");
        let begun = Instant::now();
        if which == 0 {
            let report = batch::stages(
                &ours,
                0..items,
                Fetching::new().threads(FETCHERS),
                Options::new(),
                |&key| Ok::<_, PgError>(fetch(key)),
                |tx, _, page| tx.execute_cached(INSERT, &[page]),
            );
            assert!(report.is_complete(), "{report}");
        } else {
            by_hand(&theirs, items);
        }
        let took = begun.elapsed();
        let rows: i64 = admin.query_one("SELECT count(*) FROM fetched", &[]).expect("it was made").get(0);
        assert_eq!(rows, items);
        took.as_secs_f64()
    });

    let ideal = FETCH.as_secs_f64() * items as f64 / FETCHERS as f64;
    let what = format!("{items} items of {FETCH:?}, {FETCHERS} fetchers, {CONNECTIONS} connections");
    let [own, hand] = [0, 1].map(|subject| format!("{:.2} s", times.median(subject)));
    table.push(Row::new(&what, &own, format!("r2d2 {hand}"), times.ratio(1, 0)));
    let of_ideal = times.median(0) / ideal;
    let row = Row::new(format!("{what}: of the ideal"), own, format!("fetches alone {ideal:.2} s"), of_ideal);
    table.push(row.bar(Bound::AtMost(1.3)));
}

/// As most would write it first: each thread takes a connection for all that it does with an item.
fn by_hand(pool: &r2d2::Pool<PostgresConnectionManager<NoTls>>, items: i64) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..FETCHERS {
            scope.spawn(|| {
                loop {
                    // Relaxed: a counter of which every value is drawn once.
                    let key = next.fetch_add(1, Ordering::Relaxed) as i64;
                    if key >= items {
                        break;
                    }
                    let mut conn = pool.get().unwrap();
                    let mut transaction = conn.transaction().unwrap();
                    transaction.execute(INSERT, &[&fetch(key)]).unwrap();
                    transaction.commit().unwrap();
                }
            });
        }
    });
}
