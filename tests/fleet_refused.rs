//! Servers that cannot hold the locks of a fleet, and what in front of them cannot.
#![cfg(feature = "postgres")]

mod fleets;
mod support;

use fleets::{builder, change, grants_always, member, seen};
use support::bouncer::Bouncer;
use support::cluster::{Cluster, cluster};
use support::pools::built;
use support::wait::{LONG_BOUND, SECOND, eventually};
use tierpool::config::PgBouncer;
use tierpool::{PgBuilder, Tier};

/// What is told of a pool that cannot be built, long before its time is up.
fn told(builder: PgBuilder) -> String {
    let error = builder.connection_timeout(60 * SECOND).build().unwrap_err();
    assert!(error.is_connect_failed(), "{error:#}");
    format!("{error:#}")
}

fn member_told(cluster: &Cluster) -> String {
    told(builder(&cluster.url(), "one"))
}

#[test]
fn a_server_whose_locks_are_not_counted_is_refused_by_its_first_connection() {
    let cluster = cluster();
    for function in ["pg_try_advisory_lock", "pg_try_advisory_lock_shared", "pg_advisory_unlock"] {
        grants_always(&cluster, function);
    }
    let told = member_told(&cluster);
    assert!(
        told.contains("the server cannot hold the locks of a fleet: it grants them to everybody"),
        "{told}"
    );
}

#[test]
fn a_server_that_grants_a_lock_to_two_sessions_is_refused_by_the_second() {
    let cluster = cluster();
    for function in ["pg_try_advisory_lock", "pg_advisory_unlock"] {
        grants_always(&cluster, function);
    }
    let pool = member(&cluster, "one");
    for tier in [Tier::Automation, Tier::Adhoc] {
        let _first = pool.get(tier).unwrap();
        let told = format!("{:#}", pool.tier(tier).get_timeout(3 * SECOND).unwrap_err());
        assert!(told.contains("it grants them to everybody"), "{tier}: {told}");
    }
}

#[test]
fn a_role_that_may_not_take_the_locks_or_see_them_is_told_so() {
    let statements = [
        "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_try_advisory_lock(int, int) FROM PUBLIC",
        "REVOKE SELECT ON pg_catalog.pg_locks FROM PUBLIC",
    ];
    for statement in statements {
        let cluster = cluster();
        change(&cluster, statement);
        let told = member_told(&cluster);
        assert!(told.contains("this role may not use pg_try_advisory_lock() and see pg_locks"), "{told}");
        assert!(told.contains("42501"), "{told}");
    }
}

#[test]
fn a_role_that_sees_nothing_of_others_but_their_locks_is_enough() {
    let cluster = cluster();
    change(&cluster, "REVOKE SELECT ON pg_catalog.pg_stat_activity FROM PUBLIC");
    let pool = member(&cluster, "one");
    let held = [0, 1].map(|_| pool.get(Tier::Automation).unwrap());
    assert_eq!(pool.fleet_status().unwrap().held as usize, held.len());
}

#[test]
fn a_pooler_in_transaction_mode_that_is_found_is_refused_and_one_in_session_mode_works() {
    let cluster = cluster();
    let transactions = Bouncer::over(&cluster, "transaction").start();
    let told = told(builder(&transactions.url(), "one"));
    assert!(told.contains("behind a PgBouncer in transaction mode no session keeps a lock"), "{told}");
    drop(transactions);
    let sessions = Bouncer::over(&cluster, "session").start();
    let pool = built(builder(&sessions.url(), "one").pgbouncer(PgBouncer::Session));
    let held = [0, 1].map(|_| pool.get(Tier::Automation).unwrap());
    let mut client = cluster.client();
    assert_eq!(seen(&mut client).slots as usize, held.len());
    drop((held, pool));
    // The sessions on the server go on, and PgBouncer resets them.
    eventually(LONG_BOUND, "nothing left of the fleet", || seen(&mut client).locks == 0);
}
