//! The throw-away PostgreSQL that other tests stand on does what they ask of it.

#![cfg(feature = "postgres")]

mod support;

use std::error::Error;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postgres::error::SqlState;
use postgres::{Client, NoTls};
use rustix::process::Signal;
use support::cluster::{APP_PASSWORD, Cluster};
use support::process::Process;
use support::proxy::Proxy;
use support::scripted::Gate;
use support::wait::{BOUND, eventually, took};

fn one(client: &mut Client) -> Result<i32, postgres::Error> {
    client.query_one("SELECT 1", &[]).map(|row| row.get(0))
}

#[test]
fn answers_over_tcp_and_socket() {
    let cluster =
        Cluster::builder().max_connections(20).setting("idle_session_timeout", "1h").start().unwrap();
    for url in [cluster.url(), cluster.url_unix(), cluster.superuser_url()] {
        let mut client = Client::connect(&url, NoTls).unwrap();
        assert_eq!(one(&mut client).unwrap(), 1);
        let setting = |client: &mut Client, name: &str| -> String {
            client.query_one(&format!("SHOW {name}"), &[]).unwrap().get(0)
        };
        assert_eq!(setting(&mut client, "max_connections"), "20");
        assert_eq!(setting(&mut client, "idle_session_timeout"), "1h");
    }
    let refused = cluster.config().password("wrong").connect(NoTls).err().unwrap();
    assert_eq!(refused.code(), Some(&SqlState::INVALID_PASSWORD));
    assert!(cluster.server_log().contains("password authentication failed"));
    assert!(!cluster.server_log().contains(APP_PASSWORD));
}

#[test]
fn is_reached_through_a_proxy() {
    let cluster = Cluster::start_new().unwrap();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let mut client = Client::connect(&cluster.url_through(proxy.port()), NoTls).unwrap();
    assert_eq!(one(&mut client).unwrap(), 1);
    proxy.reset();
    assert!(one(&mut client).is_err());
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn counts_and_ends_sessions() {
    let cluster = Cluster::start_new().unwrap();
    let mut clients: Vec<Client> =
        (0..3).map(|_| cluster.config().application_name("counted").connect(NoTls).unwrap()).collect();
    assert_eq!(cluster.connections("count%"), 3);
    assert_eq!(cluster.terminate_backends(), 3);
    eventually(BOUND, "no session is left", || cluster.connections("count%") == 0);
    assert!(clients.iter_mut().all(|client| one(client).is_err()));
}

#[test]
fn tells_a_session_that_sleeps_from_one_that_does_not() {
    let cluster = Cluster::start_new().unwrap();
    let mut client = cluster.client();
    let pid = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    assert!(!cluster.sleeps(pid));
    let sleeper = thread::spawn(move || client.batch_execute("SELECT pg_sleep(60)").is_err());
    eventually(BOUND, "it sleeps", || cluster.sleeps(pid));
    assert_eq!(cluster.terminate_backends(), 1);
    assert!(sleeper.join().unwrap());
}

#[test]
fn stops_dies_and_starts_again_on_its_port_and_data() {
    let cluster = Cluster::start_new().unwrap();
    let port = cluster.port();
    let mut client = cluster.client();
    client.batch_execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").unwrap();
    cluster.restart_fast();
    assert!(one(&mut client).is_err());
    cluster.kill9();
    assert!(cluster.config().connect(NoTls).is_err());
    cluster.start();
    assert_eq!(cluster.port(), port);
    let mut client = cluster.client();
    assert_eq!(client.query_one("SELECT n FROM kept", &[]).unwrap().get::<_, i32>(0), 7);
}

/// Runs a query on another thread and says by message when it is done.
fn ask(mut client: Client) -> mpsc::Receiver<i32> {
    let (done, answer) = mpsc::channel();
    thread::spawn(move || done.send(one(&mut client).unwrap()));
    answer
}

#[test]
fn frozen_it_answers_only_after_the_thaw() {
    let cluster = Cluster::start_new().unwrap();
    let silence = Duration::from_millis(200);

    let client = cluster.client();
    cluster.freeze_all();
    let answer = ask(client);
    assert!(answer.recv_timeout(silence).is_err(), "a frozen server answered");
    cluster.thaw_all();
    assert_eq!(answer.recv_timeout(BOUND), Ok(1));

    let client = cluster.client();
    cluster.freeze_backends();
    let answer = ask(client);
    assert_eq!(one(&mut cluster.client()).unwrap(), 1, "new sessions are not frozen");
    assert!(answer.recv_timeout(silence).is_err(), "a frozen session answered");
    cluster.thaw_backends();
    assert_eq!(answer.recv_timeout(BOUND), Ok(1));

    let mut client = cluster.client();
    cluster.freeze_postmaster();
    assert_eq!(one(&mut client).unwrap(), 1, "present sessions are not frozen");
    let (done, opened) = mpsc::channel();
    let config = cluster.config();
    thread::spawn(move || done.send(config.connect(NoTls).is_ok()));
    assert!(opened.recv_timeout(silence).is_err(), "a frozen postmaster let somebody in");
    cluster.thaw_postmaster();
    assert_eq!(opened.recv_timeout(BOUND), Ok(true));
}

/// The postmaster and all its children, by the file in which the server notes its id.
fn processes(folder: &Path) -> Vec<Process> {
    let noted = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    let postmaster = Process::find(noted.lines().next().unwrap().parse().unwrap()).unwrap();
    let mut all = postmaster.descendants();
    assert!(!all.is_empty(), "a server has children");
    all.push(postmaster);
    all
}

#[test]
fn leaves_no_process_and_no_folder() {
    let cluster = Cluster::start_new().unwrap();
    let _client = cluster.client();
    let (folder, running) = (cluster.socket_dir().to_path_buf(), processes(cluster.socket_dir()));
    cluster.freeze_all();
    let ((), time) = took(|| drop(cluster));
    assert!(running.iter().all(|process| process.is_gone()));
    assert!(!folder.exists());
    assert!(time < BOUND, "dropping took {time:?}");
}

#[test]
fn leaves_nothing_after_a_panic() {
    let (tell, told) = mpsc::channel();
    let outcome = thread::spawn(move || {
        let cluster = Cluster::start_new().unwrap();
        tell.send((cluster.socket_dir().to_path_buf(), processes(cluster.socket_dir()))).unwrap();
        panic!("a test that fails, as this one is to show");
    })
    .join();
    assert!(outcome.is_err());
    let (folder, running) = told.recv().unwrap();
    assert!(running.iter().all(|process| process.is_gone()));
    assert!(!folder.exists());
}

#[test]
fn a_killed_server_leaves_no_shared_memory() {
    let cluster = Cluster::start_new().unwrap();
    let noted = std::fs::read_to_string(cluster.socket_dir().join("data/postmaster.pid")).unwrap();
    let id = noted.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)).unwrap().to_owned();
    let exists = || {
        let segments = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
        segments.lines().any(|line| line.split_whitespace().nth(1) == Some(&id))
    };
    cluster.kill9();
    assert!(exists(), "the segment outlives the server");
    drop(cluster);
    assert!(!exists());
}

/// Set in the environment of a process that this test starts from its own program.
const HOLDER: &str = "TIERPOOL_TEST_HOLDS_A_CLUSTER";

/// Starts another process that holds a cluster, and returns it with the cluster's folder.
fn holder() -> (Child, PathBuf) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_end_of_its_process_leaves_nothing", "--nocapture"]).env(HOLDER, "1");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let folder =
        lines.find_map(|line| line.unwrap().split_once("folder=").map(|(_, path)| PathBuf::from(path)));
    (child, folder.expect("the other process names the folder of its cluster"))
}

#[test]
fn the_end_of_its_process_leaves_nothing() {
    if std::env::var_os(HOLDER).is_some() {
        let cluster = Cluster::start_new().unwrap();
        cluster.freeze_all();
        println!("folder={}", cluster.socket_dir().display());
        Gate::new().pass(None);
        return;
    }
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let (mut child, folder) = holder();
        let running = processes(&folder);
        Process::find(child.id() as i32).unwrap().signal(signal);
        let status = child.wait().unwrap();
        let is_clear = || !folder.exists() && running.iter().all(|process| process.is_gone());
        if signal == Signal::KILL {
            eventually(BOUND, "the guard clears up", is_clear);
        } else {
            assert_eq!(status.code(), Some(130));
            assert!(is_clear(), "something is left after {signal:?}");
        }
    }
}

#[test]
fn missing_programs_are_named_with_what_to_install() {
    let empty = tempfile::tempdir().unwrap();
    let error = Cluster::builder().bin_folder(empty.path()).start().err().unwrap();
    let text = error.to_string();
    for part in
        ["initdb", "postgres", "PG_BIN", "apt-get install -y postgresql", empty.path().to_str().unwrap()]
    {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn a_folder_without_pg_basebackup_has_servers_but_no_standbys_and_says_so() {
    let usual = support::cluster::cluster();
    let bin = tempfile::tempdir().unwrap();
    fs::set_permissions(bin.path(), Permissions::from_mode(0o755)).unwrap();
    for name in ["initdb", "postgres"] {
        // No link, which would lead to the folder that has the rest.
        let (program, script) = (usual.program(name), bin.path().join(name));
        fs::write(&script, format!("#!/bin/sh\nexec {} \"$@\"\n", program.display())).unwrap();
        fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    }
    let primary = Cluster::builder().bin_folder(bin.path()).replicates().start().unwrap();
    let text = primary.standby().err().unwrap().to_string();
    let folder = bin.path().to_str().unwrap();
    for part in ["pg_basebackup was not found", folder, "apt-get install -y postgresql", "PG_BIN"] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn a_wrong_setting_is_told_with_the_log() {
    let error = Cluster::builder().setting("no_such_setting", "1").start().err().unwrap();
    assert!(error.to_string().contains("no_such_setting"), "{error:?}");
    assert!(error.source().is_none());
}
