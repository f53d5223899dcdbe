//! What the wire observer tells about a connection, and the waits that it ends.
#![cfg(feature = "postgres")]

mod support;

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;
use support::cluster::cluster;
use support::wait::{BOUND, SECOND, SLACK, eventually, measured_within, took, within};
use support::wire::{DROP_BOUND, Frozen, chain, manager, one, open};
use tierpool::postgres::{PgConnection, PgDriver, PgError, SocketTimeout, TransactionStatus};
use tierpool::{Condition, Driver, FailureClass};

#[test]
fn transaction_status_follows_each_reply() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    assert_eq!(conn.transaction_status(), Some(TransactionStatus::Idle));
    conn.batch_execute("BEGIN").unwrap();
    assert_eq!(conn.transaction_status(), Some(TransactionStatus::InTransaction));
    conn.batch_execute("SELECT 1/0").unwrap_err();
    // The error comes ahead of the end of the reply.
    conn.settle(BOUND).unwrap();
    assert_eq!(conn.transaction_status(), Some(TransactionStatus::Failed));
    conn.batch_execute("ROLLBACK").unwrap();
    assert_eq!(conn.transaction_status(), Some(TransactionStatus::Idle));
    assert_eq!(conn.round_trips(), Some(3));
    assert_eq!(conn.backend_pid().unwrap(), one::<i32>(&mut conn, "SELECT pg_backend_pid()"));
}

#[test]
fn a_probe_finds_a_terminated_backend_and_costs_no_round_trip() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    for _ in 0..100 {
        conn.probe(BOUND).unwrap();
    }
    assert_eq!(conn.round_trips(), Some(0));
    assert!(!conn.is_closed());
    let pid = conn.backend_pid().unwrap();
    cluster.admin().execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
    eventually(BOUND, "the probe tells", || conn.probe(BOUND).is_err());
    assert!(conn.is_lost() && conn.is_closed());
    assert_eq!(PgDriver.condition(&manager(&cluster.url(), |_| ()), &mut conn), Condition::Broken);
}

#[test]
fn a_probe_passes_over_notifications_and_statements_being_closed() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    conn.batch_execute("LISTEN news").unwrap();
    for _ in 0..20 {
        cluster.admin().batch_execute("NOTIFY news, 'x'").unwrap();
        // Leaves a statement behind that the next turn of the reactor closes.
        one::<i32>(&mut conn, "SELECT 1");
        conn.probe(BOUND).unwrap();
        assert!(!conn.is_reply_pending());
    }
    assert_eq!(one::<i32>(&mut conn, "SELECT 2"), 2);
}

#[test]
fn a_terminated_query_closes_the_client() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    let pid = conn.backend_pid().unwrap();
    let error = conn.execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap_err();
    let error = PgError::from(error);
    assert!(error.is_connection_lost(), "{}", chain(&error));
    assert!(conn.is_lost());
    conn.simple_query("").unwrap_err();
    assert!(conn.is_closed());
}

#[test]
fn an_error_with_the_code_of_a_lost_connection_leaves_this_one_good() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    // As postgres_fdw passes on what befell another server.
    for code in ["08006", "57P01"] {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'elsewhere' USING ERRCODE = '{code}'; END $$");
        let error = PgError::from(conn.batch_execute(&raise).unwrap_err());
        assert_eq!(error.sqlstate(), Some(code));
        assert!(!error.is_connection_lost() && !conn.is_lost(), "{}", chain(&error));
        assert_eq!(one::<i32>(&mut conn, "SELECT 1"), 1);
    }
}

#[test]
fn a_handshake_that_is_never_answered_ends_at_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let manager = manager(&format!("host=127.0.0.1 port={port} user=u"), |_| ());
    let limit = Duration::from_millis(300);
    let error = within(limit + SLACK, "a handshake without answer", || {
        let (error, time) = took(|| manager.connect_within(limit).unwrap_err());
        assert!(time >= limit, "{time:?}");
        error
    });
    assert!(
        chain(&error).contains("start-up handshake within 300 ms (connect_timeout)"),
        "{}",
        chain(&error)
    );
    assert!(error.is_client_timeout());
    assert_eq!(PgDriver.classify(&error), FailureClass::Transient);
}

#[test]
fn a_silent_server_is_given_up_after_the_socket_timeout() {
    let cluster = cluster();
    // In a row they take longer than one may.
    let limit = Duration::from_millis(600);
    let manager = manager(&cluster.url(), |options| options.socket_timeout = SocketTimeout::After(limit));
    let mut conn = open(&manager);
    for _ in 0..7 {
        conn.batch_execute("SELECT pg_sleep(0.1)").unwrap();
    }
    drop(conn);
    measured_within(limit + SLACK, "a query without answer", || {
        let mut conn = open(&manager);
        let (error, time) = took(|| conn.batch_execute("SELECT pg_sleep(60)").unwrap_err());
        assert!(time >= limit, "{time:?}");
        let error = PgError::from(error);
        assert!(
            chain(&error).contains("no reply from the server within 600 ms (socket_timeout)"),
            "{}",
            chain(&error)
        );
        assert!(error.is_client_timeout() && error.is_connection_lost() && conn.is_lost());
        time.max(limit + took(|| drop(conn)).1)
    });

    let mut longer = open(&manager);
    longer.set_socket_timeout(None);
    longer.batch_execute("SELECT pg_sleep(0.8)").unwrap();
    PgDriver.condition(&manager, &mut longer);
    longer.batch_execute("SELECT pg_sleep(60)").unwrap_err();
}

#[test]
fn a_slow_reader_is_not_mistaken_for_a_silent_server() {
    let cluster = cluster();
    let limit = Duration::from_millis(400);
    let mut conn =
        open(&manager(&cluster.url(), |options| options.socket_timeout = SocketTimeout::After(limit)));
    let none: [i32; 0] = [];
    // Rows large enough for the server to send each at once.
    let query = "SELECT repeat('x', 20000), pg_sleep(0.05) FROM generate_series(1, 4) i";
    let mut rows = conn.query_raw(query, none).unwrap();
    let mut count = 0;
    while rows.next().unwrap().is_some() {
        count += 1;
        // The reader's own work, longer than the limit.
        thread::sleep(2 * limit);
    }
    drop(rows);
    assert_eq!(count, 4);
    assert_eq!(one::<i32>(&mut conn, "SELECT 1"), 1);
}

#[test]
fn abandoning_from_another_thread_ends_a_query() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    // With the drop of the connection.
    measured_within(DROP_BOUND, "the end of a query", || {
        let mut conn = open(&manager);
        let (handle, pid) = (conn.abandon_handle(), conn.backend_pid().unwrap());
        let worker = thread::spawn(move || {
            let error = PgError::from(conn.batch_execute("SELECT pg_sleep(60)").unwrap_err());
            (error, conn.is_lost())
        });
        eventually(BOUND, "the query runs", || cluster.sleeps(pid));
        assert!(handle.abandon());
        let ((error, lost), time) = took(|| worker.join().unwrap());
        assert!(lost && error.is_connection_lost(), "{}", chain(&error));
        time
    });
}

#[test]
fn cancelling_leaves_the_connection_good() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |options| options.statement_timeout = Some(SECOND / 5));
    let mut conn = open(&manager);
    let timed_out = PgError::from(conn.batch_execute("SELECT pg_sleep(60)").unwrap_err());
    assert!(timed_out.is_statement_timeout() && !timed_out.is_connection_lost(), "{}", chain(&timed_out));
    conn.batch_execute("BEGIN; SET LOCAL statement_timeout = 0").unwrap();
    let cancel = conn.cancel_handle();
    let pid = conn.backend_pid().unwrap();
    let worker = thread::spawn(move || (conn.batch_execute("SELECT pg_sleep(60)").unwrap_err(), conn));
    eventually(BOUND, "the query runs", || cluster.sleeps(pid));
    // The longest there is has its meaning too.
    cancel.cancel(Duration::MAX).unwrap();
    let (error, mut conn) = worker.join().unwrap();
    let error = PgError::from(error);
    conn.batch_execute("ROLLBACK").unwrap();
    assert_eq!(error.sqlstate(), Some("57014"));
    assert!(!error.is_statement_timeout(), "a user's cancel is not a timeout");
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Dirty, "a round trip is due");
    PgDriver.reset(&manager, &mut conn, false, BOUND).unwrap();
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Clean);
}

#[test]
fn a_drop_is_short_whatever_is_pending() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    let driver = PgDriver;

    let drop_of = |mut conn: PgConnection, get_ready: fn(&mut PgConnection)| {
        get_ready(&mut conn);
        let _frozen = Frozen::of(conn.backend_pid().unwrap());
        took(|| drop(conn)).1
    };

    measured_within(SECOND / 5 + DROP_BOUND, "a ping without answer", || {
        let mut conn = open(&manager);
        let _frozen = Frozen::of(conn.backend_pid().unwrap());
        let (error, time) = took(|| driver.validate_suspect(&manager, &mut conn, SECOND / 5).unwrap_err());
        assert!(error.is_client_timeout(), "{time:?}: {}", chain(&error));
        let (_, of_drop) = took(|| drop(conn));
        time.max(SECOND / 5 + of_drop)
    });
    measured_within(DROP_BOUND, "in a transaction", || {
        drop_of(open(&manager), |conn| conn.batch_execute("BEGIN").unwrap())
    });
    measured_within(DROP_BOUND, "with a row stream half read", || {
        drop_of(open(&manager), |conn| {
            let none: [i32; 0] = [];
            let mut rows = conn.query_raw("SELECT generate_series(1, 5000000)", none).unwrap();
            assert!(rows.next().unwrap().is_some());
            drop(rows);
            assert!(conn.is_reply_pending());
        })
    });
    measured_within(DROP_BOUND, "with a statement to be closed", || {
        drop_of(open(&manager), |conn| assert_eq!(one::<i32>(conn, "SELECT 1"), 1))
    });
    let mut pid = 0;
    measured_within(DROP_BOUND, "idle", || {
        let mut idle = open(&manager);
        pid = idle.backend_pid().unwrap();
        took(|| drop(idle)).1
    });
    let mut admin = cluster.admin();
    eventually(BOUND, "the server has seen the goodbye", || {
        let found = admin.query_one("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", &[&pid]);
        found.unwrap().get::<_, i64>(0) == 0
    });
}

#[test]
fn a_copy_leaves_the_counts_right_finished_or_not() {
    use std::io::Write as _;
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    let mut conn = open(&manager);
    conn.batch_execute("CREATE TABLE copied (i int)").unwrap();
    let mut writer = conn.copy_in("COPY copied FROM STDIN").unwrap();
    writer.write_all(b"1\n2\n").unwrap();
    assert_eq!(writer.finish().unwrap(), 2);
    conn.ping(BOUND).unwrap();
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Clean);

    let mut writer = conn.copy_in("COPY copied FROM STDIN").unwrap();
    writer.write_all(b"3\n").unwrap();
    drop(writer);
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Dirty);
    PgDriver.reset(&manager, &mut conn, false, BOUND).unwrap();
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Clean);
    assert_eq!(one::<i64>(&mut conn, "SELECT count(*) FROM copied"), 2);
}

#[test]
fn failed_opens_are_classified() {
    let cluster = cluster();
    let class = |url: &str| {
        let error = manager(url, |_| ()).connect_within(BOUND).unwrap_err();
        (PgDriver.classify(&error), PgDriver.code(&error).unwrap_or_default())
    };
    let url = cluster.url();
    let port = cluster.port();
    let wrong = format!("host=127.0.0.1 port={port} user=app password=wrong dbname=app");
    assert_eq!(class(&wrong), (FailureClass::Permanent, "28P01".to_owned()));
    let no_password = format!("host=127.0.0.1 port={port} user=app dbname=app");
    assert_eq!(class(&no_password).0, FailureClass::Permanent);
    let mut config: postgres::Config = url.parse().unwrap();
    config.dbname("nowhere");
    let error = tierpool::postgres::PgManager::new(config, Default::default()).unwrap().connect_within(BOUND);
    let error = error.unwrap_err();
    assert_eq!(PgDriver.classify(&error), FailureClass::Permanent, "{}", chain(&error));
    let free = support::port::free_port().unwrap();
    assert_eq!(
        class(&format!("host=127.0.0.1 port={free} user=u")),
        (FailureClass::Transient, String::new())
    );
}

#[test]
fn a_server_turned_read_only_misroutes_and_a_read_only_transaction_does_not() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    let mut conn = open(&manager);
    conn.batch_execute("CREATE TABLE t (i int)").unwrap();
    conn.batch_execute("BEGIN READ ONLY").unwrap();
    let refused = PgError::from(conn.batch_execute("INSERT INTO t VALUES (1)").unwrap_err());
    assert!(refused.is_read_only());
    conn.batch_execute("ROLLBACK").unwrap();
    if one::<i32>(&mut conn, "SELECT current_setting('server_version_num')::int") >= 140_000 {
        assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Clean);
    }
    let mut admin = cluster.admin();
    admin.batch_execute("ALTER SYSTEM SET default_transaction_read_only = on").unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    eventually(BOUND, "a write is refused", || conn.batch_execute("INSERT INTO t VALUES (1)").is_err());
    // The error comes ahead of the end of its reply, where the server tells of the setting.
    conn.settle(BOUND).unwrap();
    assert_eq!(PgDriver.condition(&manager, &mut conn), Condition::Misrouted);
}

#[test]
fn a_stale_plan_is_noted() {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    conn.batch_execute("CREATE TABLE t (i int)").unwrap();
    let all = conn.prepare("SELECT * FROM t").unwrap();
    conn.query(&all, &[]).unwrap();
    conn.batch_execute("ALTER TABLE t ADD COLUMN j int").unwrap();
    assert_eq!(conn.query(&all, &[]).unwrap_err().code().unwrap().code(), "0A000");
    assert_eq!(conn.cached_plan_errors(), 1);
}

#[test]
fn a_list_of_hosts_may_mix_unix_and_tcp() {
    let cluster = cluster();
    let free = support::port::free_port().unwrap();
    let hosts = format!("host={},127.0.0.1 port={free},{}", cluster.socket_dir().display(), cluster.port());
    let rest = format!("user=app dbname=app password={}", support::cluster::APP_PASSWORD);
    let conn = open(&manager(&format!("{hosts} {rest}"), |_| ()));
    assert!(conn.is_observed(), "there is no socket for that port, so TCP is next");
    assert!(!open(&manager(&cluster.url_unix(), |_| ())).is_observed());
}

#[test]
fn a_silent_connection_is_pinged_and_a_lively_one_probed() {
    let cluster = cluster();
    let manager = manager(&cluster.url(), |_| ());
    measured_within(DROP_BOUND, "the drop of one that was pinged", || {
        let mut conn = open(&manager);
        one::<i32>(&mut conn, "SELECT 1");
        let before = conn.round_trips().unwrap();
        PgDriver.validate(&manager, &mut conn, BOUND).unwrap();
        assert_eq!(conn.round_trips(), Some(before));
        let _frozen = Frozen::of(conn.backend_pid().unwrap());
        eventually(BOUND, "the silence counts", || {
            PgDriver.validate(&manager, &mut conn, SECOND / 10).is_err()
        });
        assert_eq!(conn.round_trips(), Some(before + 1));
        took(|| drop(conn)).1
    });
}
