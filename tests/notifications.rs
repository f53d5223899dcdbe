//! Notifications: nobody gets those that another has asked for, and no flood of them fills the memory.
#![cfg(feature = "postgres")]

mod support;

use std::fs;

use parking_lot::Mutex;
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;
use support::cluster::{Cluster, cluster};
use support::pools::pool_of;
use support::wait::{LONG_BOUND, eventually};
use support::wire::{manager, one, open};
use tierpool::postgres::{PgConnection, PgManager, ResetPolicy};
use tierpool::{Builder, CustomizeConnection, PgBuilder, PgError, PgPool, Tier};

const MIB: usize = 1 << 20;

fn pool(cluster: &Cluster, change: impl FnOnce(PgBuilder) -> PgBuilder) -> PgPool {
    pool_of(1, "notifications", cluster.url(), change)
}

fn listening(conn: &mut PgConnection) -> i64 {
    one(conn, "SELECT count(*) FROM pg_listening_channels()")
}

/// Those that have come. The server sends what another session has sent before it answers a query that came later.
fn fetched(conn: &mut PgConnection) -> usize {
    one::<i32>(conn, "SELECT 1");
    conn.notifications().iter().count().unwrap()
}

/// The memory of this process that is in use.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Sends so many notifications in one transaction, each with a text of that length.
fn notify(sender: &mut Client, count: u32, length: u32) {
    let text = format!(
        "SELECT count(pg_notify('news', repeat('x', {length}) || i)) FROM generate_series(1, {count}) i"
    );
    sender.batch_execute(&text).unwrap();
}

#[test]
fn the_next_borrower_hears_nothing_of_what_the_last_one_listened_to() {
    let cluster = cluster();
    let mut sender = cluster.client();
    for policy in [ResetPolicy::Rollback, ResetPolicy::Full, ResetPolicy::Sql("SELECT 1".to_owned())] {
        let pool = pool(&cluster, |builder| builder.reset_policy(policy.clone()));
        let mut conn = pool.get(Tier::Automation).unwrap();
        let pid = conn.backend_pid().unwrap();
        conn.batch_execute("LISTEN news").unwrap();
        notify(&mut sender, 1, 1);
        // With it the client has what came before.
        eventually(LONG_BOUND, "the notification has come", || {
            conn.batch_execute("SELECT 1").unwrap();
            !conn.notifications().is_empty()
        });
        notify(&mut sender, 1, 1);
        drop(conn);
        let mut conn = pool.get(Tier::Automation).unwrap();
        notify(&mut sender, 1, 1);
        assert_eq!(conn.backend_pid().unwrap(), pid, "{policy:?}");
        assert_eq!((listening(&mut conn), fetched(&mut conn)), (0, 0), "{policy:?}");
        assert!(conn.notifications_lost() > 0, "{policy:?}");
    }
}

#[test]
fn a_borrower_that_never_listened_costs_no_round_trip() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let used = |sql: &str| {
        let mut conn = pool.get(Tier::Automation).unwrap();
        let before = conn.round_trips().unwrap();
        conn.batch_execute(sql).unwrap();
        drop(conn);
        pool.get(Tier::Automation).unwrap().round_trips().unwrap() - before
    };
    used("SELECT 1");
    assert_eq!(used("SELECT 1"), 1);
    assert_eq!(used("NOTIFY news"), 1);
    assert_eq!(used("LISTEN news"), 2);
    assert_eq!(used("SELECT 1"), 1, "that was the last of it");
}

#[derive(Debug)]
struct Listens;

impl CustomizeConnection<PgConnection, PgError> for Listens {
    fn on_acquire(&self, conn: &mut PgConnection) -> Result<(), PgError> {
        Ok(conn.batch_execute("LISTEN news")?)
    }
}

#[test]
fn what_listens_since_it_was_set_up_goes_on_to_listen() {
    let cluster = cluster();
    let listens = |tier: Builder<PgManager>| tier.connection_customizer(Box::new(Listens));
    let pool = pool(&cluster, |builder| builder.automation(listens));
    for _ in 0..3 {
        let mut conn = pool.get(Tier::Automation).unwrap();
        assert_eq!(listening(&mut conn), 1);
        notify(&mut cluster.client(), 1, 1);
        assert_eq!(fetched(&mut conn), 1);
    }
}

#[test]
fn whoever_fetches_loses_none_however_many_come() {
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let mut sender = cluster.client();
    let mut conn = pool.get(Tier::Automation).unwrap();
    conn.batch_execute("LISTEN news").unwrap();
    let mut count = 0;
    for round in 1..=12 {
        notify(&mut sender, 10_000, 1);
        while count < round * 10_000 {
            conn.notifications().timeout_iter(LONG_BOUND).next().unwrap().expect("they come");
            count += 1;
        }
        one::<i32>(&mut conn, "SELECT 1");
    }
    // More at once than the client may hold: it takes them as they come.
    notify(&mut sender, 200_000, 50);
    for number in 0..200_000 {
        let next = conn.notifications().timeout_iter(LONG_BOUND).next().unwrap();
        assert!(next.is_some(), "{} lost before {number}", conn.notifications_lost());
    }
    assert_eq!(conn.notifications_lost(), 0);
}

/// Memory is measured of the whole process, so of one test at a time; what the others hold is little.
static MEASURED: Mutex<()> = Mutex::new(());

#[test]
fn a_flood_to_a_borrower_that_fetches_none_is_bounded() {
    let _alone = MEASURED.lock();
    let cluster = cluster();
    let pool = pool(&cluster, |builder| builder);
    let mut sender = cluster.client();
    let mut conn = pool.get(Tier::Automation).unwrap();
    conn.batch_execute("LISTEN news").unwrap();
    one::<i32>(&mut conn, "SELECT 1");
    let before = resident();
    // 160 MB.
    for _ in 0..20 {
        notify(&mut sender, 1000, 7900);
        one::<i32>(&mut conn, "SELECT 1");
    }
    eventually(LONG_BOUND, "all have come", || {
        one::<i32>(&mut conn, "SELECT 1");
        let held = conn.notifications().len() as u64;
        held + conn.notifications_lost() == 20_000
    });
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB", grown / MIB);
    assert!(conn.notifications_lost() > 10_000);
    assert_eq!(one::<i32>(&mut conn, "SELECT 42"), 42);
}

/// As the keeper does with a connection at rest that goes on to listen, where nobody wants what comes.
#[test]
fn a_flood_to_an_idle_connection_is_bounded() {
    let _alone = MEASURED.lock();
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |_| ()));
    conn.batch_execute("LISTEN news").unwrap();
    let mut sender = cluster.client();
    let before = resident();
    for _ in 0..20 {
        notify(&mut sender, 1000, 7900);
        conn.ping(LONG_BOUND).unwrap();
    }
    eventually(LONG_BOUND, "all have come", || {
        conn.ping(LONG_BOUND).unwrap();
        conn.notifications_lost() == 20_000
    });
    assert_eq!(conn.notifications().len(), 0);
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB", grown / MIB);
}
