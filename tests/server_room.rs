//! Whether the server has room for the budget: asked once a pool, and told in the log with the figures.
#![cfg(feature = "postgres")]

mod support;

use std::time::Duration;

use log::{Level, LevelFilter};
use postgres::{Client, NoTls};
use support::bouncer::Bouncer;
use support::cluster::{Cluster, cluster};
use support::logged::{capture, lines};
use support::wait::{LONG_BOUND, SECOND, eventually, took};
use tierpool::stats::OpenFailures;
use tierpool::{PgBuilder, PgPool, Tier};

/// The lines about a budget, which is another one in each test.
fn told(level: Level, budget: u32) -> Vec<String> {
    lines("postgres", level, &format!(": {budget} of "))
}

fn builder(url: String) -> PgBuilder {
    capture(LevelFilter::Debug);
    PgPool::builder().url(url).reserved(2)
}

/// A server with 20 connections, 3 of them for superusers.
fn narrow() -> Cluster {
    Cluster::builder().max_connections(20).start().unwrap()
}

/// Waits until the sessions that set the server up have ended, and only these are left.
fn left_with(client: &mut Client, sessions: i64) {
    let ask = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
    eventually(LONG_BOUND, "the other sessions have ended", || {
        client.query_one(ask, &[]).unwrap().get::<_, i64>(0) == sessions
    });
}

#[test]
fn a_budget_beyond_the_servers_room_is_told_once_with_the_reckoning() {
    let cluster = narrow();
    let mut others: Vec<_> = (0..4).map(|_| cluster.client()).collect();
    left_with(&mut others[0], 4);
    let pool = builder(cluster.url()).total_connections(61).build_unchecked().unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    let taken: Vec<_> = [Tier::Automation, Tier::Automation, Tier::Adhoc].map(|tier| pool.get(tier)).into();
    let reckoning = "61 of 13 usable (max_connections 20, less 3 reserved by the server and 4 of others)";
    let told_once = [format!("the budget is beyond what the server has room for: {reckoning}")];
    assert_eq!(told(Level::Warn, 61), told_once);
    drop((others, taken));
    pool.automation().drain();
    drop(pool.get(Tier::Automation).unwrap());
    assert_eq!(told(Level::Warn, 61), told_once);
}

#[test]
fn a_budget_that_fits_is_told_too() {
    let cluster = narrow();
    let mut other = cluster.client();
    left_with(&mut other, 1);
    let pool = builder(cluster.url()).base_size(8).max_overflow(2).build().unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    let reckoning = "12 of 16 usable (max_connections 20, less 3 reserved by the server and 1 of others)";
    assert_eq!(told(Level::Info, 12), [format!("the server has room for the budget: {reckoning}")]);
    let stats = pool.automation().stats();
    assert_eq!(stats.checkouts.direct + stats.checkouts.waited, 1, "asking is no checkout");
    drop(other);
}

#[test]
fn the_tightest_limit_is_named() {
    let cluster = narrow();
    cluster.admin().batch_execute("ALTER DATABASE app CONNECTION LIMIT 9").unwrap();
    let mut other = cluster.client();
    left_with(&mut other, 1);
    let pool = builder(cluster.url()).total_connections(62).build().unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    let start = "the budget is beyond what the server has room for";
    assert_eq!(
        told(Level::Warn, 62),
        [format!("{start}: 62 of 8 usable (database app may have 9; 1 are others')")]
    );
    drop(pool);
    eventually(LONG_BOUND, "the pool's connections are gone", || cluster.connections("%/%") == 0);
    cluster.admin().batch_execute("ALTER ROLE app CONNECTION LIMIT 7").unwrap();
    left_with(&mut other, 1);
    let pool = builder(cluster.url()).total_connections(63).build().unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    assert_eq!(
        told(Level::Warn, 63),
        [format!("{start}: 63 of 6 usable (role app may have 7; 1 are others')")]
    );
    drop(other);
}

#[test]
fn a_superuser_may_have_all_of_them() {
    let cluster = narrow();
    let mut other = cluster.client();
    left_with(&mut other, 1);
    let pool = builder(cluster.superuser_url()).total_connections(64).build().unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    let reckoning = "64 of 19 usable (max_connections 20, less 0 reserved by the server and 1 of others)";
    assert!(told(Level::Warn, 64)[0].ends_with(reckoning), "{:?}", told(Level::Warn, 64));
    drop(other);
}

#[test]
fn behind_a_pooler_its_own_limits_hold_and_nothing_is_told() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").start();
    let pool = builder(bouncer.url()).total_connections(500).build().unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    assert_eq!((told(Level::Warn, 500), told(Level::Info, 500)), (vec![], vec![]));
}

#[test]
fn a_budget_that_nobody_has_set_follows_what_a_tier_is_changed_to() {
    let cluster = narrow();
    let pool = builder(cluster.url()).automation(|tier| tier.max_size(80)).build().unwrap();
    assert_eq!(pool.total_connections(), 82);
    drop(pool.get(Tier::Automation).unwrap());
    assert_eq!(told(Level::Warn, 82).len(), 1);
    let said = builder(cluster.url()).total_connections(60).automation(|tier| tier.max_size(80)).build();
    assert!(said.unwrap_err().to_string().contains("total_connections is 60: must be at least 82"));
}

#[test]
fn a_tier_that_leads_elsewhere_takes_no_room_here() {
    let (cluster, elsewhere) = (narrow(), cluster());
    let pool =
        builder(cluster.url()).adhoc_url(elsewhere.url()).base_size(21).max_overflow(0).build().unwrap();
    drop(pool.get(Tier::Adhoc).unwrap());
    assert_eq!(told(Level::Info, 23).len(), 0);
    drop(pool.get(Tier::Automation).unwrap());
    assert_eq!(told(Level::Warn, 21).len(), 1, "the reserve is on the other server");
}

/// Has the server count with a function of the role's own, for what only resembles PostgreSQL.
fn counting(cluster: &Cluster, counter: &str) {
    let aggregate = "CREATE AGGREGATE odd.count(*) (SFUNC = odd.next, STYPE = int4, INITCOND = '0')";
    let path = "ALTER ROLE app SET search_path = odd, pg_catalog; GRANT USAGE ON SCHEMA odd TO app";
    let mut superuser = Client::connect(&cluster.superuser_url(), NoTls).unwrap();
    superuser.batch_execute(&format!("CREATE SCHEMA odd; {counter}; {aggregate}; {path}")).unwrap();
}

#[test]
fn a_server_with_other_types_serves_all_the_same() {
    let cluster = narrow();
    let next = "CREATE FUNCTION odd.next(int4) RETURNS int4 LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1'";
    counting(&cluster, next);
    let pool = builder(cluster.url()).total_connections(66).build().unwrap();
    let stats = pool.automation().stats();
    assert_eq!((stats.opened, stats.open_failures), (1, OpenFailures::default()));
    assert_eq!((told(Level::Warn, 66), told(Level::Info, 66)), (vec![], vec![]));
    let activity = pool.server_activity().unwrap_err().to_string();
    assert!(activity.contains("cannot convert"), "{activity}");
}

#[test]
fn a_look_without_an_answer_costs_little_time_and_no_borrower() {
    let cluster = narrow();
    let next = "CREATE FUNCTION odd.next(int4) RETURNS int4 LANGUAGE plpgsql AS \
                'BEGIN PERFORM pg_catalog.pg_sleep(20); RETURN 1; END'";
    counting(&cluster, next);
    for limit in [SECOND, Duration::ZERO] {
        let build = || builder(cluster.url()).connect_timeout(limit).build().unwrap();
        let (pool, time) = took(build);
        assert!(time < 5 * SECOND, "{limit:?}: {time:?}");
        pool.get(Tier::Automation).unwrap().batch_execute("SELECT 1").unwrap();
        let stats = pool.automation().stats();
        assert_eq!((stats.opened, stats.closed.total(), stats.suspicions), (1, 0, 0), "{limit:?}");
    }
}
