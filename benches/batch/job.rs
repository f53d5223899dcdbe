//! The main job, on loopback and behind a relay: as the example does it, with a transaction for each item, and by hand.
//!
//! All scrape the same files with the same code and store by as many threads, on as many connections, into empty
//! tables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use postgres::{Client, NoTls};
use r2d2_postgres::PostgresConnectionManager;
use tierpool::batch::{self, Fetching, Options};
use tierpool::{PgBuilder, PgError, PgPool};

use super::by_hand::{self, Style};
use super::common::mode::Mode;
use super::common::rounds::Rounds;
use super::common::table::{Bound, Row, Table};
use super::documents::write_documents;
use super::scraper::discover::{Item, discover};
use super::scraper::run::{place, run};
use super::scraper::schema;
use super::scraper::scrape::scrape;
use super::scraper::store::store;
use super::support::cluster::Cluster;
use super::support::proxy::Proxy;

/// Threads, and connections: one for each.
const WORKERS: u32 = 8;
/// What a packet takes to the server, and back.
const ONE_WAY: Duration = Duration::from_millis(1);

/// The ways to do it, in the order of the rounds.
const EXAMPLE: usize = 0;
const ONE_BY_ONE: usize = 1;
const PREPARED: usize = 2;
const TEXT: usize = 3;

pub fn measure(cluster: &Cluster, mode: Mode, table: &mut Table) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_documents(folder.path(), mode.pick(200, 4)).expect("the documents can be written");
    let items = discover(&folder.path().canonicalize().expect("it was just made"), None);

    let (times, rows) = compare(cluster, &cluster.plain_url(), &items, mode.pick(9, 1));
    let job = |ours, peer| Judged { what: "items", number: items.len(), ours, peer };
    table.push(
        job(EXAMPLE, TEXT).row(&times, "on loopback").bar(Bound::AtLeast(2.0)).goal(Bound::AtLeast(3.0)),
    );
    table.push(job(EXAMPLE, PREPARED).row(&times, "on loopback"));
    for (what, number) in [("items", items.len()), ("rows", rows)] {
        table.push(Judged { what, number, ours: ONE_BY_ONE, peer: TEXT }.row(&times, "on loopback"));
    }
    table.push(job(ONE_BY_ONE, PREPARED).row(&times, "on loopback"));

    let proxy = Proxy::start(cluster.port()).expect("a proxy can be started");
    proxy.delay(ONE_WAY);
    let (times, _) = compare(cluster, &cluster.plain_url_through(proxy.port()), &items, mode.pick(5, 1));
    let place = format!("a relay of {ONE_WAY:?} each way");
    table.push(job(EXAMPLE, TEXT).row(&times, &place).bar(Bound::AtLeast(3.0)).goal(Bound::AtLeast(5.0)));
    table.push(job(EXAMPLE, PREPARED).row(&times, &place));
    table.push(job(ONE_BY_ONE, PREPARED).row(&times, &place));
}

/// Two ways to do it, and how many of what they do.
struct Judged {
    what: &'static str,
    number: usize,
    ours: usize,
    peer: usize,
}

impl Judged {
    fn row(&self, times: &Rounds, place: &str) -> Row {
        let Judged { what, number, ours, peer } = *self;
        let name = |way| ["as the example does it", "an item a transaction", "r2d2, prepared", "r2d2"][way];
        let rate = |way| format!("{} {:.0} {what}/s", name(way), number as f64 / times.median(way));
        let row = format!("{number} {what}, {WORKERS} threads, {WORKERS} connections, {place}");
        Row::new(row, rate(ours), rate(peer), times.ratio(peer, ours))
    }
}

/// The seconds that each way needs, and the rows that all of them write.
fn compare(cluster: &Cluster, url: &str, items: &[Item], rounds: usize) -> (Rounds, usize) {
    let ours = PgBuilder::new().url(url).base_size(WORKERS).max_overflow(0).min_size(WORKERS);
    let ours = ours.build().expect("the server is up");
    let theirs = |tested: bool| {
        let manager = PostgresConnectionManager::new(url.parse().expect("the cluster's URL is one"), NoTls);
        let pool = r2d2::Pool::builder().max_size(WORKERS).test_on_check_out(tested);
        pool.build(manager).expect("the server is up")
    };
    let (tuned, theirs) = (theirs(false), theirs(true));
    let mut admin = cluster.config().connect(NoTls).expect("the server is up");
    let mut rows = 0;
    let times = Rounds::run(rounds, 4, |way| {
        empty_tables(&mut admin);
        let given = items.to_vec();
        let begun = Instant::now();
        match way {
            EXAMPLE => as_the_example(&ours, given),
            ONE_BY_ONE => one_by_one(&ours, given),
            PREPARED => by_hand::run(&tuned, items, Style::Prepared),
            _ => by_hand::run(&theirs, items, Style::Text),
        }
        let took = begun.elapsed();
        let written: i64 = schema::counts(&mut admin).expect("the tables are there").iter().sum();
        let written = usize::try_from(written).expect("a count");
        assert!(rows == 0 || rows == written, "{rows} rows before, {written} now");
        rows = written;
        took.as_secs_f64()
    });
    (times, rows)
}

/// The tables stay what they are for the statements that are prepared.
fn empty_tables(client: &mut Client) {
    schema::create(client).expect("the schema is ours");
    let empty =
        format!("TRUNCATE {}", schema::NAMES.map(|name| format!("tierpool_scraper.{name}")).join(", "));
    client.batch_execute(&empty).expect("the tables are there");
}

fn as_the_example(pool: &PgPool, items: Vec<Item>) {
    place(pool, &items).expect("the role may write");
    let outcome = run(pool, items, Some(WORKERS as usize), &ProgressBar::hidden(), &Arc::default());
    assert!(outcome.report.is_complete(), "{outcome}");
}

fn one_by_one(pool: &PgPool, items: Vec<Item>) {
    let options = Options::new().workers(WORKERS as usize);
    // As the example, which scrapes ahead of the session: the threads that do are the workers' number here.
    let fetching = Fetching::new().threads(WORKERS as usize);
    let report = batch::stages_ending(
        pool,
        items,
        fetching,
        options,
        scrape,
        |_, _, page| Ok::<_, PgError>(store(page).into()),
        |_, _| {},
    );
    assert!(report.is_complete(), "{report}");
}
