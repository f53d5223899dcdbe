//! `tierpool loadtest`: both models, what is counted, what is judged, and what is refused before any load is made.

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::cluster::{APP_PASSWORD, Cluster};
use support::tool::{Ran, ran, tool};
use support::wait::{LONG_BOUND, eventually, took};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

/// The command, in a folder.
fn command(folder: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut command = tool(PROGRAM, folder, &[&["loadtest"], arguments].concat());
    command.env("DATABASE_URL", url);
    command
}

/// Runs the command, which shows no secret and leaves nothing behind, nor draws where there is no terminal.
fn loadtest(url: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let told = ran(command(folder.path(), url, arguments).envs(variables.iter().copied()));
    assert!(!told.tells(APP_PASSWORD), "{told:?}");
    assert_eq!(names(folder.path()), Vec::<String>::new(), "something is left behind");
    assert!(told.code == Some(2) || told.err.is_empty(), "{told:?}");
    told
}

/// The files of a folder.
fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// The only run of a report whose figures add up, and whose exit code is its verdict's.
#[track_caller]
fn run(told: &Ran) -> Value {
    let json = told.json();
    let [run] = &json["runs"].as_array().unwrap()[..] else { panic!("{json}") };
    adds_up(run);
    assert_eq!(run["code"], told.code.unwrap(), "{run}");
    run.clone()
}

/// Each request of a run came to one thing, and has a time for each part that it came to.
#[track_caller]
fn adds_up(run: &Value) {
    let count = |name: &str| run["requests"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {run}"));
    let parts = ["done", "late", "dropped", "timeouts", "failed", "unstarted"].map(count);
    assert_eq!(count("offered"), parts.iter().sum::<u64>(), "{run}");
    let times = |name: &str| run["times"][name]["count"].as_u64().unwrap();
    assert_eq!(times("latency"), count("offered"), "{run}");
    assert_eq!(times("wait"), count("offered") - count("unstarted"), "{run}");
    assert_eq!(times("service"), count("done") + count("late"), "{run}");
}

/// The thresholds that do not hold.
fn broken(run: &Value) -> Vec<&str> {
    let thresholds = run["thresholds"].as_array().unwrap().iter();
    thresholds.filter(|line| line["holds"] == false).map(|line| line["name"].as_str().unwrap()).collect()
}

/// A run that says nothing says why: the machine, and no other cause.
#[track_caller]
fn is_told_or_lags(run: &Value) {
    let reasons = run["invalid"].as_array().unwrap();
    let is_machines = |reason: &Value| {
        let reason = reason.as_str().unwrap();
        reason.starts_with("the generator was ") || reason.starts_with("cores are short: ")
    };
    assert!(reasons.iter().all(is_machines), "{run}");
    assert!(run["verdict"] != "invalid" || !reasons.is_empty(), "{run}");
    if !reasons.is_empty() {
        println!("this run has told nothing of the pool: {reasons:?}");
    }
}

/// A server with room for what a scenario opens.
fn roomy() -> Cluster {
    Cluster::builder().max_connections(80).start().unwrap()
}

#[test]
fn peak_is_carried_by_fifty_connections_or_the_machine_is_too_slow_to_tell() {
    let cluster = roomy();
    // All of them open from the start: what is judged is the load, within a few seconds.
    let told = loadtest(&cluster.url(), &["peak", "--duration", "4", "--json"], &[("DB_POOL_MIN", "50")]);
    let json = told.json();
    assert_eq!((&json["model"]["kind"], &json["model"]["rate_per_second"]), (&"open".into(), &900.0.into()));
    assert_eq!(json["threads"], 500);
    let run = run(&told);
    assert_eq!(run["connections"], 50);
    is_told_or_lags(&run);
    assert!(run["opened"]["count"].as_u64().unwrap() > 0, "{run}");
    assert!((3_300..3_900).contains(&run["requests"]["offered"].as_u64().unwrap()), "{run}");
    assert!(run["probe"]["asked"].as_u64().unwrap() > 0, "{run}");
    // A server that needs 43 ms for a query of 40 ms has too few cores; nothing else excuses a failure.
    let is_slow = run["times"]["service"]["p95_ms"].as_f64().unwrap() > 43.0;
    let may_break = |name: &&str| is_slow && ["p95", "utilisation"].contains(name);
    assert!(run["verdict"] != "fail" || broken(&run).iter().all(may_break), "{run}");
}

#[test]
fn a_light_load_passes_as_soon_as_the_machine_has_time_for_it() {
    let cluster = roomy();
    let arguments = ["baseline", "--rate", "5", "--duration", "2", "--query", "SELECT 1", "--json"];
    eventually(10 * LONG_BOUND, "a load of five requests a second passes", || {
        let told = loadtest(&cluster.url(), &arguments, &[]);
        is_told_or_lags(&run(&told));
        told.code == Some(0)
    });
}

#[test]
fn twenty_connections_never_carry_it() {
    let cluster = roomy();
    let limit = [("DB_CONNECTION_LIMIT", "20")];
    let told = loadtest(&cluster.url(), &["peak", "--duration", "3", "--json"], &limit);
    let run = run(&told);
    assert_eq!(run["connections"], 20, "what is set wins over the scenario");
    // 900 requests of 40 ms each second are 36 connections, however quick the machine is.
    assert_eq!(told.code, Some(1), "{run}");
    assert!(broken(&run).contains(&"utilisation"), "{run}");
    assert!(run["requests"]["offered"].as_u64() > run["requests"]["done"].as_u64(), "{run}");
}

#[test]
fn the_closed_model_is_labelled_so_and_judges_what_its_users_had() {
    let cluster = roomy();
    let arguments = ["baseline", "--users", "5", "--think", "0.05", "--duration", "1", "--query", "SELECT 1"];
    let told = loadtest(&cluster.url(), &[&arguments[..], &["--json"]].concat(), &[]);
    let json = told.json();
    assert_eq!((&json["model"]["kind"], &json["threads"]), (&"closed".into(), &5.into()));
    let run = run(&told);
    // Each rests for 50 ms in between: 20 times at the most.
    assert!((5..=105).contains(&run["requests"]["offered"].as_u64().unwrap()), "{run}");
    assert!(run["thresholds"].as_array().unwrap().iter().any(|line| line["name"] == "utilisation"));
    let shown = loadtest(&cluster.url(), &arguments, &[]).out;
    assert!(shown.contains("closed model, 5 users who rest 50.0 ms") && shown.is_ascii(), "{shown}");
    assert!(shown.lines().last().unwrap().starts_with("VERDICT: "), "{shown}");
    // Ten people who never rest have one connection at work all the time.
    let busy = ["baseline", "--users", "10", "--think", "0", "--duration", "2", "--json"];
    let told = loadtest(&cluster.url(), &busy, &[("DB_CONNECTION_LIMIT", "1")]);
    let busy = self::run(&told);
    assert!(broken(&busy).contains(&"utilisation"), "{busy}");
}

#[test]
fn a_flow_is_one_transaction_of_all_its_statements() {
    let cluster = roomy();
    // Both see the same transaction, and the second fails where there is none.
    let arguments = ["flow", "--rate", "20", "--duration", "1", "--json"];
    let good = run(&loadtest(&cluster.url(), &arguments, &[]));
    assert_eq!(
        (&good["requests"]["failed"], &good["requests"]["timeouts"]),
        (&0.into(), &0.into()),
        "{good}"
    );
    let within = ["--query", "DECLARE c CURSOR FOR SELECT 1", "--query", "FETCH c"];
    let said = run(&loadtest(&cluster.url(), &[&arguments[..], &within].concat(), &[]));
    assert_eq!(said["requests"]["failed"], 0, "{said}");
    let outside = [&["baseline"], &arguments[1..], &within].concat();
    let outside = run(&loadtest(&cluster.url(), &outside, &[]));
    assert_eq!(outside["requests"]["failed"], outside["requests"]["offered"], "{outside}");
}

#[test]
fn errors_and_timeouts_are_counted_apart_and_the_last_error_is_told() {
    let cluster = roomy();
    let arguments = ["baseline", "--rate", "20", "--duration", "1", "--json", "--query"];
    let told = loadtest(&cluster.url(), &[&arguments[..], &["SELECT 1/0"]].concat(), &[]);
    let failing = run(&told);
    assert_eq!(failing["requests"]["failed"], failing["requests"]["offered"], "{failing}");
    assert!(failing["last_error"].as_str().unwrap().contains("division by zero"), "{failing}");
    assert_eq!(broken(&failing)[..2], ["errors", "p95"], "what failed at once is not quick: {failing}");
    assert_eq!(told.code, Some(1), "no lag of the generator divides by zero: {failing}");
    let limit = [("DB_STATEMENT_TIMEOUT", "100")];
    let told = loadtest(&cluster.url(), &[&arguments[..], &["SELECT pg_sleep(3600)"]].concat(), &limit);
    let endless = run(&told);
    assert_eq!(endless["requests"]["timeouts"], endless["requests"]["offered"], "{endless}");
    assert!(broken(&endless).contains(&"timeouts"), "{endless}");
}

#[test]
fn what_cannot_be_asked_for_is_told_before_any_load_is_made() {
    // Nobody may be asked: this server would never answer.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let url = format!("postgresql://app:{APP_PASSWORD}@{}/news", silent.local_addr().unwrap());
    for line in [
        "",
        "rush",
        "peak --rate 0",
        "peak --rate -1",
        "peak --rate NaN",
        "peak --rate inf",
        "peak --rate 1000000000",
        "peak --rate many",
        "peak --duration 0",
        "peak --duration 0.5",
        "peak --duration 1000000000",
        "peak --users 0",
        "peak --users 1001",
        "peak --think 1",
        "peak --users 5 --think -1",
        "peak --users 5 --rate 5",
        "peak --seed -1",
        "peak --think 1 --rate 3",
        "peak --query ;",
        "flow --query commit --query TABLE",
        "flow --query TABLE;TABLE",
    ] {
        let arguments: Vec<_> = line.split_whitespace().collect();
        let told = loadtest(&url, &arguments, &[]);
        assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{line}: {told:?}");
        assert!(told.err.contains("error: "), "{line}: {told:?}");
    }
    let faulty = loadtest(&url, &["peak"], &[("DB_POOL_SIZE", "many")]);
    assert!(faulty.code == Some(2) && faulty.err.contains("DB_POOL_SIZE is many"), "{faulty:?}");
    let nowhere = loadtest("", &["peak"], &[]);
    assert!(nowhere.code == Some(2) && nowhere.err.contains("the settings cannot be used"), "{nowhere:?}");
    assert!(silent.accept().is_err(), "somebody was asked");
}

#[test]
fn a_server_that_does_not_answer_or_is_not_there_is_exit_code_two_in_bounded_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let nobody = support::port::free_port().unwrap();
    for port in [port, nobody] {
        let url = format!("postgresql://app:{APP_PASSWORD}@127.0.0.1:{port}/news?sslmode=disable");
        let (told, time) = took(|| loadtest(&url, &["peak"], &[]));
        assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{told:?}");
        assert!(told.err.starts_with("tierpool: no load was made: "), "{told:?}");
        assert!(time < LONG_BOUND + Duration::from_secs(10), "{time:?}");
    }
}

#[test]
fn the_report_is_also_one_page_that_stands_alone() {
    let (cluster, folder) = (roomy(), tempfile::tempdir().unwrap());
    let arguments = ["baseline", "--rate", "50", "--duration", "1", "--html", "page.html"];
    let told = ran(&mut command(folder.path(), &cluster.url(), &arguments));
    assert_eq!(names(folder.path()), ["page.html"], "{told:?}");
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(
        page.contains("<svg") && page.contains("errors &lt; 1 %") && page.ends_with("</html>\n"),
        "{page}"
    );
    assert!(page.contains(told.out.lines().next().unwrap()), "{page}");
    for outside in ["src=", "href=", "url(", "@import", APP_PASSWORD] {
        assert!(!page.contains(outside), "{outside} in {page}");
    }
}

#[test]
fn a_page_that_cannot_be_written_is_told_before_any_load_is_made() {
    let (folder, silent) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    silent.set_nonblocking(true).unwrap();
    let url = format!("postgresql://app:{APP_PASSWORD}@{}/news", silent.local_addr().unwrap());
    for path in [".", "/", "none/page.html", ""] {
        let told = ran(&mut command(folder.path(), &url, &["peak", "--html", path]));
        assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{path}: {told:?}");
        assert!(
            told.err.contains("cannot be written: ") || told.err.contains("a value is required"),
            "{told:?}"
        );
    }
    assert_eq!(names(folder.path()), Vec::<String>::new());
    assert!(silent.accept().is_err(), "somebody was asked");
}

#[test]
fn a_ramp_ends_at_the_first_rate_that_does_not_pass() {
    let cluster = roomy();
    let arguments = ["baseline", "--rate", "40", "--duration", "1", "--ramp", "--json"];
    let told = loadtest(&cluster.url(), &arguments, &[("DB_CONNECTION_LIMIT", "1")]);
    run(&told);
    let ramp = &told.json()["ramp"];
    let steps = ramp["steps"].as_array().unwrap();
    let (last, passed) = steps.split_last().unwrap();
    assert!(passed.iter().all(|step| step["verdict"] == "pass") && last["verdict"] != "pass", "{ramp}");
    // One connection carries 25 requests of 40 ms each second, and 20 are the most that may be asked of it.
    assert!(last["rate_per_second"].as_f64().unwrap() <= 20.0, "{ramp}");
    assert_eq!(
        ramp["carried_per_second"],
        passed.last().map_or(Value::Null, |step| step["rate_per_second"].clone())
    );
    let arguments = ["baseline", "--rate", "40", "--duration", "1", "--ramp", "--query", "SELECT 1/0"];
    let failing = loadtest(&cluster.url(), &arguments, &[]);
    assert!(failing.out.contains("capacity: no rate that was tried is carried"), "{failing:?}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_load_and_leaves_no_page() {
    use std::process::Stdio;

    use rustix::process::{Pid, Signal, kill_process};

    let (cluster, folder) = (roomy(), tempfile::tempdir().unwrap());
    let arguments = ["endurance", "--html", "page.html"];
    let mut command = command(folder.path(), &cluster.url(), &arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually(LONG_BOUND, "the load is made", || cluster.connections("tierpool-loadtest/%") > 2);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let (told, time) = took(|| Ran::from(child.wait_with_output().unwrap()));
    assert_eq!((told.code, told.out.as_str(), told.err.as_str()), (Some(130), "", ""));
    assert!(time < LONG_BOUND, "{time:?}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
    eventually(LONG_BOUND, "its sessions end", || cluster.connections("tierpool-loadtest/%") == 0);
}

#[test]
fn the_same_load_goes_through_the_other_pool_and_both_are_shown() {
    let cluster = roomy();
    let arguments = ["baseline", "--rate", "100", "--duration", "1", "--compare", "r2d2", "--json"];
    let told = loadtest(&cluster.url(), &arguments, &[]);
    let json = told.json();
    let [ours, theirs] = &json["runs"].as_array().unwrap()[..] else { panic!("{json}") };
    assert_eq!((&ours["pool"], &theirs["pool"]), (&"tierpool".into(), &"r2d2".into()));
    assert_eq!(
        (&ours["connections"], &theirs["connections"]),
        (&50.into(), &55.into()),
        "both have 55 in all"
    );
    for run in [ours, theirs] {
        adds_up(run);
        assert!(run["requests"]["done"].as_u64().unwrap() > 0, "{run}");
    }
    assert_eq!(ours["requests"]["offered"], theirs["requests"]["offered"], "the same arrivals");
    assert!(told.code == Some(2) || ours["code"] == told.code.unwrap(), "{told:?}");
    let unknown = loadtest(&cluster.url(), &["baseline", "--compare", "bb8"], &[]);
    assert!(unknown.code == Some(2) && unknown.err.contains("[possible values: r2d2]"), "{unknown:?}");
}
