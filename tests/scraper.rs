//! The parts of the batch scraper example: its parsers, and what it writes to a real server.
#![cfg(feature = "postgres")]

#[path = "../examples/scraper/mod.rs"]
#[allow(dead_code)] // What only the example itself uses: its server and its words to the terminal.
mod scraper;
mod support;

use std::fs;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use scraper::discover::{Item, discover};
use scraper::run::{place, run as run_all};
use scraper::schema;
use scraper::scrape::{Page, scrape};
use scraper::store::{Change, store};
use support::cluster::{Cluster, cluster};
use support::pools::pool_of;
use support::wait::eventually;
use tierpool::PgError;
use tierpool::batch::BoxError;
use tierpool::postgres::{PgConnection, PgManager, PgOptions, SessionOptions, run_session_ending};

/// For a machine under load.
const LIMIT: Duration = Duration::from_secs(20);
const MANIFEST: &str =
    "[package]\nname = 'one'\nversion = '1.0.0'\n[dependencies]\nlog = '0.4'\nrand = '0.9'\n";
const README: &str = "# One\n\n[docs](https://docs.example)\n\n## Use\n\n[site](https://site.example)\n";

fn connect(cluster: &Cluster) -> PgConnection {
    let config = cluster.url().parse().expect("the cluster's own URL");
    let manager = PgManager::new(config, PgOptions::default()).expect("the default options");
    manager.connect_within(LIMIT).expect("the cluster was just started")
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a name below the folder")).expect("the folder can be made");
    fs::write(path, text).expect("the file can be written");
}

fn commit(conn: &mut PgConnection, item: &Item) -> Result<Change, BoxError> {
    let page = scrape(item)?;
    Ok(write_page(conn, &page)?)
}

fn write_page(conn: &mut PgConnection, page: &Page) -> Result<Change, PgError> {
    run_session_ending(conn, &SessionOptions::new(), |_| Ok(store(page).into()))
}

/// Stores everything below `folder`, one item a transaction.
fn run(client: &mut PgConnection, folder: &Path) -> Vec<Change> {
    let items = discover(folder, None);
    items.iter().map(|item| commit(client, item).unwrap()).collect()
}

/// Everything in the tables with the row versions, so that a row rewritten with the same values shows.
fn versions(client: &mut PgConnection) -> Vec<String> {
    schema::NAMES
        .iter()
        .flat_map(|table| {
            let sql =
                format!("SELECT t.xmin::text || ' ' || t::text FROM tierpool_scraper.{table} t ORDER BY 1");
            client.query(&sql, &[]).expect("the table exists")
        })
        .map(|row| row.get(0))
        .collect()
}

#[test]
fn a_second_run_writes_nothing_and_a_changed_file_only_its_own_rows() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().expect("a temporary folder"));
    let mut client = connect(&cluster);
    schema::create(&mut client).expect("the role may create");
    // The readme sorts before the manifest here, so that a document places its package.
    write(folder.path(), "p/AUTHORS", "Somebody <https://somebody.example>");
    write(folder.path(), "p/Cargo.toml", MANIFEST);
    write(folder.path(), "p/README.md", README);
    write(folder.path(), "loose.html", "<title>Loose</title><h1>Page</h1><a href=x>y</a>");

    assert_eq!(run(&mut client, folder.path()), [Change::Inserted; 4]);
    assert_eq!(schema::counts(&mut *client).expect("the tables exist"), [1, 2, 3, 3, 4]);
    let before = versions(&mut client);

    schema::create(&mut client).expect("making the tables again does nothing");
    assert_eq!(run(&mut client, folder.path()), [Change::Unchanged; 4]);
    assert_eq!(versions(&mut client), before);

    write(folder.path(), "p/README.md", "# Two\n");
    write(folder.path(), "p/Cargo.toml", &MANIFEST.replace("rand = '0.9'\n", ""));
    let changes = run(&mut client, folder.path());
    assert_eq!(changes, [Change::Unchanged, Change::Unchanged, Change::Updated, Change::Updated]);
    assert_eq!(schema::counts(&mut *client).expect("the tables exist"), [1, 1, 3, 2, 2]);
    let row = client
        .query_one(
            "SELECT p.name, d.title, h.text FROM tierpool_scraper.packages p
             JOIN tierpool_scraper.documents d ON d.package_id = p.id
             JOIN tierpool_scraper.headings h ON h.document_id = d.id",
            &[],
        )
        .expect("one heading is left in the package");
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1), row.get::<_, &str>(2)), ("one", "Two", "Two"));
}

#[test]
fn a_new_version_leaves_nothing_of_the_one_before() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().expect("a temporary folder"));
    let mut client = connect(&cluster);
    schema::create(&mut client).expect("the role may create");
    let first = "# One\n## Same\n### Three\n\n[a](/a)\n\n[same](/same)\n";
    let second = "# Two\n## Same\n\n[b](/a)\n\n[same](/same)\n\n[more](/more)\n";
    let rows = |client: &mut PgConnection| -> Vec<String> {
        let sql = "SELECT level || text FROM tierpool_scraper.headings UNION ALL
             SELECT href || text FROM tierpool_scraper.links UNION ALL
             SELECT name || requirement || kind FROM tierpool_scraper.dependencies ORDER BY 1";
        client.query(sql, &[]).expect("the tables exist").iter().map(|row| row.get(0)).collect()
    };
    write(folder.path(), "p/Cargo.toml", MANIFEST);
    write(folder.path(), "p/page.md", first);
    run(&mut client, folder.path());
    let before = ["/aa", "/samesame", "1One", "2Same", "3Three", "log0.4normal", "rand0.9normal"];
    assert_eq!(rows(&mut client), before);

    write(folder.path(), "p/page.md", second);
    write(folder.path(), "p/Cargo.toml", &MANIFEST.replace("0.9", "0.10").replace("log =", "serde ="));
    assert_eq!(run(&mut client, folder.path()), [Change::Updated; 2]);
    let after = ["/ab", "/moremore", "/samesame", "1Two", "2Same", "rand0.10normal", "serde0.4normal"];
    assert_eq!(rows(&mut client), after);
    let sql = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE E'\\nWITH known AS%'";
    let statements: i64 = client.query_one(sql, &[]).expect("a view of the system").get(0);
    assert_eq!(statements, 2, "one for manifests and one for documents");
}

#[test]
fn of_two_versions_written_at_once_one_stays_whole() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().expect("a temporary folder"));
    let (mut admin, mut first, mut conn) = (cluster.client(), cluster.client(), connect(&cluster));
    schema::create(&mut admin).expect("the role may create");
    write(folder.path(), "page.md", "# One\n");
    let page = scrape(&discover(folder.path(), None)[0]).expect("it can be read");
    let mut first = first.transaction().expect("the server is up");
    let longer = "WITH document AS (
             INSERT INTO tierpool_scraper.documents (path, kind, hash, bytes, words)
             VALUES ($1, 'markdown', '\\x07', 7, 7) RETURNING id
         ) INSERT INTO tierpool_scraper.headings SELECT id, n, 1, 'Longer' FROM document, generate_series(1, 3) AS n";
    first.execute(longer, &[&page.path]).expect("the table is empty");
    thread::scope(|scope| {
        let second = scope.spawn(|| write_page(&mut conn, &page).expect("nothing fails"));
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)";
        eventually(LIMIT, "the second waits for the first", || {
            admin.query_one(waits, &[]).expect("a view of the system").get(0)
        });
        first.commit().expect("nothing stands against it");
        assert_eq!(second.join().expect("the second did not panic"), Change::Unchanged);
    });
    assert_eq!(schema::counts(&mut admin).expect("the tables exist"), [0, 0, 1, 3, 0]);
    // What the next run reads is what is written, whoever wrote before.
    assert_eq!(write_page(&mut conn, &page).expect("nobody else writes"), Change::Updated);
    assert_eq!(schema::counts(&mut admin).expect("the tables exist"), [0, 0, 1, 1, 0]);
}

#[test]
fn bad_documents_leave_no_rows_and_odd_content_is_stored() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().expect("a temporary folder"));
    let mut client = connect(&cluster);
    schema::create(&mut client).expect("the role may create");
    fs::write(folder.path().join("bytes.md"), b"\xff\xfe").expect("the file can be written");
    write(folder.path(), "bad/Cargo.toml", "[package]\n");
    for item in discover(folder.path(), None) {
        commit(&mut client, &item).expect_err("neither file can be used");
    }
    assert_eq!(schema::counts(&mut *client).expect("the tables exist"), [0; 5]);

    let odd = tempfile::tempdir().expect("a temporary folder");
    write(odd.path(), "nul.txt", "a\0b https://nul\0.example/\0");
    write(odd.path(), "nul.md", "# a\0b &#0;\n\n[l\0](h\0)\n");
    write(odd.path(), "nul.html", "<title>\0&#0;</title><a href='\0'>\0</a>");
    write(odd.path(), "empty.md", "");
    write(
        odd.path(),
        "Cargo.toml",
        "[package]\nname = \"\\u0000\"\n[dependencies]\n\"\\u0000\" = \"\\u0000\"\n",
    );
    assert_eq!(run(&mut client, odd.path()), [Change::Inserted; 5]);
}

#[test]
fn writers_in_any_order_neither_deadlock_nor_lose_a_package() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().expect("a temporary folder"));
    for package in 0..4 {
        write(folder.path(), &format!("{package}/Cargo.toml"), MANIFEST);
        for document in 0..10 {
            write(folder.path(), &format!("{package}/{document}.md"), README);
        }
    }
    let items = discover(folder.path(), None);
    // Every writer takes every item, each in another order, so that all meet on the same rows; each of them makes
    // the tables first, as several programs may do at once.
    let totals: Vec<usize> = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (cluster, items) = (&cluster, &items);
                scope.spawn(move || {
                    let mut client = connect(cluster);
                    schema::create(&mut client).expect("making the tables takes turns");
                    let (start, step) =
                        (writer * items.len() / 4, if writer % 2 == 0 { 1 } else { items.len() - 1 });
                    let order = (0..items.len()).map(|n| &items[(start + n * step) % items.len()]);
                    let changes = order.map(|item| commit(&mut client, item).expect("no deadlock"));
                    changes.filter(|change| *change != Change::Unchanged).count()
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer panicked")).collect()
    });
    assert_eq!(totals.iter().sum::<usize>(), items.len(), "each item is written by exactly one: {totals:?}");
    let mut client = connect(&cluster);
    assert_eq!(schema::counts(&mut *client).expect("the tables exist"), [4, 8, 40, 80, 80]);
    let orphans = "SELECT count(*) FROM tierpool_scraper.documents WHERE package_id IS NULL";
    assert_eq!(client.query_one(orphans, &[]).expect("the table exists").get::<_, i64>(0), 0);
}

#[test]
fn groups_of_items_in_any_order_never_wait_for_each_other() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().expect("a temporary folder"));
    for package in 0..40 {
        write(folder.path(), &format!("{package}/Cargo.toml"), MANIFEST);
        (0..9).for_each(|document| write(folder.path(), &format!("{package}/{document}.md"), README));
    }
    schema::create(&mut cluster.client()).expect("the role may create");
    let pool = pool_of(4, "batch_scraper", cluster.url(), |builder| builder);
    let mut items = discover(folder.path(), None);
    // The documents of a package are far from each other, and its manifest from them.
    items.sort_by_key(|item| BuildHasherDefault::<DefaultHasher>::default().hash_one(&item.path));
    place(&pool, &items).expect("the role may write");
    let outcome = run_all(&pool, items, Some(4), &ProgressBar::hidden(), &Arc::default());
    let groups = outcome.report.groups.expect("items are put into groups");
    assert!(outcome.report.is_complete() && groups.committed > 0, "{outcome}");
    assert_eq!((outcome.report.retried, groups.taken_apart), (0, 0), "{outcome}");
    assert_eq!(schema::counts(&mut cluster.client()).expect("the tables exist"), [40, 80, 360, 720, 720]);
}

#[test]
fn the_default_input_gives_thousands_of_items() {
    let scraper::args::Request::Run(plan) =
        scraper::args::parse([]).unwrap_or_else(|error| panic!("{error}"))
    else {
        panic!("no argument asks for help")
    };
    let items = discover(&plan.input, None);
    assert!(items.len() >= 2_000, "{} items below {}", items.len(), plan.input.display());
}
