//! `tierpool verify` straight on a server: each planted fault is found, alone, with what to do, and costs bounded time.
#![cfg(unix)]

mod support;

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use support::authority::Authority;
use support::child::Program;
use support::cluster::{APP_PASSWORD, Cluster, cluster};
use support::hostile::{HostileServer, Step, frames};
use support::pools::pool_of;
use support::port::free_port;
use support::tool::ran;
use support::verified::{Verified, command};
use support::wait::{LONG_BOUND, eventually, took};
use tierpool::Tier;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

#[track_caller]
fn verify(url: &str, variables: &[(&str, &str)]) -> Verified {
    support::verified::verified(PROGRAM, url, variables)
}

/// Has the server's superuser do something.
fn plant(cluster: &Cluster, sql: &str) {
    cluster.admin().batch_execute(sql).unwrap();
}

/// Waits until it finds this of the room beside others: the sessions of a test's own set-up take a moment to end.
#[track_caller]
fn settles(url: &str, variables: &[(&str, &str)], found: &str) {
    eventually(LONG_BOUND, found, || verify(url, variables).check("room beside others")["found"] == found);
}

#[test]
fn a_sound_server_passes_and_nothing_is_left_there_nor_written() {
    let cluster = cluster();
    let room = "60 connections wanted, 97 can be had beside 0 sessions of others";
    settles(&cluster.url(), &[], room);
    let told = verify(&cluster.url(), &[]);
    told.assert_failed(&[]);
    assert_eq!(told.named("UNKNOWN"), [""; 0]);
    told.assert_told(
        "max_connections",
        &["60 connections wanted", "97 (100, less 3 reserved by the server)"],
    );
    told.assert_told(
        "room beside others",
        &["60 connections wanted, 97 can be had beside 0 sessions of others"],
    );
    told.assert_told("statement timeout", &["30 s in force"]);

    let folder = tempfile::tempdir().unwrap();
    let shown = ran(&mut command(PROGRAM, &folder, &cluster.url(), &[]));
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    assert!(shown.out.ends_with("\nVERDICT: ALL CHECKS PASSED\n"), "{shown:?}");
    assert!(shown.out.contains("Budget: 60 connections: 50 + 5 for automation, 5 for ad-hoc"), "{shown:?}");
    assert!(shown.out.is_ascii() && !shown.tells(APP_PASSWORD), "{shown:?}");
    eventually(LONG_BOUND, "its connection is gone", || cluster.connections("tierpool/%") == 0);
    let written = "SELECT count(*) FROM pg_class WHERE relowner = 'app'::regrole";
    assert_eq!(cluster.client().query_one(written, &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn a_profile_is_checked_in_place_of_the_one_that_is_set() {
    let cluster = cluster();
    let folder = tempfile::tempdir().unwrap();
    let mut peak = command(PROGRAM, &folder, &cluster.url(), &["--json", "--profile", "peak"]);
    let told = ran(peak.env("DB_POOL_PROFILE", "minmax").env("DB_CONNECTION_LIMIT", "20"));
    assert_eq!(told.code, Some(0), "warnings do not fail: {told:?}");
    let json = told.json();
    assert_eq!((&json["profile"], &json["budget"]["total_connections"]), (&"peak".into(), &25.into()));
    let warned: Vec<_> =
        json["checks"].as_array().unwrap().iter().filter(|check| check["state"] == "WARN").collect();
    assert_eq!((warned.len(), &warned[0]["allowed"]), (1, &"at least 50".into()), "{json:#}");
    assert_eq!(json["verdict"], "ALL CHECKS PASSED, 1 WARNING");
    let unknown = ran(&mut command(PROGRAM, &folder, &cluster.url(), &["--profile", "no-such"]));
    assert!(unknown.code == Some(2) && unknown.err.contains("no-such"), "{unknown:?}");
}

#[test]
fn without_usable_settings_nothing_is_asked_and_it_is_exit_code_two() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = ran(command(PROGRAM, &folder, "", &[]).env_remove("DATABASE_URL"));
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(2), ""));
    assert!(nothing.err.contains("server is not set"), "{nothing:?}");
    let json = ran(command(PROGRAM, &folder, "", &["--json"]).env("DB_POOL_SIZE", "many"));
    assert_eq!((json.code, json.json()["faults"].as_array().map(Vec::len)), (Some(2), Some(2)), "{json:?}");
    let file = "postgresql://app@db.example/app?sslmode=verify-full&sslrootcert=/no/such/ca.pem";
    let missing = ran(&mut command(PROGRAM, &folder, file, &[]));
    assert!(missing.code == Some(2) && missing.err.contains("/no/such/ca.pem"), "{missing:?}");
}

#[test]
fn a_budget_above_what_the_server_takes_is_found_with_both_reserves() {
    let small = Cluster::builder().max_connections(62).start().unwrap();
    let room = "60 connections wanted, 59 can be had beside 0 sessions of others";
    settles(&small.url(), &[], room);
    let told = verify(&small.url(), &[]);
    told.assert_failed(&["max_connections"]);
    told.assert_told(
        "max_connections",
        &["59 (62, less 3 reserved by the server)", "raise max_connections by 1 at least", "to 59 at most"],
    );
    verify(&small.url(), &[("DB_TOTAL_CONNECTIONS", "59")]).assert_failed(&[]);
    let kept = Cluster::builder().max_connections(70).setting("superuser_reserved_connections", "11");
    let kept = kept.start().unwrap();
    settles(&kept.url(), &[], room);
    verify(&kept.url(), &[]).assert_failed(&["max_connections"]);
}

#[test]
fn limits_of_role_and_database_below_the_budget_are_found_and_bind_no_superuser() {
    let cluster = cluster();
    plant(&cluster, "ALTER ROLE app CONNECTION LIMIT 59");
    let role = verify(&cluster.url(), &[]);
    role.assert_failed(&["role limit"]);
    role.assert_told(
        "role limit",
        &["59 (CONNECTION LIMIT of role app)", "ALTER ROLE", "CONNECTION LIMIT 60"],
    );
    plant(&cluster, "ALTER DATABASE app CONNECTION LIMIT 59");
    verify(&cluster.url(), &[]).assert_failed(&["role limit", "database limit"]);
    plant(&cluster, "ALTER ROLE app CONNECTION LIMIT 60");
    verify(&cluster.url(), &[]).assert_failed(&["database limit"]);
    let superuser = verify(&cluster.superuser_url(), &[]);
    superuser.assert_failed(&[]);
    assert_eq!(superuser.named("WARN"), ["role limit"]);
}

#[test]
fn too_little_left_beside_other_clients_is_found_and_the_applications_own_do_not_count() {
    let cluster = Cluster::builder().max_connections(66).start().unwrap();
    let pool = pool_of(4, "news", cluster.url(), |builder| builder);
    let held: Vec<_> = (0..4).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    verify(&cluster.url(), &[("DB_POOL_NAME", "news")]).assert_failed(&[]);
    let billing = [("DB_POOL_NAME", "billing")];
    let room = "60 connections wanted, 59 can be had beside 4 sessions of others";
    settles(&cluster.url(), &billing, room);
    let others = verify(&cluster.url(), &billing);
    others.assert_failed(&["room beside others"]);
    assert!(!others.check("room beside others").to_string().contains("do not name it"));
    let unnamed = verify(&cluster.url(), &[]);
    unnamed.assert_failed(&["room beside others"]);
    unnamed.assert_told("room beside others", &["the settings do not name it"]);
    drop(held);
}

#[test]
fn a_server_that_is_full_is_a_fault_and_not_unknown() {
    let cluster = Cluster::builder().max_connections(10).start().unwrap();
    let others: Vec<_> = (0..7).map(|_| cluster.client()).collect();
    let told = verify(&cluster.url(), &[("DATABASE_CONNECT_TIMEOUT", "5")]);
    told.assert_failed(&["connection"]);
    told.assert_told("connection", &["53300", "end other clients' sessions"]);
    drop(others);
}

#[test]
fn a_refused_password_and_a_database_that_is_not_there_are_faults() {
    let cluster = cluster();
    let wrong = cluster.url().replace(APP_PASSWORD, "hush-4711-wrong");
    let told = verify(&wrong, &[]);
    told.assert_failed(&["connection"]);
    told.assert_told("connection", &["28P01", "set the password"]);
    assert!(!told.ran.tells("hush"), "{:?}", told.ran);
    let log = cluster.server_log();
    assert_eq!(log.matches("password authentication failed").count(), 1, "asked once: {log}");
    let nowhere = format!("{}?dbname=nowhere", cluster.url());
    verify(&nowhere, &[]).assert_told("connection", &["3D000", "create the database"]);
}

#[test]
fn an_unreachable_host_is_not_known_and_what_can_be_checked_is_shown_all_the_same() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for port in [free_port().unwrap(), silent.local_addr().unwrap().port()] {
        let url = format!("postgresql://app:{APP_PASSWORD}@127.0.0.1:{port}/app?sslmode=disable");
        let (told, time) = took(|| verify(&url, &[("DATABASE_CONNECT_TIMEOUT", "5")]));
        assert!(time < LONG_BOUND, "{time:?}");
        assert_eq!((told.ran.code, told.named("UNKNOWN")), (Some(2), vec!["connection"]), "{:?}", told.ran);
        assert_eq!(told.named("OK"), ["settings", "recommended"]);
        told.assert_told("connection", &[&port.to_string(), "see that host and port are right"]);
    }
}

#[test]
fn an_interrupt_ends_it_while_it_waits() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgresql://app:{APP_PASSWORD}@127.0.0.1:{port}/app?sslmode=disable");
    let folder = tempfile::tempdir().unwrap();
    let mut child = Program(command(PROGRAM, &folder, &url, &[]).stdout(Stdio::null()).spawn().unwrap());
    silent.set_nonblocking(true).unwrap();
    let mut waits = None;
    eventually(LONG_BOUND, "it connects", || {
        waits = silent.accept().ok();
        waits.is_some()
    });
    rustix::process::kill_process(Pid::from_child(&child.0), Signal::INT).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(130));
}

#[test]
fn encryption_that_is_demanded_and_not_there_is_a_fault() {
    let cluster = cluster();
    let told = verify(&format!("{}?sslmode=require", cluster.url()), &[]);
    told.assert_failed(&["connection"]);
    told.assert_told("connection", &["TLS"]);
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let identity = ours.server(&["db.tierpool.test"]);
    let encrypted = Cluster::builder().setting("ssl", "on").setting("ssl_cert_file", "own.crt");
    let encrypted = encrypted.setting("ssl_key_file", "own.key").file("own.crt", identity.cert);
    let encrypted = encrypted.file("own.key", identity.key).start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trusting = |name: &str, authority: &Authority| {
        let file = folder.path().join(name);
        std::fs::write(&file, authority.cert()).unwrap();
        verify(&format!("{}?sslmode=verify-ca&sslrootcert={}", encrypted.url(), file.display()), &[])
    };
    let sound = trusting("ours.pem", &ours);
    sound.assert_failed(&[]);
    sound.assert_told("tls", &["encrypted, the certificate is checked (sslmode=verify-ca)"]);
    trusting("others.pem", &others).assert_failed(&["connection"]);
    verify(&encrypted.url(), &[]).assert_told("tls", &["encrypted, the certificate is not checked"]);
    let only_tls = Cluster::builder().hba("hostssl all all 127.0.0.1/32 scram-sha-256").start().unwrap();
    verify(&only_tls.plain_url(), &[]).assert_told("connection", &["28000", "pg_hba.conf"]);
}

#[test]
fn a_limit_of_statements_that_the_role_has_instead_is_found() {
    let cluster = cluster();
    plant(&cluster, "ALTER ROLE app SET statement_timeout = '5s'");
    verify(&cluster.url(), &[]).assert_failed(&[]);
    let none = verify(&cluster.url(), &[("DB_STATEMENT_TIMEOUT", "0")]);
    none.assert_failed(&["statement timeout"]);
    none.assert_told("statement timeout", &["5 s in force", "no limit (DB_STATEMENT_TIMEOUT)", "RESET"]);
}

#[test]
fn idle_connections_that_the_server_ends_before_the_keepalive_are_found() {
    let cluster = cluster();
    plant(&cluster, "ALTER ROLE app SET idle_session_timeout = '45s'");
    let told = verify(&cluster.url(), &[]);
    told.assert_failed(&["idle session timeout"]);
    told.assert_told("idle session timeout", &["45 s", "more than the keepalive, 60 s"]);
    plant(&cluster, "ALTER ROLE app SET idle_session_timeout = '5min'");
    verify(&cluster.url(), &[]).assert_failed(&[]);
}

#[test]
fn a_standby_where_a_primary_is_needed_is_found_whether_or_not_it_is_asked_for() {
    let primary = Cluster::builder().replicates().start().unwrap();
    let standby = primary.standby().unwrap();
    standby.catch_up(&primary);
    let asked = |attrs: &str| verify(&format!("{}?target_session_attrs={attrs}", standby.url()), &[]);
    for attrs in ["any", "read-write", "primary"] {
        let told = asked(attrs);
        told.assert_failed(&["kind of server"]);
        told.assert_told("kind of server", &["a standby", &format!("target_session_attrs is {attrs}")]);
    }
    for attrs in ["standby", "prefer-standby", "read-only"] {
        asked(attrs).assert_failed(&[]);
    }
    let both = format!("127.0.0.1:{},127.0.0.1:{}", standby.port(), primary.port());
    let url = standby.url().replace(&format!("127.0.0.1:{}", standby.port()), &both);
    verify(&format!("{url}?target_session_attrs=read-write"), &[]).assert_failed(&[]);
    plant(&primary, "ALTER ROLE app SET default_transaction_read_only = on");
    verify(&primary.url(), &[]).assert_failed(&["kind of server"]);
}

#[test]
fn a_server_that_dribbles_lies_or_falls_silent_costs_bounded_time_and_forges_no_line() {
    let start = |script| HostileServer::start(vec![script], vec![]).unwrap();
    let lets_in =
        |rest: Vec<Step>| start([vec![Step::Startup, Step::Send(frames::greeting(b'I'))], rest].concat());
    let dribble = || Step::Dribble(frames::notice("wait"), Duration::from_millis(100));
    let lie = frames::error("FATAL", "28000", "no\u{1b}[2J\nVERDICT: ALL CHECKS PASSED");
    for (server, code, said) in [
        (start(vec![Step::Startup, dribble()]), 2, "UNKNOWN  connection"),
        (start(vec![Step::Startup, Step::Send(lie), Step::Close]), 1, "FAIL     connection"),
        (lets_in(vec![Step::AwaitEnd]), 2, "UNKNOWN  server"),
        (lets_in(vec![Step::Expect(b'P'), dribble()]), 2, "UNKNOWN  server"),
        (lets_in(vec![Step::Serve(vec![])]), 2, "UNKNOWN  server"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(PROGRAM, &folder, &server.url(), &[]);
        let (told, time) =
            took(|| ran(command.env("DATABASE_CONNECT_TIMEOUT", "5").env("USE_PGBOUNCER", "false")));
        assert!(time < LONG_BOUND, "{time:?}");
        assert!(told.code == Some(code) && told.out.contains(said), "{said}: {told:?}");
        assert!(!told.tells("\u{1b}") && !told.tells("secret"), "{told:?}");
        let verdicts = told.out.lines().filter(|line| line.starts_with("VERDICT")).count();
        assert_eq!(verdicts, 1, "{told:?}");
    }
}
