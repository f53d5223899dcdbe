//! The batch scraper while it runs: what is seen of it on every side agrees with the server.
#![cfg(all(feature = "http", feature = "postgres", unix))]

#[path = "../examples/scraper/mod.rs"]
#[allow(dead_code)] // What its parts have beyond the program, for tests of their own.
mod scraper;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::thread;

use scraper::program::start;
use scraper::schema;
use support::admin::ask;
use support::child::{Program, as_child};
use support::cluster::{Cluster, cluster};
use support::wait::{LONG_BOUND, eventually};
use support::web::get;

/// Says that this process is to be the scraper of that folder.
const FOLDER: &str = "TIERPOOL_TEST_SCRAPES";
const WORKERS: u64 = 4;
const DOCUMENTS: i64 = 400;

/// No test of its own: the scraper, as a child process.
#[test]
fn runs_the_scraper_as_a_child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let options = ["--workers", "4", "--http", "127.0.0.1:0", "--input"].map(Into::into);
    let ended = start(options.into_iter().chain([folder]));
    std::process::exit(if ended == ExitCode::SUCCESS { 0 } else { 1 });
}

/// What is to be scraped.
fn documents() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..DOCUMENTS {
        fs::write(folder.path().join(format!("{number}.md")), format!("# Page {number}\n\nwords\n")).unwrap();
    }
    folder
}

/// The scraper at work, and where it is to be seen.
fn at_work(cluster: &Cluster, folder: &Path, sockets: &Path) -> (Program, SocketAddr) {
    let mut command = as_child("runs_the_scraper_as_a_child");
    command.env(FOLDER, folder).env("DATABASE_URL", cluster.url()).env("DB_POOL_ADMIN", "1");
    // Without overflow, none that was opened on demand is closed again while what is seen is compared.
    command.env("DB_POOL_SIZE", WORKERS.to_string()).env("DB_MAX_OVERFLOW", "0");
    command.env("XDG_RUNTIME_DIR", sockets).current_dir(sockets);
    let mut program = Program(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(program.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find_map(|line| Some(line.split_once("to be seen at http://")?.1.to_owned()));
    let addr = line.expect("it says where").trim_end_matches('/').parse().unwrap();
    // So that it can go on to write.
    thread::spawn(move || lines.for_each(drop));
    (program, addr)
}

/// What one side tells of the automation tier: connections in use, connections open, threads that wait.
type Seen = (u64, u64, u64);

fn by_metrics(addr: SocketAddr) -> Seen {
    let text = get(addr, "/metrics").body;
    let one = |series: &str| {
        let of_tier = |line: &&str| line.starts_with(series) && line.contains("tier=\"automation\"");
        let line =
            text.lines().filter(of_tier).find(|line| !line.contains("state=") || line.contains("idle"));
        line.unwrap_or_else(|| panic!("{text}")).rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
    };
    let in_use = one("db_pool_checked_out{");
    (in_use, in_use + one("db_pool_connections{"), one("db_pool_waiting{"))
}

#[test]
fn while_the_batch_scraper_is_held_still_all_that_is_seen_of_it_agrees() {
    let cluster = cluster();
    let (folder, sockets) = (documents(), tempfile::tempdir().unwrap());
    let mut client = cluster.client();
    schema::create(&mut client).unwrap();
    // No document can be written, so that the batch cannot end before it is held.
    let mut lock = client.transaction().unwrap();
    lock.batch_execute("LOCK TABLE tierpool_scraper.documents IN SHARE MODE").unwrap();
    let (mut program, addr) = at_work(&cluster, folder.path(), sockets.path());
    let socket = sockets.path().join(format!("tierpool/batch_scraper.{}.sock", program.0.id()));
    eventually(LONG_BOUND, "it is at work", || by_metrics(addr).0 == WORKERS);

    let held = ask(&socket, "POST", "/suspend?tier=automation");
    assert_eq!((held.status, &held.json()["done"]), (200, &true.into()), "{held:?}");
    lock.rollback().unwrap();
    // Those at work end what they have, and wait for the next.
    eventually(LONG_BOUND, "it is still", || matches!(by_metrics(addr), (0, _, WORKERS)));

    let seen = by_metrics(addr);
    let (_, open, _) = seen;
    assert_eq!(cluster.connections("batch_scraper/automation") as u64, open, "by pg_stat_activity");
    let health = get(addr, "/health/pool").json();
    let told = &health["pool_stats"];
    assert_eq!((&told["checked_out"], &told["total_connections"]), (&0.into(), &open.into()), "{health}");
    let of = |told: &serde_json::Value| -> Seen {
        let gauge = |name: &str| told["automation"]["gauges"][name].as_u64().unwrap();
        (gauge("in_use"), gauge("idle") + gauge("in_use"), gauge("waiting"))
    };
    assert_eq!(of(&get(addr, "/admin/metrics/database").json()), seen);
    let status = ask(&socket, "GET", "/stats").json();
    assert_eq!(of(&status["pools"][0]["told"]), seen, "{status}");

    assert_eq!(ask(&socket, "POST", "/resume?tier=automation").status, 200);
    assert!(program.0.wait().unwrap().success());
    let written: i64 =
        client.query_one("SELECT count(*) FROM tierpool_scraper.documents", &[]).unwrap().get(0);
    assert_eq!(written, DOCUMENTS);
}

/// Has each document take a while, and then wait for a lock that a test may have.
#[cfg(feature = "cli")]
const HELD: &str = "
    CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_sleep(0.2), pg_advisory_xact_lock_shared(42); RETURN NEW; END $$;
    CREATE TRIGGER held BEFORE INSERT ON tierpool_scraper.documents FOR EACH ROW EXECUTE FUNCTION held()";

/// What the tool tells of the scrapers in a third process.
#[cfg(feature = "cli")]
fn told(cluster: &Cluster, sockets: &Path) -> serde_json::Value {
    use support::tool::{ran, tool};

    let arguments = ["status", "--app", "batch_scraper", "--json"];
    let mut command = tool(env!("CARGO_BIN_EXE_tierpool"), sockets, &arguments);
    let told = ran(command.env("DATABASE_URL", cluster.url()));
    assert!(!told.tells(support::cluster::APP_PASSWORD), "{told:?}");
    told.json()
}

#[cfg(feature = "cli")]
#[test]
fn two_batch_scrapers_are_told_by_the_tool_as_the_server_shows_them_and_a_killed_one_is_gone() {
    let cluster = cluster();
    let (folder, sockets) = (documents(), tempfile::tempdir().unwrap());
    let mut client = cluster.client();
    schema::create(&mut client).unwrap();
    client.batch_execute(HELD).unwrap();
    let (first, _) = at_work(&cluster, folder.path(), sockets.path());
    let (mut second, _) = at_work(&cluster, folder.path(), sockets.path());
    let processes = |told: &serde_json::Value| -> BTreeSet<u64> {
        let processes = told["processes"].as_array().unwrap_or_else(|| panic!("{told}"));
        processes.iter().map(|process| process["process"].as_u64().unwrap()).collect()
    };
    let both = BTreeSet::from([first.0.id().into(), second.0.id().into()]);
    let mut seen = serde_json::Value::Null;
    eventually(LONG_BOUND, "both have made their tables, and work", || {
        seen = told(&cluster, sockets.path());
        let working = |process: &serde_json::Value| process["automation"]["in_use"] != 0;
        processes(&seen) == both && seen["processes"].as_array().unwrap().iter().all(working)
    });
    // Whoever has a document in hand ends it, and all others stand still.
    client.batch_execute("SELECT pg_advisory_lock(42)").unwrap();
    eventually(LONG_BOUND, "both are still, all workers at a document, and the tool sees it", || {
        seen = told(&cluster, sockets.path());
        processes(&seen) == both && seen["total"]["in_use"] == 2 * WORKERS
    });
    for process in seen["processes"].as_array().unwrap() {
        let automation = &process["automation"];
        assert_eq!(automation["in_use"], WORKERS, "{process}");
        assert!(process["adhoc"].is_object() && automation["waiters"].is_array(), "{process}");
    }
    let sessions = "SELECT count(*) FILTER (WHERE state = 'active'), count(*) FROM pg_stat_activity
                    WHERE application_name = 'batch_scraper/automation'";
    let mut admin = cluster.admin();
    eventually(LONG_BOUND, "the tool tells as many sessions as there are", || {
        let row = admin.query_one(sessions, &[]).unwrap();
        let [active, all] = [0, 1].map(|column| row.get::<_, i64>(column).unsigned_abs());
        let told = told(&cluster, sockets.path());
        let on_server = |process: &serde_json::Value| process["automation"]["on_server"].as_u64();
        let each = told["processes"].as_array().unwrap().iter().map(|process| on_server(process).unwrap());
        active == 2 * WORKERS && all == each.sum::<u64>()
    });

    second.0.kill().unwrap();
    second.0.wait().unwrap();
    let left = BTreeSet::from([u64::from(first.0.id())]);
    eventually(LONG_BOUND, "the killed one is gone", || processes(&told(&cluster, sockets.path())) == left);
}
