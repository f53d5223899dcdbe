//! `tierpool top` on a terminal: what it shows, what keys do, and that it leaves the terminal as it was.
#![cfg(target_os = "linux")]

mod support;

use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use support::admin::foreign_socket;
use support::child::{Program, as_child};
use support::cluster::{APP_PASSWORD, Cluster, cluster};
use support::screen::OnScreen;
use support::tool::{ran, tool};
use support::wait::{LONG_BOUND, eventually, took};
use tierpool::{PgPool, Tier};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

/// Says that this process is to be a scraper.
const SCRAPER: &str = "TIERPOOL_TEST_TOP_SCRAPER";

/// Lines and columns of the terminal that most people have.
const USUAL: (u16, u16) = (24, 80);

/// No test of its own: a statement that runs, a connection that is held, and a thread that waits. A line makes it
/// return what it holds, and then the one who waits has it.
#[test]
fn scrapes_as_a_child() {
    if std::env::var_os(SCRAPER).is_none() {
        return;
    }
    let pool = PgPool::builder().app_name("scraper").base_size(2).max_overflow(0).build().unwrap();
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    let (own, at_work) = (pool.clone(), pool.get(Tier::Automation).unwrap());
    let sleep = move || {
        let mut conn = at_work;
        conn.tag("page one");
        let _ = conn.batch_execute("SELECT pg_sleep(3600)");
        drop(conn);
        drop(own.automation().get_timeout(Duration::from_secs(3600)));
    };
    named("sleeper").spawn(sleep).unwrap();
    let mut held = pool.get(Tier::Automation).unwrap();
    held.tag("page two");
    let own = pool.clone();
    let wait = move || {
        let mut conn = own.automation().get_timeout(Duration::from_secs(3600)).unwrap();
        conn.tag("page three");
        thread::park();
    };
    named("patient").spawn(wait).unwrap();
    let mut lines = std::io::stdin().lock().lines();
    let _ = lines.next();
    drop(held);
    // To the end of whoever started it.
    let _ = lines.next();
    std::process::exit(0);
}

fn scraper(cluster: &Cluster, folder: &Path) -> (Program, ChildStdin) {
    let mut command = as_child("scrapes_as_a_child");
    command.env(SCRAPER, "1").env("DATABASE_URL", cluster.url()).env("DB_POOL_ADMIN", "1");
    command.env("XDG_RUNTIME_DIR", folder).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = Program(command.spawn().unwrap());
    let lines = child.0.stdin.take().unwrap();
    (child, lines)
}

fn top(cluster: &Cluster, folder: &Path, size: (u16, u16)) -> OnScreen {
    OnScreen::start(PROGRAM, &["top"], size, |command| {
        command.current_dir(folder).env("HOME", folder).env("XDG_RUNTIME_DIR", folder);
        command.env("DATABASE_URL", cluster.url());
    })
}

/// Statements that sleep, on the server.
fn sleepers(cluster: &Cluster) -> i64 {
    let asked =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(3600)'";
    cluster.admin().query_one(asked, &[]).unwrap().get(0)
}

/// When the last question of the program itself began.
fn last_question(cluster: &Cluster) -> Option<String> {
    let asked = "SELECT query_start::text FROM pg_stat_activity WHERE application_name = 'tierpool/adhoc'";
    cluster.admin().query_opt(asked, &[]).unwrap().map(|row| row.get(0))
}

#[test]
fn holders_come_and_go_with_their_threads_lines_and_statements_and_so_do_waiters() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let (_scraper, mut lines) = scraper(&cluster, folder.path());
    let mut top = top(&cluster, folder.path(), (24, 160));
    let shown = top.until("both holders", |shown| shown.contains("page one") && shown.contains("page two"));
    let row = shown.lines().find(|line| line.contains("page one")).unwrap();
    for part in ["auto", "scraper", "here", "sleeper", "cli_top.rs:", "active", "pg_sleep(3600)"] {
        assert!(row.contains(part), "{part}: {row}");
    }
    let pid: i32 = cluster
        .admin()
        .query_one("SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(3600)'", &[])
        .unwrap()
        .get(0);
    assert!(row.contains(&format!(" {pid} ")), "{pid}: {row}");

    top.press("2");
    let shown = top.shows("patient");
    assert!(shown.contains("[2 waiters]"), "{shown}");
    lines.write_all(b"\n").unwrap();
    top.until("nobody waits", |shown| !shown.contains("patient") && shown.contains("[2 waiters]"));
    top.press("1");
    let shown = top.shows("page three");
    assert!(!shown.contains("page two"), "{shown}");

    top.press("\t\t");
    let shown = top.shows("scraper/automation");
    assert!(shown.contains("[3 server]") && shown.contains("connections open"), "{shown}");
    top.press("4");
    top.shows("no fleet");
    top.press("q");
    assert_eq!(top.ended().code(), Some(0));
    top.assert_restored();
}

#[test]
fn a_pause_keeps_what_is_shown_and_a_killed_process_is_gone_after_it() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let (scraper, _lines) = scraper(&cluster, folder.path());
    let mut top = top(&cluster, folder.path(), USUAL);
    top.shows("sleeper");
    top.press(" ");
    let paused = top.shows("PAUSED");
    drop(scraper); // by SIGKILL
    // A look is four questions, so that one of them at least has begun and ended since.
    let mut questions = HashSet::new();
    eventually(LONG_BOUND, "it has looked since", || {
        questions.extend(last_question(&cluster));
        questions.len() > 5
    });
    assert_eq!(top.text(), paused);
    top.press(" ");
    top.until("nobody of that process", |shown| !shown.contains("sleeper") && !shown.contains("PAUSED"));
    assert!(top.is_taken());
}

#[test]
fn c_cancels_a_statement_and_k_terminates_a_session_after_a_y_alone() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let (_scraper, _lines) = scraper(&cluster, folder.path());
    let mut top = top(&cluster, folder.path(), USUAL);
    top.until("its statement runs", |shown| shown.contains("sleeper") && shown.contains("active"));
    // By state, in which `active` comes first.
    top.press("ss");
    top.shows("state*");
    top.press("\x1b[H"); // Home
    top.press("K");
    top.shows("terminate session");
    top.press("n");
    top.until("the question is gone", |shown| !shown.contains("terminate session"));
    assert_eq!(sleepers(&cluster), 1);
    top.press("c");
    top.shows("cancelled what ran in session");
    eventually(LONG_BOUND, "the statement has ended", || sleepers(&cluster) == 0);
    top.until("the one who waited has the connection", |shown| !shown.contains("sleeper"));
    let before = cluster.connections("scraper/automation");
    top.press("c");
    top.shows("nothing is selected");
    top.press("j");
    top.press("c");
    top.shows("nothing runs in session");
    top.press("K");
    top.shows("terminate session");
    top.press("y");
    top.shows("terminated session");
    eventually(LONG_BOUND, "a session less", || cluster.connections("scraper/automation") < before);
}

#[test]
fn a_terminal_that_changes_its_size_is_drawn_anew_and_nothing_is_beyond_it() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let (_scraper, _lines) = scraper(&cluster, folder.path());
    let mut top = top(&cluster, folder.path(), USUAL);
    let shown = top.until("all of it", |shown| shown.contains("active") && shown.contains("q quit"));
    assert!(shown.lines().count() <= 24 && shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    for size in [(10, 40), (60, 200)] {
        top.resize(size);
        let shown = top.until("the last line is the last", |shown| {
            shown.lines().count() == usize::from(size.0)
                && shown.lines().last().unwrap().starts_with("1-4 Tab view")
        });
        assert!(shown.contains("held*") && shown.contains("[1 holders]"), "{shown}");
    }
    top.press("\x03");
    assert_eq!(top.ended().code(), Some(130));
    top.assert_restored();
}

#[test]
fn signals_and_ctrl_c_leave_the_terminal_as_it_was() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let ended = |end: &dyn Fn(&mut OnScreen)| {
        let mut top = top(&cluster, folder.path(), USUAL);
        top.shows("the server answered");
        assert!(top.is_taken());
        end(&mut top);
        let status = top.ended();
        top.assert_restored();
        status
    };
    assert_eq!(ended(&|top| top.press("\x03")).code(), Some(130));
    assert_eq!(ended(&|top| top.signal(Signal::INT)).code(), Some(130));
    for signal in [Signal::TERM, Signal::HUP] {
        let ended_by = std::os::unix::process::ExitStatusExt::signal(&ended(&|top| top.signal(signal)));
        assert_eq!(ended_by, Some(signal.as_raw()));
    }
}

#[test]
fn a_server_that_dies_while_it_is_shown_is_unreachable_until_it_is_there_again() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let mut top = top(&cluster, folder.path(), USUAL);
    top.shows("the server answered");
    cluster.kill9();
    let shown = top.shows("UNREACHABLE");
    assert!(!shown.contains(APP_PASSWORD), "{shown}");
    // Keys go on to work.
    top.press("4");
    top.shows("[4 fleet]");
    cluster.start();
    top.until("the server is back", |shown| shown.contains("the server answered"));
    top.press("q");
    assert_eq!(top.ended().code(), Some(0));
}

#[test]
fn a_server_that_says_nothing_leaves_no_old_screen_for_a_new_one() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let mut top = top(&cluster, folder.path(), USUAL);
    let shown = top.shows("the server answered");
    assert!(!shown.contains(" s AGO"), "{shown}");
    cluster.freeze_all();
    top.shows(" s AGO");
    cluster.thaw_all();
    top.until("the server is back", |shown| !shown.contains(" s AGO"));
    top.press("q");
    assert_eq!(top.ended().code(), Some(0));
}

#[test]
fn without_colours_what_stands_out_does_so_otherwise() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    for no_color in [None, Some("1")] {
        let mut top = OnScreen::start(PROGRAM, &["top"], USUAL, |command| {
            command.current_dir(folder.path()).env("HOME", folder.path());
            command.env("XDG_RUNTIME_DIR", folder.path()).env("DATABASE_URL", cluster.url());
            command.envs(no_color.map(|value| ("NO_COLOR", value)));
        });
        top.shows("the server answered");
        cluster.kill9();
        top.shows("UNREACHABLE");
        assert_eq!(top.has_colours(), no_color.is_none());
        top.press("q");
        assert_eq!(top.ended().code(), Some(0));
        cluster.start();
    }
}

#[test]
fn sockets_that_mean_ill_cost_bounded_time_and_no_key_waits_for_them() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    foreign_socket(folder.path(), "rubbish.11.sock", |mut stream| {
        let _ = stream.write_all(b"\x1b[2Jrubbish\r\n\r\n");
    });
    foreign_socket(folder.path(), "nothing.14.sock", |stream| {
        thread::sleep(Duration::from_secs(3600));
        drop(stream);
    });
    let mut top = top(&cluster, folder.path(), USUAL);
    let shown = top.shows("the admin socket of nothing, process 14, tells nothing");
    assert!(shown.contains("the admin socket of rubbish, process 11, tells nothing"), "{shown}");
    for view in ["waiters", "server", "fleet", "holders"] {
        top.press("\t");
        top.shows(&format!("{view}]"));
    }
    top.press("q");
    assert_eq!(top.ended().code(), Some(0));
    top.assert_restored();
}

#[test]
fn into_a_pipe_and_on_a_dumb_terminal_everything_is_printed_once_with_the_commands_own_code() {
    let (cluster, folder) = (cluster(), tempfile::tempdir().unwrap());
    let (_scraper, _lines) = scraper(&cluster, folder.path());
    let into_a_pipe = |url: &str| ran(tool(PROGRAM, folder.path(), &["top"]).env("DATABASE_URL", url));
    eventually(LONG_BOUND, "the scraper is there", || into_a_pipe(&cluster.url()).tells("page two"));
    let told = into_a_pipe(&cluster.url());
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
    assert!(!told.tells("\x1b") && !told.tells(APP_PASSWORD), "{told:?}");
    for part in
        ["holders: ", "waiters: ", "server: ", "fleet: ", "sleeper", "patient", "page one", "pg_sleep(3600)"]
    {
        assert!(told.out.contains(part), "{part}: {told:?}");
    }
    let mut dumb = OnScreen::start(PROGRAM, &["top"], (60, 200), |command| {
        command.current_dir(folder.path()).env("XDG_RUNTIME_DIR", folder.path());
        command.env("TERM", "dumb").env("DATABASE_URL", cluster.url());
    });
    assert_eq!(dumb.ended().code(), Some(0));
    assert!(dumb.shows("fleet: ").contains("holders: "));
    dumb.assert_restored();

    let nobody = support::port::free_port().unwrap();
    let url = format!("postgresql://app:{APP_PASSWORD}@127.0.0.1:{nobody}/news?sslmode=disable");
    let (told, time) = took(|| into_a_pipe(&url));
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(told.out.starts_with("UNREACHABLE: ") && time < LONG_BOUND, "{time:?}: {told:?}");
    assert_eq!(ran(&mut tool(PROGRAM, folder.path(), &["top", "--every", "0"])).code, Some(2));
}
