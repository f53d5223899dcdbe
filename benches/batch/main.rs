//! The main job beside the same job written with r2d2: documents a second, and rows a second, into one server.
//!
//! Both scrape the same files with the same code on as many threads, each item in a transaction of its own, into
//! empty tables. r2d2's side is what one writes by hand: threads, a common counter, a pool. It loses what fails, and
//! reports nothing.
//!
//! Then work that waits for somebody else, in two stages and with a connection held meanwhile, and groups of items
//! where a COMMIT waits for the disk.

#[path = "../common/mod.rs"]
mod common;
mod groups;
// A bench takes a part of it, and without a harness its tests are nobody's.
#[allow(dead_code, unused_imports)]
#[path = "../../examples/scraper/mod.rs"]
mod scraper;
mod stages;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use common::mode::Mode;
use common::rounds::Rounds;
use common::table::{Row, Table};
use postgres::{Client, NoTls, Transaction};
use r2d2_postgres::PostgresConnectionManager;
use scraper::discover::{Item, discover};
use scraper::statements::{Params, Statements};
use scraper::{schema, store};
use support::cluster::Cluster;
use tierpool::batch::{self, Options};
use tierpool::{PgBuilder, PgError, PgPool};

/// Threads, and connections: one for each.
const WORKERS: u32 = 8;
/// Documents of one package.
const DOCUMENTS: usize = 9;

fn main() -> ExitCode {
    let mode = Mode::from_args();
    let cluster = match Cluster::start_new() {
        Ok(cluster) => cluster,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_documents(folder.path(), mode.pick(200, 4)).expect("the documents can be written");
    let items = discover(&folder.path().canonicalize().expect("it was just made"), None);

    let url = cluster.plain_url();
    let ours = PgBuilder::new().url(url.as_str()).base_size(WORKERS).max_overflow(0).min_size(WORKERS);
    let ours = ours.build().expect("the server is up");
    let manager = PostgresConnectionManager::new(url.parse().expect("the cluster's URL is one"), NoTls);
    let theirs = r2d2::Pool::builder().max_size(WORKERS).build(manager).expect("the server is up");

    let mut admin = cluster.config().connect(NoTls).expect("the server is up");
    let mut rows = 0;
    let times = Rounds::run(mode.pick(9, 1), 2, |which| {
        empty_tables(&mut admin);
        let begun = Instant::now();
        match which {
            0 => by_tierpool(&ours, &items),
            _ => by_hand(&theirs, &items),
        }
        let took = begun.elapsed();
        let written: i64 = schema::counts(&mut admin).expect("the tables are there").iter().sum();
        assert!(rows == 0 || rows == written, "{rows} rows before, {written} now");
        rows = written;
        took.as_secs_f64()
    });

    let mut table =
        Table::new("batches beside the same jobs written with r2d2, medians of interleaved rounds", mode);
    for (what, number) in [("items", items.len() as f64), ("rows", rows as f64)] {
        table.push(Row::new(
            format!("{number} {what}, {WORKERS} threads, {WORKERS} connections"),
            format!("{:.0} {what}/s", number / times.median(0)),
            format!("r2d2 {:.0} {what}/s", number / times.median(1)),
            times.ratio(1, 0),
        ));
    }
    stages::measure(&cluster, mode, &mut table);
    groups::measure(mode, &mut table);
    table.finish()
}

/// Packages with a manifest and documents, the same in every run.
fn write_documents(root: &Path, packages: usize) -> std::io::Result<()> {
    let mut dice = fastrand::Rng::with_seed(7);
    let mut words = |count: usize| -> String {
        (0..count)
            .map(|_| format!("{} ", (0..dice.usize(2..9)).map(|_| dice.lowercase()).collect::<String>()))
            .collect()
    };
    for package in 0..packages {
        let folder = root.join(format!("package-{package:03}"));
        fs::create_dir(&folder)?;
        let manifest = format!(
            "[package]\nname = \"package-{package}\"\nversion = \"1.0.{package}\"\nlicense = \"MIT\"\n\
             description = \"{}\"\n\n[dependencies]\nserde = \"1\"\nlog = {{ version = \"0.4\", optional = true }}\n",
            words(8)
        );
        fs::write(folder.join("Cargo.toml"), manifest)?;
        for document in 0..DOCUMENTS {
            let mut text = format!("# Document {document} of package {package}\n\n");
            for section in 0..6 {
                text += &format!(
                    "## Section {section}\n\n{}\n\nSee [{}](https://site.example/{section}).\n\n",
                    words(60),
                    words(2)
                );
            }
            fs::write(folder.join(format!("page-{document}.md")), text)?;
        }
    }
    Ok(())
}

fn empty_tables(client: &mut Client) {
    client.batch_execute("DROP SCHEMA IF EXISTS tierpool_scraper CASCADE").expect("the schema is ours");
    schema::create(client).expect("the schema is ours");
}

fn by_tierpool(pool: &PgPool, items: &[Item]) {
    let options = Options::new().workers(WORKERS as usize);
    let report = batch::run(pool, items, options, |tx, item| store::store(tx, item).map(drop));
    assert!(report.is_complete(), "{report}");
}

/// As programs on r2d2 do it, which has no cache of statements.
struct ByText<'a, 'c>(&'a mut Transaction<'c>);

impl Statements for ByText<'_, '_> {
    fn rows(&mut self, sql: &str, params: Params<'_>) -> Result<Vec<postgres::Row>, PgError> {
        Ok(self.0.query(sql, params)?)
    }
}

fn by_hand(pool: &r2d2::Pool<PostgresConnectionManager<NoTls>>, items: &[Item]) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                // Relaxed: a counter of which every value is drawn once.
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut conn = pool.get().unwrap();
                    let mut transaction = conn.transaction().unwrap();
                    store::store(&mut ByText(&mut transaction), item).unwrap();
                    transaction.commit().unwrap();
                }
            });
        }
    });
}
