//! The batch scraper with a queue: two processes on one folder, of which one is killed.
#![cfg(all(feature = "postgres", unix))]

#[path = "../examples/scraper/mod.rs"]
#[allow(dead_code)] // What only the example itself uses, and what its other tests do.
mod scraper;
mod support;

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::{env, fs, thread};

use indicatif::ProgressBar;
use scraper::discover::discover;
use scraper::shared::{self, Shared};
use scraper::{run, schema};
use support::child::as_child;
use support::cluster::{Cluster, cluster};
use support::pools::pool_of;
use support::wait::{LONG_BOUND, MS, SECOND, eventually};
use tierpool::batch::Ended;
use tierpool::batch::queue::Claims;

const FOLDER: &str = "TIERPOOL_TEST_SCRAPER_FOLDER";
const URL: &str = "TIERPOOL_TEST_SCRAPER_URL";
const PACKAGES: usize = 50;
const DOCUMENTS: usize = 20;

/// Scrapes as the program does, by a lease that ends within a test.
fn scrape(url: &str, folder: PathBuf, app_name: &str) -> Shared {
    let pool = pool_of(2, app_name, url, |builder| builder);
    schema::create(&mut pool.adhoc().get().unwrap()).unwrap();
    let items = discover(&folder, None);
    run::place(&pool, &items).unwrap();
    let (queue, _) = shared::queue(&pool, "scraped", &items).unwrap();
    let claims = Claims::new().lease(2 * SECOND).backoff(MS, MS).poll(20 * MS);
    shared::run(&queue, &pool, claims, Some(2), &ProgressBar::hidden(), &Default::default()).unwrap()
}

/// No test of its own: a scraper, as a child process.
#[test]
fn is_a_scraper_as_a_child() {
    if let (Ok(url), Ok(folder)) = (env::var(URL), env::var(FOLDER)) {
        println!("{}", scrape(&url, folder.into(), "killed"));
    }
}

fn start(url: &str, folder: &str) -> Child {
    let mut command = as_child("is_a_scraper_as_a_child");
    command.env(URL, url).env(FOLDER, folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// How many items a process has removed from the queue, by its name.
fn removed(cluster: &Cluster, app_name: &str) -> i64 {
    let text = "SELECT count(*) FROM removed WHERE who LIKE $1 || '/%'";
    cluster.client().query_one(text, &[&app_name]).unwrap().get(0)
}

#[test]
fn of_two_on_one_folder_one_is_killed_and_every_item_takes_effect_once() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    for package in 0..PACKAGES {
        let place = folder.path().join(package.to_string());
        fs::create_dir(&place).unwrap();
        fs::write(place.join("Cargo.toml"), "[package]\nname = 'one'\nversion = '1.0.0'\n").unwrap();
        (0..DOCUMENTS).for_each(|n| fs::write(place.join(format!("{n}.md")), "# One\n\n## Two\n").unwrap());
    }
    let path = folder.path().canonicalize().unwrap();
    let items = (PACKAGES * (DOCUMENTS + 1)) as i64;
    // The queue is filled ahead, so that what leaves it can be written down, with who had it, in the same transaction.
    let pool = pool_of(1, "test", cluster.url(), |builder| builder);
    shared::queue(&pool, "scraped", &discover(&path, None)).unwrap();
    cluster
        .client()
        .batch_execute(
            "CREATE TABLE removed (id bigint, who text);
            CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO removed VALUES (OLD.id, current_setting('application_name')); RETURN OLD; END $$;
            CREATE TRIGGER removal AFTER DELETE ON scraped FOR EACH ROW EXECUTE FUNCTION write_down()",
        )
        .unwrap();
    let mut child = start(&cluster.url(), path.to_str().unwrap());
    eventually(3 * LONG_BOUND, "the first scrapes", || removed(&cluster, "killed") >= 5);
    let survivor = thread::scope(|scope| {
        let survivor = scope.spawn(|| scrape(&cluster.url(), path, "survivor"));
        eventually(3 * LONG_BOUND, "both are at work, or half is done", || {
            removed(&cluster, "survivor") > 0 || removed(&cluster, "killed") > items / 2
        });
        child.kill().unwrap();
        child.wait().unwrap();
        survivor.join().unwrap()
    });
    let (of_killed, of_survivor) = (removed(&cluster, "killed"), removed(&cluster, "survivor"));
    println!("{survivor}\n{of_killed} by the one that was killed");
    assert!(survivor.is_complete() && matches!(survivor.report.ended, Ended::Completed), "{survivor}");
    assert!(of_killed >= 5 && of_killed < items, "it was to be killed in the middle: {of_killed}");
    assert_eq!(survivor.report.committed as i64, of_survivor, "{survivor}");
    assert_eq!(of_killed + of_survivor, items, "{survivor}");
    let tally = survivor.tally;
    // Whatever it committed was new: nobody else had it done.
    assert_eq!((tally.inserted + tally.updated) as i64, of_survivor, "{survivor}");
    assert_eq!(tally.unchanged, 0, "{survivor}");
    let counts = schema::counts(&mut cluster.client()).unwrap();
    let documents = (PACKAGES * DOCUMENTS) as i64;
    assert_eq!(counts, [PACKAGES as i64, 0, documents, 2 * documents, 0]);
}
