//! The web scraper example: its parts, and the program from end to end.
#![cfg(feature = "postgres")]

mod support;
#[path = "../examples/web/mod.rs"]
mod web;

use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::child::as_child;
use support::cluster::{Cluster, cluster};
use support::pools::pool_of;
use support::port::free_port;
use support::wait::eventually;
use tierpool::PgError;
use web::answer::{Answer, Marks, Page, Target};
use web::check::check;
use web::document::{Document, Link};
use web::site::plan::Site;
use web::site::serve::Web;
use web::store::{Stored, store};
use web::{crawl, schema};

/// The arguments of this process, which is to be the program.
const ARGS: &str = "TIERPOOL_TEST_WEB_SCRAPER_ARGS";
/// Some of the pages want a second or two, and the machine may be busy with other tests.
const LIMIT: Duration = Duration::from_secs(60);

/// No test of its own: the program, as a child process.
#[test]
fn is_the_program_as_a_child() {
    if let Ok(args) = std::env::var(ARGS) {
        std::process::exit(web::program::run(args.split_whitespace().map(Into::into)).into());
    }
}

fn start(url: &str, args: &str) -> Child {
    let mut command = as_child("is_the_program_as_a_child");
    command.env(ARGS, args).env("DATABASE_URL", url);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Its output, if it ends by this code; both streams are read meanwhile.
#[track_caller]
fn ended(child: Child, code: i32) -> String {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = format!("{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.code(), Some(code), "{text}");
    text
}

#[track_caller]
fn assert_tells(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
}

fn number(cluster: &Cluster, sql: &str) -> i64 {
    // Ahead of the first run there are no tables.
    cluster.client().query_one(sql, &[]).map_or(0, |row| row.get(0))
}

const PAGES: &str = "SELECT count(*) FROM tierpool_web.pages";
const PENDING: &str = "SELECT count(*) FROM tierpool_web.urls WHERE state = 'pending'";

#[test]
fn a_second_run_fetches_nothing_that_has_not_changed() {
    let cluster = cluster();
    let url = cluster.url();
    let first = ended(start(&url, "--pages 60 --rate 500"), 0);
    assert_tells(
        &first,
        &[
            "pages fetched: 60 (new 60, changed 0, the same again 0), not modified: 0",
            "finished: nothing is pending",
            "disallowed: 1\n",
            "moved: 2\n",
            "missing: 1\n",
            "too large: 1\n",
            "failed: 1\n",
            "after 5 requests: the server answered with the status 503",
            "ok     60 pages were sent to their end, and each is stored once",
            "ok     all 60 pages of the web are there, and nothing is pending",
        ],
    );
    let versions = "SELECT string_agg(xmin::text, ' ' ORDER BY url_id) FROM tierpool_web.pages";
    let version = || cluster.client().query_one(versions, &[]).unwrap().get::<_, String>(0);
    let before = version();
    let second = ended(start(&url, "--pages 60 --rate 500"), 0);
    assert_tells(
        &second,
        &[
            "run 2: 1 waves",
            "pages fetched: 0 (new 0, changed 0, the same again 0), not modified: 60",
            "ok     0 pages were sent to their end",
        ],
    );
    assert_eq!(version(), before, "a page that was not modified was written");
    // Another edition, in which two of the pages differ.
    let third = ended(start(&url, "--pages 60 --rate 500 --edition 2"), 0);
    assert_tells(&third, &["pages fetched: 2 (new 0, changed 2, the same again 0), not modified: 58"]);
}

#[test]
fn a_page_that_moves_leaves_one_link_and_one_that_comes_back_all_of_its_own() {
    let cluster = cluster();
    let mut admin = cluster.client();
    schema::create(&mut admin).unwrap();
    let run = "INSERT INTO tierpool_web.runs DEFAULT VALUES RETURNING id";
    let run: i64 = admin.query_one(run, &[]).unwrap().get(0);
    let url = "INSERT INTO tierpool_web.urls (url, depth) VALUES ('http://a/', 0) RETURNING id";
    let id = admin.query_one(url, &[]).unwrap().get(0);
    let (url, known) = ("http://a/".to_owned(), Marks::default());
    let target = Target { id, url, known, hash: None, requests: Arc::default() };
    let page = |links: [&str; 3]| {
        let link = |href: &str| Link { href: href.to_owned(), text: "text".to_owned() };
        let document = Document { links: links.map(link).into(), ..Document::default() };
        let targets = vec![Some("http://a/one".to_owned()), None, None];
        Answer::Page(Page { marks: Marks::default(), hash: vec![7], bytes: 9, document, targets })
    };
    let moved = |href: &str| Answer::Moved { href: href.to_owned(), target: Some("http://b/".to_owned()) };
    let pool = pool_of(1, "web_scraper", cluster.url(), |builder| builder);
    let mut after = |answer: &Answer| -> (Stored, i64, String) {
        let stored = pool.session_ending(|_| Ok::<_, PgError>(store(run, &target, answer).into())).unwrap();
        let sql = "SELECT (SELECT count(*) FROM tierpool_web.pages), string_agg(href || text || coalesce(target, ''),
             ' ' ORDER BY position) FROM tierpool_web.links";
        let row = admin.query_one(sql, &[]).unwrap();
        (stored, row.get(0), row.get(1))
    };
    let one = "/onetexthttp://a/one /twotext /threetext";
    assert_eq!(after(&page(["/one", "/two", "/three"])), (Stored::New, 1, one.to_owned()));
    assert_eq!(after(&moved("/b")), (Stored::NoPage, 0, "/bhttp://b/".to_owned()));
    assert_eq!(after(&moved("/c")), (Stored::NoPage, 0, "/chttp://b/".to_owned()));
    assert_eq!(after(&page(["/one", "/two", "/three"])), (Stored::New, 1, one.to_owned()));
}

#[test]
fn another_web_on_the_same_database_is_checked_as_one_on_an_empty_one() {
    let cluster = cluster();
    let url = cluster.url();
    // More pages, other ones, and fewer; the last one after a run over another web that was stopped.
    for (args, code) in [
        ("--pages 60 --rate 500", 0),
        ("--pages 90 --rate 500", 0),
        ("--pages 90 --rate 500 --seed 2", 0),
        ("--pages 60 --rate 500 --stop-after 10", 3),
        ("--pages 70 --rate 500 --seed 2", 0),
    ] {
        let text = ended(start(&url, args), code);
        assert!(!text.contains("FAILED"), "{args}\n{text}");
    }
    assert_eq!(number(&cluster, PAGES), 70);
}

#[test]
fn a_second_scraper_on_the_database_is_told_of_the_first() {
    let cluster = cluster();
    let url = cluster.url();
    // Slow enough to be there for minutes.
    let first = start(&url, "--pages 2000 --rate 5");
    eventually(LIMIT, "pages are stored", || number(&cluster, PAGES) >= 1);
    let second = ended(start(&url, "--pages 60"), 1);
    assert_tells(&second, &["another web_scraper is at work on this database"]);
    kill_process(Pid::from_child(&first), Signal::INT).unwrap();
    let first = ended(first, 3);
    assert_tells(&first, &["stopped: the next run goes on from here"]);
    assert!(!first.contains("FAILED"), "{first}");
}

#[test]
fn a_run_that_was_stopped_goes_on_where_it_ended() {
    let cluster = cluster();
    let url = cluster.url();
    let first = ended(start(&url, "--pages 60 --rate 500 --stop-after 10"), 3);
    assert_tells(&first, &["stopped: the next run goes on from here", "ok     nothing that robots.txt"]);
    let stored = number(&cluster, PAGES);
    assert!((10..60).contains(&stored) && number(&cluster, PENDING) > 0, "{first}");
    let second = ended(start(&url, "--pages 60 --rate 500"), 0);
    let rest = 60 - stored;
    assert_tells(
        &second,
        &[
            "run 1, which an earlier program had begun",
            &format!("pages fetched: {rest} (new {rest}, changed 0, the same again 0), not modified: 0"),
            &format!("ok     {rest} pages were sent to their end, and each is stored once"),
            "ok     all 60 pages of the web are there, and nothing is pending",
        ],
    );
}

#[test]
fn ctrl_c_ends_a_run_after_the_pages_under_way_and_a_killed_one_loses_no_more_than_those() {
    let cluster = cluster();
    let url = cluster.url();
    // Slow enough to be there for some seconds.
    let args = "--pages 300 --rate 60";
    for (signal, at) in [(Signal::INT, 10), (Signal::KILL, 40)] {
        let child = start(&url, args);
        eventually(LIMIT, "pages are stored", || number(&cluster, PAGES) >= at);
        kill_process(Pid::from_child(&child), signal).unwrap();
        if signal == Signal::INT {
            let text = ended(child, 3);
            assert_tells(&text, &["stopped: the next run goes on from here"]);
            assert!(!text.contains("FAILED"), "{text}");
        } else {
            assert_eq!(child.wait_with_output().unwrap().status.code(), None);
        }
        assert!(number(&cluster, PENDING) > 0);
    }
    let last = ended(start(&url, "--pages 300 --rate 500"), 0);
    assert_tells(&last, &["run 1, which", "not modified: 0", "ok     all 300 pages of the web are there"]);
    assert_eq!(number(&cluster, "SELECT count(*) FROM tierpool_web.runs"), 1);
}

#[test]
fn a_run_lives_through_a_restart_of_the_database() {
    let cluster = cluster();
    let child = start(&cluster.url(), "--pages 300 --rate 100");
    eventually(LIMIT, "pages are stored", || number(&cluster, PAGES) >= 20);
    cluster.restart_fast();
    let text = ended(child, 0);
    assert_tells(
        &text,
        &["(new 300, changed 0, the same again 0)", "ok     all 300 pages of the web are there"],
    );
}

#[test]
fn a_scraper_in_a_hurry_is_found_out() {
    let cluster = cluster();
    let pool = pool_of(4, "web_scraper", cluster.url(), |builder| builder);
    schema::create(&mut cluster.client()).unwrap();
    // The server is told of another limit than the scraper.
    let web = Web::start(Site { pages: 200, seed: 1, edition: 1 }, 5.0).unwrap();
    let outcome = crawl::run(&pool, &web, 1_000, None, &Arc::default(), |_| ()).unwrap();
    let checks = check(&mut cluster.client(), &web, &outcome).unwrap();
    let failed: Vec<_> = checks.iter().filter(|check| !check.holds()).map(ToString::to_string).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].contains("FAILED no host was asked faster than its limit"), "{failed:?}");
}

#[test]
fn what_cannot_be_carried_out_is_told() {
    let dead = format!("postgresql://app@127.0.0.1:{}/app?connect_timeout=1", free_port().unwrap());
    let run = |url: &str, args: &str, code| ended(start(url, args), code);
    assert_tells(&run(&dead, "--fast", 2), &["--fast", "--help names the options", "Try --help."]);
    assert_tells(&run(&dead, "--pages 0", 2), &["--pages is \"0\"; allowed is a whole number, 1 to 100000"]);
    assert_tells(&run(&dead, "--help", 0), &["Usage: web_scraper", "Exit codes:"]);
    assert_tells(&run("mysql://db.example", "", 1), &["the settings of the database cannot be used"]);
    let mut command = as_child("is_the_program_as_a_child");
    let output =
        command.env(ARGS, "").env("DATABASE_URL", &dead).env("DB_POOL_TIMEOUT", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_tells(&String::from_utf8_lossy(&output.stderr), &["cannot reach the database: "]);
}
