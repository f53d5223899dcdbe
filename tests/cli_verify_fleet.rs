//! `tierpool verify` for settings that name a fleet: its locks, its walls, its members, and what cannot hold one.
#![cfg(unix)]

mod fleets;
mod support;

use fleets::{RESERVED, TOTAL, builder, change, grants_always};
use support::bouncer::Bouncer;
use support::cluster::{Cluster, cluster};
use support::pools::built;
use support::tool::{ran, tool};
use support::verified::{Verified, command, verified_with};
use tierpool::Tier;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

/// The settings of a program of the fleet `news`, of 12 with 2 for people: 8 slots.
const NEWS: [(&str, &str); 3] =
    [("DB_POOL_FLEET", "news"), ("DB_TOTAL_CONNECTIONS", "12"), ("DB_RESERVED_CONNECTIONS", "2")];

#[track_caller]
fn verify(url: &str, variables: &[(&str, &str)]) -> Verified {
    verified_with(PROGRAM, url, &["--adhoc-role", "person"], &[&NEWS[..], variables].concat())
}

/// A server with a role for people.
fn with_people() -> Cluster {
    let cluster = cluster();
    plant(&cluster, "CREATE ROLE person LOGIN");
    cluster
}

fn plant(cluster: &Cluster, sql: &str) {
    cluster.admin().batch_execute(sql).unwrap();
}

#[test]
fn without_walls_each_is_told_with_the_sql_that_puts_it_there() {
    let cluster = with_people();
    let bare = verify(&cluster.url(), &[]);
    bare.assert_failed(&[]);
    let warned = ["dead clients", "dead hosts", "hosts dead amid an answer", "role limit", "people's limit"];
    assert!(warned.iter().all(|name| bare.named("WARN").contains(name)), "{:?}", bare.ran);
    bare.assert_told("fleet", &["news: 10 for automation, 2 for people, 8 slots, 0 programs in it"]);
    assert_eq!(bare.check("role limit")["todo"], "ALTER ROLE \"app\" CONNECTION LIMIT 10;");
    assert_eq!(bare.check("people's limit")["todo"], "ALTER ROLE \"person\" CONNECTION LIMIT 2;");

    let folder = tempfile::tempdir().unwrap();
    let mut sql = tool(PROGRAM, folder.path(), &["fleet", "sql", "--budget", "12", "--reserve", "2"]);
    plant(&cluster, &ran(sql.env("DATABASE_URL", cluster.url())).out);
    let walled = verify(&cluster.url(), &[]);
    walled.assert_failed(&[]);
    assert!(warned.iter().all(|name| walled.named("OK").contains(name)), "{:?}", walled.ran);
    walled.assert_told("fleet's locks", &["kept from a second session"]);
    // Without a fleet the whole budget is wanted of one role.
    let alone = verified_with(PROGRAM, &cluster.url(), &[], &NEWS[1..]);
    alone.assert_failed(&["role limit"]);
    assert!(!alone.ran.tells("fleet"), "{:?}", alone.ran);
}

#[test]
fn limits_that_are_too_low_for_the_slots_fail_and_others_that_are_not_the_part_are_warned_of() {
    let cluster = with_people();
    let told = |limits: [u32; 2]| {
        let [batch, people] = limits;
        plant(&cluster, &format!("ALTER ROLE app CONNECTION LIMIT {batch}"));
        plant(&cluster, &format!("ALTER ROLE person CONNECTION LIMIT {people}"));
        verify(&cluster.url(), &[])
    };
    let low = told([7, 1]);
    low.assert_failed(&["role limit", "people's limit"]);
    low.assert_told("role limit", &["7 for role app", "10, the part of automation"]);
    for limits in [[9, 2], [11, 3]] {
        let told = told(limits);
        told.assert_failed(&[]);
        assert!(told.named("WARN").contains(&"role limit"), "{limits:?}: {:?}", told.ran);
        assert_eq!(told.named("WARN").contains(&"people's limit"), limits[1] > 2, "{limits:?}");
    }
    let unknown = verified_with(PROGRAM, &cluster.url(), &["--adhoc-role", "nobody"], &NEWS);
    assert_eq!((unknown.ran.code, unknown.named("UNKNOWN")), (Some(2), vec!["role limit"]));
    unknown.assert_told("role limit", &["there is no role nobody"]);
}

#[test]
fn locks_that_are_not_real_or_not_for_this_role_fail() {
    let cluster = with_people();
    for function in ["pg_try_advisory_lock", "pg_advisory_unlock"] {
        grants_always(&cluster, function);
    }
    let told = verify(&cluster.url(), &[]);
    told.assert_failed(&["fleet's locks"]);
    told.assert_told("fleet's locks", &["it does not show them"]);
    let hidden = with_people();
    change(&hidden, "REVOKE SELECT ON pg_catalog.pg_locks FROM PUBLIC");
    let told = verify(&hidden.url(), &[]);
    told.assert_failed(&["fleet's locks"]);
    told.assert_told("fleet's locks", &["42501", "GRANT"]);
}

#[test]
fn a_lock_that_is_granted_to_two_sessions_fails() {
    let cluster = with_people();
    let both = "CREATE FUNCTION pg_catalog.pg_try_advisory_lock_shared(int, int) RETURNS bool LANGUAGE sql VOLATILE \
                AS 'SELECT true'";
    let name = "pg_catalog.pg_try_advisory_lock_shared(int, int)";
    change(&cluster, &format!("ALTER FUNCTION {name} RENAME TO renamed; {both}"));
    let told = verify(&cluster.url(), &[]);
    told.assert_failed(&["fleet's locks"]);
    told.assert_told("fleet's locks", &["it grants them to everybody"]);
}

#[test]
fn a_pooler_in_transaction_mode_fails_whether_it_is_said_or_found_and_one_in_session_mode_does_not() {
    let cluster = with_people();
    plant(&cluster, "ALTER ROLE app SET statement_timeout = '30s'");
    let transactions = Bouncer::over(&cluster, "transaction").start();
    for variables in [&[][..], &[("USE_PGBOUNCER", "transaction")]] {
        let told = verify(&transactions.url(), variables);
        told.assert_failed(&["fleet"]);
        told.assert_told("fleet", &["leave DB_POOL_FLEET out", "tierpool fleet plan"]);
    }
    let sessions = Bouncer::over(&cluster, "session").start();
    let told = verify(&sessions.url(), &[("USE_PGBOUNCER", "session")]);
    told.assert_failed(&[]);
    assert!(told.named("OK").contains(&"fleet's locks"), "{:?}", told.ran);
}

#[test]
fn members_with_another_budget_fail_and_their_sessions_are_no_others() {
    let cluster = Cluster::builder().max_connections(16).start().unwrap();
    plant(&cluster, "CREATE ROLE person LOGIN");
    let other = built(builder(&cluster.url(), "another"));
    let held: Vec<_> = (0..6).map(|_| other.get(Tier::Automation).unwrap()).collect();
    // The server lets 13 in: as others those 6 would leave too few for 12.
    let told = verify(&cluster.url(), &[("DB_POOL_NAME", "ours")]);
    told.assert_failed(&[]);
    told.assert_told("fleet", &["1 program in it"]);
    assert_eq!((TOTAL, RESERVED), (12, 2), "as these settings say");
    let told = verify(&cluster.url(), &[("DB_RESERVED_CONNECTIONS", "3")]);
    told.assert_failed(&["fleet"]);
    told.assert_told("fleet", &["some reckon with 12, 2 of them in reserve"]);
    drop(held);
}

#[test]
fn a_fleet_that_cannot_be_is_no_setting_that_can_be_used() {
    for (variable, value, rule) in [
        ("DB_POOL_FLEET", "a\nb", "1 to 63 bytes in one line"),
        ("DB_POOL_FLEET", &*"x".repeat(64), "1 to 63 bytes in one line"),
        ("DB_POOL_FLEET_WEIGHT", "0", "must be 1 to 100"),
        ("DB_RESERVED_CONNECTIONS", "9", "a fleet needs 2"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let url = "postgresql://app@127.0.0.1:1/app";
        let mut command = command(PROGRAM, &folder, url, &["--json"]);
        let told = ran(command.envs(NEWS).env("DB_MAX_OVERFLOW", "0").env(variable, value));
        assert_eq!(told.code, Some(2), "{told:?}");
        assert!(told.json()["faults"].to_string().contains(rule), "{rule}: {told:?}");
    }
}

#[test]
fn where_the_role_says_the_budget_the_tool_works_and_verify_reckons_with_that_limit() {
    let cluster = with_people();
    let of_role = [("DB_TOTAL_CONNECTIONS", "role"), ("DB_RESERVED_CONNECTIONS", "2")];
    let verify = || verified_with(PROGRAM, &cluster.url(), &[], &of_role);
    let unlimited = verify();
    unlimited.assert_failed(&["budget"]);
    unlimited.assert_told("budget", &["nothing limits role app"]);
    plant(&cluster, "ALTER ROLE app CONNECTION LIMIT 12");
    let limited = verify();
    limited.assert_failed(&[]);
    limited.assert_told("room beside others", &["12 connections wanted"]);
    // Those that look at the server by a connection of their own ask no role.
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code) in [(&["status"][..], 0), (&["queue", "stats", "none"], 2), (&["fleet", "plan"], 2)]
    {
        let mut command = tool(PROGRAM, folder.path(), arguments);
        let told = ran(command.env("DATABASE_URL", cluster.url()).envs(of_role));
        assert_eq!(told.code, Some(code), "{arguments:?}: {told:?}");
        assert!(!told.tells("must be a number"), "{told:?}");
    }
}
