//! Several servers: which of them is taken, and that a failover ends with every connection on the primary.
#![cfg(feature = "postgres")]

mod support;

use std::collections::HashSet;
use std::error::Error as _;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use support::cluster::{APP_PASSWORD, Cluster};
use support::pools::pool_of;
use support::proxy::{Admission, Proxy};
use support::wait::{LONG_BOUND, Over, SECOND, eventually, took};
use tierpool::config::TargetSessionAttrs;
use tierpool::postgres::{PgManager, PgOptions};
use tierpool::stats::CloseCause;
use tierpool::{PgBuilder, PgError, PgPool, Tier};

fn primary() -> Cluster {
    Cluster::builder().replicates().start().unwrap()
}

/// A primary and a standby that has all of it.
fn pair() -> (Cluster, Cluster) {
    let primary = primary();
    let standby = primary.standby().unwrap();
    standby.catch_up(&primary);
    (primary, standby)
}

fn url(ports: &[u16], query: &str) -> String {
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("postgresql://app:{APP_PASSWORD}@{}/app?{query}", hosts.join(","))
}

fn manager(ports: &[u16], attrs: TargetSessionAttrs, connect_timeout: Duration) -> PgManager {
    let mut options = PgOptions::default();
    options.target_session_attrs = Some(attrs);
    options.connect_timeout = Some(connect_timeout);
    PgManager::new(url(ports, "").parse().unwrap(), options).unwrap()
}

fn pool(url: String, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    pool_of(8, "failover", url, |builder| change(builder.connect_timeout(5 * SECOND)))
}

fn port_of(client: &mut postgres::Client) -> u16 {
    let port: i32 = client.query_one("SELECT inet_server_port()", &[]).unwrap().get(0);
    u16::try_from(port).unwrap()
}

fn open(manager: &PgManager) -> Result<u16, PgError> {
    manager.connect_within(LONG_BOUND).map(|mut conn| port_of(&mut conn))
}

/// The ports of the servers to which the connections of both tiers lead, and that those take writes.
#[track_caller]
fn assert_all_lead_to(pool: &PgPool, port: u16) {
    let mut conns: Vec<_> = (0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    conns.push(pool.get(Tier::Adhoc).unwrap());
    for conn in &mut conns {
        let row = conn.query_one("SELECT inet_server_port(), pg_is_in_recovery()", &[]).unwrap();
        assert_eq!((row.get::<_, i32>(0), row.get::<_, bool>(1)), (i32::from(port), false));
    }
}

/// Moves a server to read-only, or back, without a restart, as some failovers do.
fn set_read_only(cluster: &Cluster, on: bool) {
    let mut admin = cluster.admin();
    let to = if on { "on" } else { "off" };
    admin.batch_execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {to}")).unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    let mut client = cluster.client();
    eventually(LONG_BOUND, "the server has the setting", || {
        client.query_one("SHOW default_transaction_read_only", &[]).unwrap().get::<_, String>(0) == to
    });
}

fn count(pool: &PgPool, cause: CloseCause) -> u64 {
    pool.automation().stats().closed.count(cause)
}

#[test]
fn a_server_turned_read_only_has_its_connections_replaced_once_in_a_cooldown() {
    let cluster = primary();
    // One connection at a time is opened, so that a storm would be a long one.
    let pool = pool(cluster.url(), |builder| builder);
    let mut conns: Vec<_> = (0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    conns[0].batch_execute("CREATE TABLE t (i int)").unwrap();
    let old: HashSet<i32> = conns.iter_mut().map(|conn| conn.backend_pid().unwrap()).collect();
    drop(conns);
    let opened_before = pool.automation().stats().opened;

    set_read_only(&cluster, true);
    let write = || pool.session(|tx| tx.execute("INSERT INTO t VALUES (1)", &[]));
    let (refused, time) = took(|| {
        thread::scope(|scope| {
            let writers = (0..8).map(|_| scope.spawn(|| (0..100).filter(|_| write().is_err()).count()));
            writers.collect::<Vec<_>>().into_iter().map(|writer| writer.join().unwrap()).sum::<usize>()
        })
    });
    assert_eq!(refused, 800, "each writer hears of it each time");
    let opened = pool.automation().stats().opened - opened_before;
    // Each generation has eight at most; the cooldown is 5 s.
    let generations = 1 + time.as_secs() / 5 + 1;
    assert!(opened <= 8 * generations, "{opened} opened in {time:?}");
    let evicted = count(&pool, CloseCause::Evicted);
    assert!((8..=8 * generations).contains(&evicted), "{evicted} in {time:?}, idle ones among them");

    set_read_only(&cluster, false);
    eventually(LONG_BOUND, "a write is taken", || write().is_ok());
    assert!((0..50).all(|_| write().is_ok()), "and all that follow");
    let mut conns: Vec<_> = (0..8).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    assert!(conns.iter_mut().all(|conn| !old.contains(&conn.backend_pid().unwrap())));
}

#[test]
fn the_kind_of_server_asked_for_is_found_in_any_place_of_the_list() {
    let (primary, standby) = pair();
    let (first, second) = (standby.port(), primary.port());
    let lead = |attrs| open(&manager(&[first, second], attrs, 10 * SECOND)).unwrap();
    assert_eq!(lead(TargetSessionAttrs::Any), first);
    for attrs in [TargetSessionAttrs::ReadWrite, TargetSessionAttrs::Primary] {
        assert_eq!(lead(attrs), second, "{attrs}");
    }
    let lead = |attrs| open(&manager(&[second, first], attrs, 10 * SECOND)).unwrap();
    for attrs in
        [TargetSessionAttrs::ReadOnly, TargetSessionAttrs::Standby, TargetSessionAttrs::PreferStandby]
    {
        assert_eq!(lead(attrs), first, "{attrs}");
    }

    // A primary whose sessions are read-only is no use for writes, and is a primary still.
    set_read_only(&primary, true);
    assert_eq!(lead(TargetSessionAttrs::ReadOnly), second);
    assert_eq!(lead(TargetSessionAttrs::Primary), second);
    let error = open(&manager(&[first, second], TargetSessionAttrs::ReadWrite, 10 * SECOND)).unwrap_err();
    let told = error.source().unwrap().to_string();
    assert_eq!(
        told,
        format!(
            "127.0.0.1:{first}: the server is a standby, and target_session_attrs is read-write; \
             127.0.0.1:{second}: the server is a primary, with default_transaction_read_only on, and \
             target_session_attrs is read-write"
        )
    );

    standby.kill9();
    assert_eq!(lead(TargetSessionAttrs::PreferStandby), second, "where there is no standby");
    let error = open(&manager(&[first, second], TargetSessionAttrs::Standby, 10 * SECOND)).unwrap_err();
    let told = error.source().unwrap().to_string();
    assert!(told.contains("refused") && told.contains("the server is a primary"), "{told}");
}

#[test]
fn a_first_host_that_is_a_standby_gets_no_connection() {
    let (primary, standby) = pair();
    let url = url(&[standby.port(), primary.port()], "target_session_attrs=read-write");
    let pool = pool(url, |builder| builder.min_size(8));
    eventually(LONG_BOUND, "all are open", || pool.automation().gauges().idle == 8);
    assert_all_lead_to(&pool, primary.port());
    eventually(LONG_BOUND, "none is on the standby", || standby.connections("failover/%") == 0);
}

#[test]
fn a_demoted_server_is_left_for_the_promoted_one() {
    let (old, new) = pair();
    let hosts = url(&[old.port(), new.port()], "target_session_attrs=read-write");
    let pool = pool(hosts, |builder| builder.min_size(8));
    pool.get(Tier::Automation).unwrap().batch_execute("CREATE TABLE t (i int)").unwrap();
    eventually(LONG_BOUND, "all are open", || pool.automation().gauges().idle == 8);
    new.catch_up(&old);
    set_read_only(&old, true);
    new.promote();
    let write = || pool.session(|tx| tx.execute("INSERT INTO t VALUES (1)", &[]));
    assert!(write().is_err_and(|error| error.is_read_only()));
    eventually(LONG_BOUND, "a write is taken", || write().is_ok());
    assert!((0..50).all(|_| write().is_ok()), "idle ones were replaced as well");
    // The ad-hoc tier hears of it by a read of its own.
    eventually(LONG_BOUND, "ad-hoc callers get to the new one", || {
        port_of(&mut pool.get(Tier::Adhoc).unwrap()) == new.port()
    });
    assert_all_lead_to(&pool, new.port());
    eventually(LONG_BOUND, "no connection is left on the old one", || old.connections("failover/%") == 0);
}

#[test]
fn a_stuck_session_is_ended_also_on_a_server_that_is_of_the_wrong_kind_by_now() {
    let cluster = primary();
    let pool = pool(url(&[cluster.port()], "target_session_attrs=read-write"), |builder| {
        let ended = Some(3 * SECOND);
        // Nothing else is to end it.
        let builder = builder.statement_timeout(Duration::ZERO);
        builder.automation(move |tier| tier.leak_threshold(Some(SECOND)).terminate_stuck_after(ended))
    });
    let mut conn = pool.get(Tier::Automation).unwrap();
    let gone = || cluster.connections("failover/automation") == 0;
    thread::scope(|scope| {
        scope.spawn(move || conn.batch_execute("SELECT pg_sleep(120)").expect_err("it was ended"));
        set_read_only(&cluster, true);
        eventually(LONG_BOUND, "its backend has ended, and not only the wait for it", gone);
    });
}

#[test]
fn readers_leave_a_server_that_is_of_the_wrong_kind_by_now() {
    let (one, other) = (primary(), primary());
    let url = url(&[one.port(), other.port()], "target_session_attrs=read-write");
    let pool = pool(url, |builder| builder.min_size(4));
    eventually(LONG_BOUND, "all are open", || pool.automation().gauges().idle == 4);
    assert_eq!(port_of(&mut pool.get(Tier::Automation).unwrap()), one.port());
    if pool.get(Tier::Adhoc).unwrap().query_one("SHOW in_hot_standby", &[]).is_err() {
        return; // Before PostgreSQL 14 a server does not tell.
    }
    set_read_only(&one, true);
    // The first read brings the news.
    eventually(LONG_BOUND, "reads go to the other", || {
        (0..8).all(|_| port_of(&mut pool.get(Tier::Automation).unwrap()) == other.port())
    });
    eventually(LONG_BOUND, "none is left on the first", || one.connections("failover/automation") == 0);
}

#[test]
fn hosts_that_are_down_or_silent_cost_their_share_once_and_not_each_connection() {
    let cluster = primary();
    let silent = Proxy::start(cluster.port()).unwrap();
    silent.admit(Admission::Swallow);
    let down = support::port::free_port().unwrap();
    let manager = manager(&[silent.port(), down, cluster.port()], TargetSessionAttrs::Any, 6 * SECOND);
    let conns: Vec<_> = (0..10).map(|_| manager.connect_within(6 * SECOND).unwrap()).collect();
    assert_eq!(conns.len(), 10);
    assert!(silent.accepted() <= 2, "{} connections tried the silent one first", silent.accepted());

    // The same for the addresses of a name: where it has one of IPv6 too, nobody listens there.
    let by_name = PgPool::builder().url(cluster.url().replace("127.0.0.1", "localhost")).build();
    assert!(by_name.is_ok_and(|pool| pool.get(Tier::Automation).is_ok()));

    // Where all fail the error names each with its own cause, within the one limit.
    cluster.kill9();
    let (outcome, time) = took(|| manager.connect_within(2 * SECOND));
    assert!(time < 4 * SECOND, "{time:?}");
    let error = outcome.unwrap_err();
    assert!(
        error.to_string().starts_with("could not open a connection to any of 3 servers: 127.0.0.1:"),
        "{error}"
    );
    let told = error.source().unwrap().to_string();
    for part in [silent.port(), down, cluster.port()].map(|port| format!("127.0.0.1:{port}: ")) {
        assert!(told.contains(&part), "{told}");
    }
    assert!(told.contains("connect_timeout") && told.matches("refused").count() == 2, "{told}");
}

#[test]
fn a_silent_standby_is_looked_for_once_where_any_server_will_do() {
    let cluster = primary();
    let silent = Proxy::start(cluster.port()).unwrap();
    silent.admit(Admission::Swallow);
    let attrs = TargetSessionAttrs::PreferStandby;
    let manager = manager(&[silent.port(), cluster.port()], attrs, 4 * SECOND);
    for _ in 0..5 {
        assert_eq!(open(&manager).unwrap(), cluster.port());
    }
    assert_eq!(silent.accepted(), 1, "the others did not spend what is left of their time on it");
}

#[test]
fn the_check_of_the_kind_of_server_is_under_the_connect_timeout() {
    let cluster = primary();
    let proxy = Proxy::start(cluster.port()).unwrap();
    // Each message takes 300 ms, and the handshake has some six: its end is near the limit, the check beyond it.
    proxy.delay(Duration::from_millis(300));
    let manager = manager(&[proxy.port()], TargetSessionAttrs::ReadWrite, 2 * SECOND);
    let (outcome, time) = took(|| manager.connect_within(2 * SECOND));
    assert!(outcome.is_err() && time < 4 * SECOND, "{time:?}, {outcome:?}");
}

#[test]
fn random_balancing_spreads_connections_over_the_hosts() {
    let (one, other) = (primary(), primary());
    let url = url(&[one.port(), other.port()], "load_balance_hosts=random");
    let pool = pool(url, |builder| builder.base_size(40).min_size(40));
    eventually(LONG_BOUND, "all are open", || pool.automation().gauges().idle == 40);
    let counts = [&one, &other].map(|cluster| cluster.connections("failover/automation"));
    assert_eq!(counts.iter().sum::<usize>(), 40);
    // Fewer than 5 of 40 by chance: once in ten million runs.
    assert!(counts.iter().all(|count| *count >= 5), "{counts:?}");
}

#[test]
fn a_failover_loses_no_acknowledged_row_and_ends_with_every_connection_on_the_new_primary() {
    let (old, new) = pair();
    // From now on a row is acknowledged when the standby has it too.
    old.admin().batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").unwrap();
    old.admin().batch_execute("SELECT pg_reload_conf()").unwrap();
    let hosts = url(&[old.port(), new.port()], "target_session_attrs=read-write");
    let pool = pool(hosts, |builder| builder.connection_timeout(5 * SECOND));
    pool.get(Tier::Automation).unwrap().batch_execute("CREATE TABLE t (i int)").unwrap();
    eventually(LONG_BOUND, "rows wait for the standby", || {
        let row =
            old.admin().query_one("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", &[]);
        row.unwrap().get::<_, i64>(0) == 1
    });

    let acknowledged = Mutex::new(Vec::new());
    let (next, stop) = (AtomicI32::new(0), AtomicBool::new(false));
    let insert = |i: i32| pool.session(|tx| tx.execute("INSERT INTO t VALUES ($1)", &[&i]));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let i = next.fetch_add(1, Ordering::Relaxed);
            // A worker goes on with the same row until its fate is known, and leaves it where it cannot be.
            while !stop.load(Ordering::Relaxed) {
                match insert(i) {
                    Ok(_) => acknowledged.lock().push(i),
                    Err(error) if error.is_outcome_unknown() => {}
                    Err(_) => continue,
                }
                break;
            }
        }
    };
    let rows = || acknowledged.lock().len();
    thread::scope(|scope| {
        let stops = Over(&stop);
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        eventually(LONG_BOUND, "rows are written", || rows() >= 200);
        old.kill9();
        let before = rows();
        new.promote();
        eventually(LONG_BOUND, "all go on at the new primary", || rows() >= before + 200);
        old.rejoin(&new);
        let before = rows();
        eventually(LONG_BOUND, "and with the old one back as a standby", || rows() >= before + 200);
        drop(stops);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });

    assert_all_lead_to(&pool, new.port());
    assert_eq!(old.connections("failover/%"), 0, "nothing goes to the old primary");
    let mut admin = pool.get(Tier::Adhoc).unwrap();
    let found: Vec<i32> = admin.query("SELECT i FROM t", &[]).unwrap().iter().map(|row| row.get(0)).collect();
    let distinct: HashSet<i32> = found.iter().copied().collect();
    assert_eq!(found.len(), distinct.len(), "no row is there twice");
    let lost: Vec<_> = acknowledged.lock().iter().copied().filter(|i| !distinct.contains(i)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
