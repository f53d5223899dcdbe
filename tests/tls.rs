//! TLS: whom each mode trusts, what an error says to change, and the observer above it.
#![cfg(feature = "tls")]

#[path = "tls/defaults.rs"]
mod defaults;
#[path = "tls/faults.rs"]
mod faults;
#[path = "tls/place.rs"]
mod place;
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use place::{Files, HOST, address, is_encrypted, manager, open, options, root, server, start};
use support::authority::{self, Authority};
use support::cluster::{APP_PASSWORD, Cluster};
use support::proxy::Proxy;
use support::wait::{SECOND, eventually, took};
use support::wire::{DROP_BOUND, Frozen, one};
use tierpool::config::TlsMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
use tierpool::config::TlsOptions;
use tierpool::postgres::{PgDriver, PgManager, PgOptions, SocketTimeout, TransactionStatus};
use tierpool::{Condition, Driver, FailureClass, PgError, PgPool, Tier};

/// Waiting helps nothing, and the end of the chain of causes says what does.
#[track_caller]
fn refused(outcome: Result<tierpool::postgres::PgConnection, PgError>, parts: &[&str]) {
    let error = outcome.unwrap_err();
    let text = root(&error);
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert_eq!(PgDriver.classify(&error), FailureClass::Permanent, "{text}");
}

#[test]
fn each_mode_checks_what_libpq_says_it_checks() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let files = Files::new();
    let (right, wrong) = (files.put("ca.pem", &ours.cert()), files.put("other.pem", &others.cert()));
    let cluster = start(server(&ours.server(&[HOST])));
    let by_name = address(cluster.port(), HOST);
    let by_address = address(cluster.port(), "127.0.0.1");
    let with = |mode, file: &PathBuf| options(mode, Some(file.clone()));

    for (address, tls, encrypted) in [
        (&by_name, with(VerifyFull, &right), true),
        (&by_address, with(VerifyCa, &right), true),
        (&by_address, with(Require, &right), true),
        (&by_address, options(Require, None), true),
        (&by_address, options(Prefer, None), true),
        (&by_address, with(Prefer, &wrong), true),
        (&by_address, options(Disable, None), false),
        (&by_address, options(Allow, None), false),
    ] {
        let mut conn = open(address, &tls).unwrap_or_else(|error| panic!("{tls:?}: {}", root(&error)));
        assert_eq!(is_encrypted(&mut conn), encrypted, "{tls:?}");
        assert!(conn.is_observed());
    }

    refused(
        open(&by_address, &with(VerifyFull, &right)),
        &["is for db.tierpool.test, not for 127.0.0.1", "sslmode=verify-ca"],
    );
    for mode in [VerifyFull, VerifyCa, Require] {
        refused(open(&by_name, &with(mode, &wrong)), &["not signed", "other.pem", "sslrootcert"]);
    }
    // No system trusts an authority made a second ago, and some trust nobody.
    let system = options(VerifyFull, Some("system".into()));
    match PgManager::with_tls(by_name.parse().unwrap(), PgOptions::default(), &system) {
        Ok(manager) => refused(manager.connect_within(10 * SECOND), &["this system trusts", "sslrootcert"]),
        Err(error) => assert!(error.to_string().contains("sslrootcert is system"), "{error}"),
    }
}

#[test]
fn a_configuration_alone_has_its_modes_too() {
    let ours = Authority::new("ours");
    let cluster = start(server(&ours.server(&[HOST])));
    for (mode, encrypted) in [("disable", false), ("prefer", true), ("require", true)] {
        let config = format!("{} sslmode={mode}", address(cluster.port(), HOST)).parse().unwrap();
        let manager = PgManager::new(config, PgOptions::default()).unwrap();
        let mut conn = manager.connect_within(10 * SECOND).unwrap();
        assert_eq!(is_encrypted(&mut conn), encrypted, "{mode}");
    }
    // The weaker of two demands does not win.
    let config = format!("{} sslmode=require", address(cluster.port(), HOST));
    assert!(is_encrypted(&mut open(&config, &TlsOptions::default()).unwrap()));
    // Binds the password exchange to the server's certificate.
    let bound = format!("{} channel_binding=require", address(cluster.port(), HOST));
    assert!(is_encrypted(&mut open(&bound, &options(Require, None)).unwrap()));
    open(&bound, &options(Disable, None)).unwrap_err();
}

#[test]
fn an_expired_certificate_and_an_authoritys_own_are_refused_by_name() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let right = files.put("ca.pem", &ours.cert());
    let cluster = start(server(&ours.expired(&[HOST])));
    let by_name = address(cluster.port(), HOST);
    refused(open(&by_name, &options(VerifyCa, Some(right))), &["expired", "days ago", "renew"]);
    assert!(is_encrypted(&mut open(&by_name, &options(Require, None)).unwrap()));

    let own = authority::self_signed(&[HOST], true);
    let pinned = files.put("own.pem", &own.cert);
    let cluster = start(server(&own));
    let by_name = address(cluster.port(), HOST);
    refused(open(&by_name, &options(VerifyFull, Some(pinned))), &["CA:TRUE", "CA:FALSE"]);
    assert!(is_encrypted(&mut open(&by_name, &options(Require, None)).unwrap()));

    let own = authority::self_signed(&[HOST], false);
    let pinned = files.put("own.pem", &own.cert);
    let cluster = start(server(&own));
    open(&address(cluster.port(), HOST), &options(VerifyFull, Some(pinned))).unwrap();
}

#[test]
fn a_server_without_tls_is_refused_or_spoken_to_in_plain_text() {
    let cluster = start(Cluster::builder());
    let address = address(cluster.port(), "127.0.0.1");
    refused(open(&address, &options(Require, None)), &["does not speak TLS", "ssl=on", "sslmode=prefer"]);
    // On the very connection that it was asked on.
    let proxy = Proxy::start(cluster.port()).unwrap();
    let through = place::address(proxy.port(), "127.0.0.1");
    let mut conn = open(&through, &options(Prefer, None)).unwrap();
    assert!(!is_encrypted(&mut conn) && conn.is_observed());
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn prefer_does_without_tls_where_only_that_is_let_in_and_asks_no_password_twice() {
    let ours = Authority::new("ours");
    let cluster = start(server(&ours.server(&[HOST])).hba("hostnossl all all 127.0.0.1/32 scram-sha-256"));
    let proxy = Proxy::start(cluster.port()).unwrap();
    let through = address(proxy.port(), HOST);
    let conn = open(&through, &options(Prefer, None));
    let mut conn = conn.unwrap_or_else(|error| panic!("{}\n{}", root(&error), cluster.server_log()));
    assert!(!is_encrypted(&mut conn));
    assert_eq!(proxy.accepted(), 2);

    let cluster = start(server(&ours.server(&[HOST])));
    let proxy = Proxy::start(cluster.port()).unwrap();
    let through = address(proxy.port(), HOST).replace(APP_PASSWORD, "wrong");
    let error = open(&through, &options(Prefer, None)).unwrap_err();
    assert_eq!((error.sqlstate(), proxy.accepted()), (Some("28P01"), 1), "{}", root(&error));
}

#[test]
fn a_server_that_wants_tls_says_so_to_one_that_does_not_ask() {
    let ours = Authority::new("ours");
    let cluster = start(server(&ours.server(&[HOST])).hba("hostssl all all 127.0.0.1/32 scram-sha-256"));
    let by_name = address(cluster.port(), HOST);
    refused(open(&by_name, &options(Disable, None)), &["no encryption", "sslmode=require"]);
    for mode in [Allow, Prefer] {
        assert!(is_encrypted(&mut open(&by_name, &options(mode, None)).unwrap()), "{mode:?}");
    }
    // Without encryption it would be another refusal, which says less.
    let role = format!("CREATE ROLE nobody NOLOGIN PASSWORD '{APP_PASSWORD}'");
    cluster.admin().batch_execute(&role).unwrap();
    let nobody = by_name.replace("user=app", "user=nobody");
    refused(open(&nobody, &options(Prefer, None)), &["nobody", "not permitted to log in"]);
}

#[test]
fn a_client_certificate_is_shown_where_the_server_wants_one() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let files = Files::new();
    let cluster = start(
        server(&ours.server(&[HOST]))
            .setting("ssl_ca_file", "ca.crt")
            .file("ca.crt", ours.cert())
            .hba("hostssl all all 127.0.0.1/32 cert"),
    );
    let by_name = address(cluster.port(), HOST);
    let with = |name: &str, identity: &authority::Identity| {
        let mut tls = options(VerifyFull, Some(files.put("ca.pem", &ours.cert())));
        tls.client_cert = Some(files.put(&format!("{name}.crt"), &identity.cert));
        tls.client_key = Some(files.put(&format!("{name}.key"), &identity.key));
        tls
    };
    let mut conn = open(&by_name, &with("app", &ours.client("app"))).unwrap();
    assert!(is_encrypted(&mut conn));
    // A cancel request goes through the same handshake.
    conn.cancel_handle().cancel(10 * SECOND).unwrap();

    let error = open(&by_name, &options(Require, None)).unwrap_err();
    assert_eq!(error.sqlstate(), Some("28000"));
    refused(Err(error), &["valid client certificate", "sslcert", "sslkey"]);
    // In TLS 1.3 the server looks at it after the client's side of the handshake is done.
    refused(open(&by_name, &with("foreign", &others.client("app"))), &["foreign.crt", "ssl_ca_file"]);
    let error = open(&by_name, &with("stranger", &ours.client("stranger"))).unwrap_err();
    assert_eq!(error.sqlstate(), Some("28000"), "a good certificate of another role: {}", root(&error));
}

#[test]
fn renewed_files_are_read_again() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let files = Files::new();
    let cluster = start(server(&ours.server(&[HOST])));
    let tls = options(VerifyFull, Some(files.put("ca.pem", &others.cert())));
    let manager = manager(&address(cluster.port(), HOST), &tls);
    refused(manager.connect_within(10 * SECOND), &["not signed"]);
    // Of another length than the first, for file systems whose times are coarse.
    files.put("ca.pem", &format!("# renewed\n{}", ours.cert()));
    manager.connect_within(10 * SECOND).unwrap();
    // A file that was written half does no harm.
    files.put("ca.pem", "-----BEGIN CERT");
    manager.connect_within(10 * SECOND).unwrap();
}

#[test]
fn the_observer_works_above_tls() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let cluster = start(server(&ours.server(&[HOST])));
    let tls = options(VerifyFull, Some(files.put("ca.pem", &ours.cert())));
    let mut own = PgOptions::default();
    own.socket_timeout = SocketTimeout::After(SECOND);
    let config = address(cluster.port(), HOST).parse().unwrap();
    let manager = PgManager::with_tls(config, own, &tls).unwrap();
    let mut conn = manager.connect_within(10 * SECOND).unwrap();

    assert_eq!((conn.round_trips(), conn.transaction_status()), (Some(0), Some(TransactionStatus::Idle)));
    assert_eq!(conn.backend_pid().unwrap(), one::<i32>(&mut conn, "SELECT pg_backend_pid()"));
    conn.batch_execute("BEGIN").unwrap();
    assert_eq!(conn.transaction_status(), Some(TransactionStatus::InTransaction));
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Dirty);
    conn.batch_execute("ROLLBACK").unwrap();
    // More than a TLS record holds, and than the buffers on the way.
    let text: String = one(&mut conn, "SELECT repeat('x', 1000000)");
    assert_eq!(text.len(), 1_000_000);
    let before = conn.round_trips();
    for _ in 0..100 {
        conn.probe(10 * SECOND).unwrap();
    }
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Clean);
    assert_eq!(conn.round_trips(), before, "neither a probe nor a look at a clean return asks the server");

    let frozen = Frozen::of(conn.backend_pid().unwrap());
    let (error, time) = took(|| PgError::from(conn.batch_execute("SELECT 1").unwrap_err()));
    assert!(root(&error).contains("socket_timeout") && error.is_client_timeout(), "{}", root(&error));
    assert!(time >= SECOND && conn.is_lost());
    assert!(took(|| drop(conn)).1 < DROP_BOUND);
    drop(frozen);

    let mut conn = manager.connect_within(10 * SECOND).unwrap();
    let pid = conn.backend_pid().unwrap();
    cluster.admin().execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
    eventually(10 * SECOND, "the probe tells", || conn.probe(SECOND).is_err());
    assert!(conn.is_lost());
}

#[test]
fn a_statement_is_cancelled_over_tls_and_only_so() {
    let ours = Authority::new("ours");
    let cluster = start(server(&ours.server(&[HOST])));
    let manager = manager(&address(cluster.port(), HOST), &options(Require, None));
    let mut conn = manager.connect_within(10 * SECOND).unwrap();
    let (cancel, pid) = (conn.cancel_handle(), conn.backend_pid().unwrap());
    let worker = thread::spawn(move || (conn.batch_execute("SELECT pg_sleep(60)").unwrap_err(), conn));
    eventually(10 * SECOND, "the query runs", || cluster.sleeps(pid));
    cancel.cancel(10 * SECOND).unwrap();
    let (error, mut conn) = worker.join().unwrap();
    assert_eq!(PgError::from(error).sqlstate(), Some("57014"));
    conn.settle(10 * SECOND).unwrap();
    assert_eq!(one::<i32>(&mut conn, "SELECT 1"), 1);

    // With TLS gone from the server, the key of the session is not sent in the clear.
    let mut admin = cluster.admin();
    admin.batch_execute("ALTER SYSTEM SET ssl = off").unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    eventually(10 * SECOND, "the server has no TLS", || {
        cancel.cancel(10 * SECOND).is_err_and(|error| root(&error).contains("does not speak TLS"))
    });
}

/// A server that says `answer` to the first eight bytes it gets, and nothing more; gives all it was sent in the end.
fn scripted(answer: &'static [u8]) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = thread::spawn(move || {
        let mut stream: TcpStream = listener.accept().unwrap().0;
        let mut sent = vec![0; 8];
        stream.read_exact(&mut sent).unwrap();
        stream.write_all(answer).unwrap();
        // Ends when the client hangs up; a reset is as good.
        let _ = stream.read_to_end(&mut sent);
        sent
    });
    (port, served)
}

#[test]
fn the_handshake_is_bounded_and_takes_nothing_that_came_in_the_clear() {
    let limit = SECOND;
    for silent in [&b""[..], b"S"] {
        let (port, served) = scripted(silent);
        let manager = manager(&address(port, HOST), &options(Require, None));
        let (error, time) = took(|| manager.connect_within(limit).unwrap_err());
        assert!(time >= limit && error.is_client_timeout(), "{time:?} {}", root(&error));
        assert!(root(&error).contains("connect_timeout"), "{}", root(&error));
        assert_eq!(PgDriver.classify(&error), FailureClass::Transient);
        served.join().unwrap();
    }
    // An AuthenticationOk behind the S, as somebody in between would put it.
    let (port, served) = scripted(b"SR\0\0\0\x08\0\0\0\0");
    refused(open(&address(port, HOST), &options(Require, None)), &["was not TLS", HOST]);
    let sent = served.join().unwrap();
    assert!(!sent.windows(4).any(|part| part == b"user"), "no start-up message in the clear");
    let (port, served) = scripted(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let error = open(&address(port, HOST), &options(Require, None)).unwrap_err();
    assert!(
        ["\"H\"", "no PostgreSQL server"].iter().all(|part| root(&error).contains(part)),
        "{}",
        root(&error)
    );
    assert_eq!(PgDriver.classify(&error), FailureClass::Transient, "another service may have had the port");
    served.join().unwrap();
}

#[test]
fn direct_tls_begins_with_the_handshake_and_names_the_protocol() {
    let (port, served) = scripted(b"");
    let direct = format!("{} sslnegotiation=direct", address(port, HOST));
    manager(&direct, &options(Require, None)).connect_within(2 * SECOND).unwrap_err();
    let sent = served.join().unwrap();
    assert_eq!(sent[..2], [0x16, 0x03], "a TLS record");
    assert!(sent.windows(10).any(|part| part == b"postgresql"));

    let ours = Authority::new("ours");
    let cluster = start(server(&ours.server(&[HOST])));
    let direct = format!("{} sslnegotiation=direct", address(cluster.port(), HOST));
    let version: i32 = one_of(&cluster, "SELECT current_setting('server_version_num')::int");
    match open(&direct, &options(Require, None)) {
        Ok(mut conn) => assert!(version >= 170_000 && is_encrypted(&mut conn)),
        Err(error) => {
            assert!(version < 170_000, "{}", root(&error));
            assert!(root(&error).contains("before PostgreSQL 17"), "{}", root(&error));
        }
    }
    let config = format!("{direct} sslmode=prefer").parse().unwrap();
    let error = PgManager::new(config, PgOptions::default()).unwrap_err().to_string();
    assert!(error.contains("sslmode is prefer: must be require or stronger"), "{error}");
}

fn one_of(cluster: &Cluster, query: &str) -> i32 {
    cluster.admin().query_one(query, &[]).unwrap().get(0)
}

#[test]
fn a_pool_takes_all_of_it_from_its_url() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let cluster = start(server(&ours.server(&[HOST])).hba("hostssl all all 127.0.0.1/32 scram-sha-256"));
    let right = files.put("ca.pem", &ours.cert());
    let url = |more: &str| {
        let port = cluster.port();
        format!("postgresql://app:{APP_PASSWORD}@{HOST}:{port}/app?hostaddr=127.0.0.1&pool_timeout=10{more}")
    };
    let good = url(&format!("&sslmode=verify-full&sslrootcert={}", right.display()));
    let pool = PgPool::connect(good.as_str()).unwrap();
    for tier in [Tier::Automation, Tier::Adhoc] {
        assert!(is_encrypted(&mut pool.get(tier).unwrap()), "{tier:?}");
    }

    // The demand holds for a tier with an address of its own: here it is not the certificate's.
    let own = format!("postgresql://app:{APP_PASSWORD}@127.0.0.1:{}/app", cluster.port());
    let pool = PgPool::builder().url(good.as_str()).adhoc_url(own.as_str()).build_unchecked().unwrap();
    assert!(is_encrypted(&mut pool.get(Tier::Automation).unwrap()));
    let error = pool.get(Tier::Adhoc).unwrap_err().to_string();
    assert!(error.contains("is for db.tierpool.test, not for 127.0.0.1"), "{error}");

    let other = files.put("other.pem", &Authority::new("others").cert());
    let bad = url(&format!("&sslmode=verify-full&sslrootcert={}", other.display()));
    let (error, time) = took(|| PgPool::connect(bad.as_str()).unwrap_err());
    assert!(error.to_string().contains("other.pem: name the file"), "one line names the remedy: {error}");
    assert!(time < 9 * SECOND, "nobody waits out the deadline for it: {time:?}");

    let missing = files.missing();
    let bad = url(&format!("&sslmode=verify-ca&sslrootcert={}", missing.display()));
    let error = PgPool::connect(bad.as_str()).unwrap_err().to_string();
    assert_eq!(error.matches("missing.pem").count(), 1, "{error}");
    assert!(error.contains("sslrootcert is") && error.contains("No such file"), "{error}");
}
