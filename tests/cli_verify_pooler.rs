//! `tierpool verify` with a PgBouncer in between: what that refuses, and what its console tells.
#![cfg(unix)]

mod support;

use support::bouncer::Bouncer;
use support::cluster::{Cluster, cluster};
use support::verified::Verified;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

#[track_caller]
fn verify(url: &str, variables: &[(&str, &str)]) -> Verified {
    support::verified::verified(PROGRAM, url, variables)
}

/// Has the limit of statements in force for the role, whatever a connection asks for.
fn limit(cluster: &Cluster, limit: &str) {
    cluster.admin().batch_execute(&format!("ALTER ROLE app SET statement_timeout = '{limit}'")).unwrap();
}

#[test]
fn one_that_is_found_brings_its_sizes_and_the_limit_that_is_not_in_force_is_told() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").start();
    let told = verify(&bouncer.url(), &[]);
    told.assert_failed(&["statement timeout"]);
    told.assert_told("statement timeout", &["in sessions 30 s, outside of sessions no limit", "ALTER ROLE"]);
    told.assert_told(
        "pooler",
        &["found; the pool goes by transaction mode, and its pool_mode is transaction"],
    );
    told.assert_told("pooler's pool", &["20 server connections for a budget of 12"]);
    limit(&cluster, "30s");
    // A connection to the server that the PgBouncer has already goes by what was in force before.
    bouncer.restart();
    let told = verify(&bouncer.url(), &[]);
    told.assert_failed(&[]);
    assert_eq!(told.named("UNKNOWN"), [""; 0]);
    limit(&cluster, "5min");
    bouncer.restart();
    verify(&bouncer.url(), &[]).assert_failed(&["statement timeout"]);
}

#[test]
fn a_pool_or_a_number_of_clients_below_the_budget_is_found_in_either_mode() {
    let cluster = cluster();
    limit(&cluster, "30s");
    for mode in ["session", "transaction"] {
        let small = Bouncer::over(&cluster, mode).setting("default_pool_size", "9");
        let small = small.setting("reserve_pool_size", "2").start();
        let sized = |base| [("USE_PGBOUNCER", mode), ("DB_POOL_SIZE", base), ("DB_MAX_OVERFLOW", "1")];
        let told = verify(&small.url(), &sized("6"));
        told.assert_failed(&["pooler's pool"]);
        told.assert_told("pooler's pool", &["9 server connections for a budget of 12", "pool_size"]);
        verify(&small.url(), &sized("5")).assert_failed(&[]);
    }
    let few = Bouncer::over(&cluster, "session").setting("max_client_conn", "11").start();
    verify(&few.url(), &[("USE_PGBOUNCER", "session"), ("DB_TOTAL_CONNECTIONS", "12")])
        .assert_failed(&["pooler's clients"]);
}

#[test]
fn a_start_up_timeout_that_it_refuses_is_a_fault_with_where_to_set_it() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").start();
    let by_url = format!("{}?options=-c%20statement_timeout%3D5s", bouncer.url());
    let denied = [("USE_PGBOUNCER", "false")];
    for (url, variables) in [(by_url.as_str(), &[][..]), (&bouncer.url(), &denied)] {
        let told = verify(url, variables);
        told.assert_failed(&["connection"]);
        told.assert_told("connection", &["unsupported startup parameter", "DB_STATEMENT_TIMEOUT reaches"]);
    }
    // One that drops it without a word.
    let silent = Bouncer::over(&cluster, "session").setting("ignore_startup_parameters", "options").start();
    let told = verify(&silent.url(), &denied);
    told.assert_failed(&["statement timeout"]);
    told.assert_told("statement timeout", &["no limit in force", "drops start-up options"]);
}

#[test]
fn a_mode_that_is_not_the_one_that_was_said_is_found() {
    let cluster = cluster();
    limit(&cluster, "30s");
    let bouncer = Bouncer::over(&cluster, "transaction").start();
    let told = verify(&bouncer.url(), &[("USE_PGBOUNCER", "session"), ("DB_TOTAL_CONNECTIONS", "12")]);
    told.assert_failed(&["pooler"]);
    told.assert_told("pooler", &["goes by session mode, and its pool_mode is transaction"]);
}

#[test]
fn a_console_that_lets_the_user_not_in_leaves_its_pool_unknown() {
    let cluster = cluster();
    limit(&cluster, "30s");
    let closed = Bouncer::over(&cluster, "transaction").setting("admin_users", "somebody").start();
    let told = verify(&closed.url(), &[]);
    assert_eq!((told.ran.code, told.named("UNKNOWN")), (Some(2), vec!["pooler's pool"]), "{:?}", told.ran);
    told.assert_told("pooler's pool", &["its console tells nothing", "stats_users"]);
    assert_eq!(told.named("FAIL"), [""; 0]);
}
