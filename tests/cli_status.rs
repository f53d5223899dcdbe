//! `tierpool status`: two processes, joined with what the server shows; hostile sockets; servers that do not answer.
#![cfg(unix)]

mod support;

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::admin::foreign_socket;
use support::child::{Program, as_child};
use support::cluster::{APP_PASSWORD, Cluster, cluster};
use support::pools::pool_of;
#[cfg(target_os = "linux")]
use support::screen::OnScreen;
use support::tool::{Ran, ran, tool};
use support::wait::{LONG_BOUND, eventually, took};
use tierpool::{PgPool, Tier};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

/// Says that this process is to be a scraper.
const SCRAPER: &str = "TIERPOOL_TEST_CLI_SCRAPER";

/// No test of its own: two connections held, and a thread that waits, until somebody ends the process.
#[test]
fn holds_and_waits_as_a_child() {
    if std::env::var_os(SCRAPER).is_none() {
        return;
    }
    let pool = PgPool::builder().app_name("scraper").base_size(2).max_overflow(0).build().unwrap();
    let _held = [1, 2].map(|page| {
        let mut conn = pool.get(Tier::Automation).unwrap();
        conn.tag(format!("page {page}"));
        conn
    });
    thread::spawn({
        let pool = pool.clone();
        move || drop(pool.automation().get_timeout(Duration::from_secs(3600)))
    });
    // To the end of whoever started it.
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0);
}

fn scraper(cluster: &Cluster, folder: &Path) -> Program {
    let mut command = as_child("holds_and_waits_as_a_child");
    command.env(SCRAPER, "1").env("DATABASE_URL", cluster.url()).env("DB_POOL_ADMIN", "1");
    command.env("XDG_RUNTIME_DIR", folder).stdin(Stdio::piped()).stdout(Stdio::null());
    Program(command.spawn().unwrap())
}

fn command(folder: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut command = tool(PROGRAM, folder, arguments);
    command.env("DATABASE_URL", url);
    command
}

fn status(folder: &Path, url: &str, arguments: &[&str]) -> Ran {
    let told = ran(&mut command(folder, url, &[&["status"], arguments].concat()));
    assert!(!told.tells(APP_PASSWORD), "{told:?}");
    told
}

#[track_caller]
fn list<'a>(json: &'a Value, name: &str) -> &'a Vec<Value> {
    json[name].as_array().unwrap_or_else(|| panic!("no {name}: {json}"))
}

#[track_caller]
fn text(json: &Value) -> &str {
    json.as_str().unwrap_or_else(|| panic!("no text: {json}"))
}

#[test]
fn two_processes_are_shown_live_and_as_the_server_has_them_and_one_that_is_killed_is_gone() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let mut scrapers = vec![scraper(&cluster, folder), scraper(&cluster, folder)];
    let look = || status(folder, &cluster.url(), &["--json"]);
    let is_busy = |process: &Value| {
        (&process["automation"]["in_use"], &process["automation"]["waiting"]) == (&2.into(), &1.into())
    };
    eventually(LONG_BOUND, "both hold and wait", || {
        let json = look().json();
        list(&json, "processes").len() == 2 && list(&json, "processes").iter().all(is_busy)
    });
    let told = look();
    let json = told.json();
    assert_eq!((told.code, &json["verdict"]), (Some(0), &"Healthy".into()), "{told:?}");
    let mut pids = Vec::new();
    for process in list(&json, "processes") {
        assert!(scrapers.iter().any(|scraper| process["process"] == scraper.0.id()), "{process}");
        let automation = &process["automation"];
        assert_eq!((&automation["ceiling"], &automation["on_server"]), (&2.into(), &2.into()));
        let mut tags: Vec<_> =
            list(automation, "holders").iter().map(|holder| text(&holder["tag"])).collect();
        tags.sort_unstable();
        assert_eq!(tags, ["page 1", "page 2"]);
        let waiter = &list(automation, "waiters")[0];
        assert!(text(&waiter["location"]).contains("cli_status.rs"), "{waiter}");
        pids.extend(list(automation, "backend_pids").iter().map(|pid| pid.as_i64().unwrap()));
    }
    pids.sort_unstable();
    let asked =
        "SELECT pid::int8 FROM pg_stat_activity WHERE application_name = 'scraper/automation' ORDER BY 1";
    let there: Vec<i64> = cluster.admin().query(asked, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(pids, there);
    assert_eq!(list(&json, "elsewhere").len(), 0, "{json}");
    assert_eq!((&json["total"]["in_use"], &json["total"]["ceiling"]), (&4.into(), &4.into()));

    let elsewhere =
        status(folder, &format!("{}/postgres", cluster.url().strip_suffix("/app").unwrap()), &["--json"])
            .json();
    assert_eq!(list(&elsewhere, "processes").len(), 0, "{elsewhere}");
    let left_out = list(&elsewhere, "missing").iter().filter(|note| text(note).contains("left out")).count();
    assert_eq!(left_out, 2, "they are pools of another database: {elsewhere}");

    let shown = status(folder, &cluster.url(), &[]).out;
    for part in ["Pool: 4 + 0 overflow", "In Use: 4/4", "  2/2  ", "page 1", "cli_status.rs", "High Load"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.is_ascii(), "plain, into a pipe: {shown}");

    drop(scrapers.remove(0)); // by SIGKILL
    eventually(LONG_BOUND, "one is left, and nothing of the other", || {
        let json = look().json();
        let left = list(&json, "processes");
        left.len() == 1 && left[0]["process"] == scrapers[0].0.id() && list(&json, "elsewhere").is_empty()
    });
    assert_eq!(list(&look().json(), "missing").len(), 0, "its socket, which is there still, is no fault");
}

#[test]
fn sessions_without_a_socket_are_shown_as_the_server_has_them_and_what_is_missing_is_said() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let here = pool_of(3, "news", cluster.url(), |builder| builder.admin(false));
    let other = pool_of(2, "billing", cluster.url(), |builder| builder.admin(false));
    let mut held = [here.get(Tier::Automation).unwrap(), here.get(Tier::Automation).unwrap()];
    held[0].batch_execute("BEGIN").unwrap();
    drop(other.get(Tier::Adhoc).unwrap());
    let told = status(folder.path(), &cluster.url(), &["--json", "--app", "news"]);
    let json = told.json();
    assert_eq!((told.code, list(&json, "processes").len()), (Some(0), 0), "{told:?}");
    let [news] = &list(&json, "elsewhere")[..] else { panic!("{json}") };
    assert_eq!((&news["application"], &news["host"]), (&"news".into(), &"127.0.0.1".into()));
    assert_eq!((&news["automation"]["open"], &news["automation"]["not_idle"]), (&2.into(), &1.into()));
    assert!(text(&list(&json, "missing")[0]).contains("no process here has an admin socket"), "{json}");
    assert_eq!(json["total"]["in_use"], 1);
    let all = status(folder.path(), &cluster.url(), &["--json"]).json();
    let names: Vec<_> = list(&all, "elsewhere").iter().map(|row| text(&row["application"])).collect();
    assert_eq!(names, ["billing", "news"], "without a name all are shown, but for this program");
}

#[test]
fn hostile_sockets_cost_bounded_time_and_are_told_and_stale_ones_are_none() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let answer = |answer: &'static [u8]| {
        move |mut stream: UnixStream| {
            // What was asked is read first: else the answer is lost with the connection.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    };
    foreign_socket(folder, "rubbish.11.sock", answer(b"\x1b[2Jrubbish\r\n\r\n"));
    foreign_socket(folder, "json.12.sock", answer(b"HTTP/1.1 200 OK\r\n\r\n{\"pools\": 7}"));
    foreign_socket(
        folder,
        "megabytes.13.sock",
        |mut stream| while stream.write_all(&[b'a'; 1 << 16]).is_ok() {},
    );
    foreign_socket(folder, "nothing.14.sock", |stream| {
        thread::sleep(Duration::from_secs(3600));
        drop(stream);
    });
    drop(UnixListener::bind(folder.join("tierpool/stale.15.sock")).unwrap());
    let (told, time) = took(|| status(folder, &cluster.url(), &["--json"]));
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(time < LONG_BOUND, "{time:?}");
    let json = told.json();
    assert_eq!(json["verdict"], "Degraded");
    let whys = [
        ("rubbish, process 11", "not HTTP"),
        ("json, process 12", "an answer that no pool of this version gives"),
        ("megabytes, process 13", "above 4 MiB"),
        ("nothing, process 14", "no answer within 2s"),
    ];
    for (who, why) in whys {
        let is_told = |note: &Value| text(note).contains(who) && text(note).contains(why);
        assert!(list(&json, "degraded").iter().any(is_told), "{who}: {json}");
    }
    assert!(!told.tells("stale"), "{told:?}");
    // A folder that others may enter is not looked into.
    std::fs::set_permissions(folder.join("tierpool"), Permissions::from_mode(0o755)).unwrap();
    let open = status(folder, &cluster.url(), &["--json"]);
    assert!(open.out.contains("is open to others (mode 755)"), "{open:?}");
}

#[test]
fn a_server_that_does_not_answer_or_is_not_there_is_exit_code_two_in_bounded_time() {
    let folder = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let nobody = support::port::free_port().unwrap();
    for port in [port, nobody] {
        let url = format!("postgresql://app:{APP_PASSWORD}@127.0.0.1:{port}/news?sslmode=disable");
        let (told, time) = took(|| status(folder.path(), &url, &["--json"]));
        assert_eq!(told.code, Some(2), "{told:?}");
        assert!(time < LONG_BOUND, "{time:?}");
        assert_ne!(told.json()["verdict"], "Healthy");
        let shown = status(folder.path(), &url, &[]);
        assert!(shown.code == Some(2) && !shown.out.contains("[ok]"), "{shown:?}");
    }
}

/// Reads until as many boxes have begun.
fn boxes(reader: &mut impl BufRead, wanted: usize) -> String {
    let (mut read, mut begun) = (String::new(), 0);
    while begun < wanted {
        let from = read.len();
        assert!(reader.read_line(&mut read).unwrap() > 0, "ended after {begun}: {read}");
        begun += usize::from(read[from..].contains("DATABASE CONNECTION STATUS"));
    }
    read
}

#[test]
fn a_watch_into_a_pipe_prints_plain_blocks_and_ends_with_its_reader_or_by_an_interrupt() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let watch = || {
        let mut command = command(folder.path(), &cluster.url(), &["status", "--watch", "1"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let reader = BufReader::new(child.stdout.take().unwrap());
        (child, reader)
    };
    let (mut child, mut reader) = watch();
    let shown = boxes(&mut reader, 2);
    assert!(!shown.contains('\x1b') && shown.is_ascii(), "{shown:?}");
    drop(reader);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "");

    let (mut child, mut reader) = watch();
    boxes(&mut reader, 1);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(status(folder.path(), &cluster.url(), &["--watch", "0"]).code, Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn a_watch_on_a_terminal_is_redrawn_in_its_place_and_leaves_it_as_it_was() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let mut watch = OnScreen::start(PROGRAM, &["status", "--watch", "1"], (50, 100), |command| {
        command.current_dir(folder.path()).env("HOME", folder.path()).env("XDG_RUNTIME_DIR", folder.path());
        command.env("DATABASE_URL", cluster.url()).env("LC_ALL", "C.UTF-8");
    });
    let shown = watch.shows("Healthy");
    assert!(shown.contains('✅'), "{shown}");
    let first = shown.lines().find(|line| line.starts_with("Server: ")).unwrap().to_owned();
    // How long an answer took is never the same twice for long.
    let next = watch.until("a second look", |shown| shown.contains("Server: ") && !shown.contains(&first));
    assert_eq!(next.matches("DATABASE CONNECTION STATUS").count(), 1, "{next}");
    watch.press("\x03");
    assert_eq!(watch.ended().code(), Some(130));
    watch.assert_restored();
}
