//! How many small items a second there are in groups, where a COMMIT waits for the disk.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use tierpool::batch::{self, Options};
use tierpool::{PgBuilder, PgPool};

use super::common::mode::Mode;
use super::common::rounds::{Rounds, median};
use super::common::table::{Bound, Row, Table};
use super::support::cluster::Cluster;

const CONNECTIONS: u32 = 4;
const GROUPS: [usize; 3] = [1, 10, 100];
/// A disk that answers sooner is none: it has a cache that it trusts, and then a COMMIT is mostly its round trip.
const LEAST_OF_A_DISK: Duration = Duration::from_micros(200);

pub fn measure(mode: Mode, table: &mut Table) {
    let items = mode.pick(4_000, 200);
    let durable = [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")];
    let builder =
        durable.iter().fold(Cluster::builder(), |builder, (name, value)| builder.setting(*name, *value));
    let cluster = builder.start().expect("a second server can be started");
    let mut admin = cluster.client();
    admin.batch_execute("CREATE TABLE stored (key bigint NOT NULL, text text NOT NULL)").expect("it is ours");
    let pool = PgBuilder::new().url(cluster.url()).base_size(CONNECTIONS).max_overflow(0);
    let pool = pool.min_size(CONNECTIONS).build().expect("the server is up");

    let times = Rounds::run(mode.pick(5, 1), GROUPS.len(), |which| {
        admin.batch_execute("TRUNCATE stored").expect("it was made");
        let took = store(&pool, items, GROUPS[which]);
        let rows: i64 = admin.query_one("SELECT count(*) FROM stored", &[]).expect("it was made").get(0);
        assert_eq!(rows, items);
        took.as_secs_f64()
    });

    let disk = disk();
    println!("the disk answers fsync within {disk:?}");
    for (which, group) in GROUPS.into_iter().enumerate() {
        let rate = |which: usize| format!("{:.0} items/s", items as f64 / times.median(which));
        let what = format!("groups of {group}, {CONNECTIONS} connections, fsync of {disk:?}");
        let row = Row::new(what, rate(which), format!("one by one {}", rate(0)), times.ratio(0, which));
        table.push(match group {
            100 if disk >= LEAST_OF_A_DISK => row.bar(Bound::AtLeast(3.0)),
            _ => row,
        });
    }
    if disk < LEAST_OF_A_DISK {
        println!("That is no disk for which a COMMIT waits, so groups are not judged.");
    }
}

fn store(pool: &PgPool, items: i64, group: usize) -> Duration {
    let options = Options::new().group(group, Duration::from_millis(50));
    let begun = Instant::now();
    let report = batch::run(pool, 0..items, options, |tx, key| {
        tx.execute_cached("INSERT INTO stored VALUES ($1, 'a text of some length')", &[key])
    });
    assert!(report.is_complete(), "{report}");
    begun.elapsed()
}

/// How long a page takes to reach the disk on which the servers' folders are.
fn disk() -> Duration {
    let mut file: File = tempfile::tempfile().expect("a temporary file");
    let times = (0..51).map(|_| {
        let begun = Instant::now();
        file.seek(SeekFrom::Start(0)).expect("a file can be sought in");
        file.write_all(&[7; 8192]).expect("there is room");
        file.sync_data().expect("a file can be written out");
        begun.elapsed().as_secs_f64()
    });
    let micros = (median(times) * 1e6).round() as u64;
    Duration::from_micros(micros)
}
