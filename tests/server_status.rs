//! The status script: what it prints, and by which code it ends.
#![cfg(feature = "postgres")]

#[path = "../examples/status.rs"]
#[allow(dead_code)] // Its `main`.
mod status;
mod support;

use std::process::Output;

use support::child::as_child;
use support::cluster::cluster;

/// Says that this process is to be the script.
const IS_SCRIPT: &str = "TIERPOOL_TEST_IS_SCRIPT";

/// No test of its own: the script, as a child process.
#[test]
fn runs_the_script_as_a_child() {
    if std::env::var_os(IS_SCRIPT).is_some() {
        std::process::exit(status::run().into());
    }
}

fn script(url: &str) -> Output {
    let mut command = as_child("runs_the_script_as_a_child");
    command.env(IS_SCRIPT, "1").env("DATABASE_URL", url).env("PGAPPNAME", "scraper").output().unwrap()
}

#[track_caller]
fn assert_ends(output: &Output, code: i32, lines: &[&str]) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}\n{errors}");
    for line in lines {
        assert!(text.contains(line) || errors.contains(line), "{line} is missing in\n{text}\n{errors}");
    }
    assert!(!text.contains("hush") && !errors.contains("hush"));
}

#[test]
fn the_exit_code_tells_what_was_found() {
    let cluster = cluster();
    let box_and_server = [
        "DATABASE CONNECTION STATUS",
        "[ok] Healthy: 5 ",
        "sessions of scraper by all processes",
        "Room left: ",
    ];
    assert_ends(&script(&cluster.url()), 0, &box_and_server);

    // One connection for the script and none beside it.
    cluster.admin().batch_execute("ALTER ROLE app CONNECTION LIMIT 1").unwrap();
    assert_ends(&script(&cluster.url()), 1, &["Role app: 1 of 1", "Room left: 0 for automation"]);

    cluster.stop_fast();
    let dead_port = script(&cluster.url());
    assert_ends(&dead_port, 2, &["DATABASE CONNECTION STATUS", "] Circuit open: ", "Server: not known: "]);
    let text = String::from_utf8_lossy(&dead_port.stdout);
    assert!(!text.contains("Healthy") && !text.contains("always available"), "{text}");
    assert_ends(&script("mysql://db.example"), 2, &["invalid configuration"]);
}
