//! `tierpool fleet status`: programs, slots, budgets and limits, as the server alone shows them.
#![cfg(unix)]

mod fleets;
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use fleets::{RESERVED, SLOTS, TOTAL, builder, member};
use support::bouncer::Bouncer;
use support::cluster::{APP_PASSWORD, Cluster, cluster};
use support::pools::built;
use support::tool::{Ran, ran, tool};
use support::wait::{LONG_BOUND, eventually};
use tierpool::Tier;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

fn command(folder: &tempfile::TempDir, url: &str, arguments: &[&str]) -> Command {
    let mut command = tool(PROGRAM, folder.path(), &[&["fleet", "status"], arguments].concat());
    command
        .env("DATABASE_URL", url)
        .env("DB_POOL_FLEET", "news")
        .env("DB_TOTAL_CONNECTIONS", TOTAL.to_string());
    command.env("DB_RESERVED_CONNECTIONS", RESERVED.to_string());
    command
}

#[track_caller]
fn status(url: &str, arguments: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let told = ran(&mut command(&folder, url, arguments));
    assert!(!told.tells(APP_PASSWORD), "{told:?}");
    told
}

fn plant(cluster: &Cluster, sql: &str) {
    cluster.admin().batch_execute(sql).unwrap();
}

#[track_caller]
fn assert_untold(told: &Ran, why: &str) {
    assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{told:?}");
    assert!(told.err.contains(why), "{why:?} is not in {told:?}");
}

#[test]
fn programs_are_told_with_their_weights_slots_and_limits() {
    let cluster = cluster();
    let empty = status(&cluster.url(), &[]);
    assert!(empty.code == Some(0) && empty.out.ends_with("VERDICT: NOBODY IS IN IT\n"), "{empty:?}");
    let scraper = member(&cluster, "scraper");
    let heavy = built(builder(&cluster.url(), "heavy\u{1b}[2J").fleet_weight(3));
    let _held = [0, 1, 2].map(|_| heavy.get(Tier::Automation).unwrap());
    let _also = [Tier::Automation, Tier::Adhoc].map(|tier| scraper.get(tier).unwrap());
    plant(&cluster, "ALTER ROLE app CONNECTION LIMIT 10; CREATE ROLE person LOGIN CONNECTION LIMIT 2");

    let told = status(&cluster.url(), &["--json", "--adhoc-role", "person"]);
    let json = told.json();
    assert_eq!((told.code, &json["reasons"]), (Some(0), &serde_json::json!([])), "{json:#}");
    assert_eq!((&json["budget"]["slots"], &json["budget"]["automation"]), (&SLOTS.into(), &10.into()));
    assert_eq!((&json["programs"], &json["weights"], &json["slots_held"]), (&2.into(), &4.into(), &4.into()));
    let group = &json["groups"][0];
    assert_eq!(
        (&group["weight"], &group["slots"], &group["host"]),
        (&3.into(), &3.into(), &"127.0.0.1".into())
    );
    assert_eq!(json["sessions"].as_array().unwrap().len(), 5);
    assert_eq!(
        (&json["reserve_held"], &json["groups"][2]["reserve_slots"]),
        (&1.into(), &1.into()),
        "{json:#}"
    );
    assert_eq!(json["limits"]["automation"]["connection_limit"], 10);
    assert_eq!(json["limits"]["adhoc"]["connection_limit"], 2);

    let told = status(&cluster.url(), &[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for part in [
        "4 of 8 slots taken by 2 programs, 1 of 2 by people",
        "role app: CONNECTION LIMIT 10",
        "VERDICT: AS IT SHOULD BE",
    ] {
        assert!(told.out.contains(part), "{part:?} is not in {}", told.out);
    }
    assert!(!told.tells("\u{1b}"), "{told:?}");
    plant(&cluster, "ALTER ROLE app CONNECTION LIMIT 7");
    let told = status(&cluster.url(), &[]);
    assert!(told.code == Some(1) && told.out.contains("below the 8 slots"), "{told:?}");
}

#[test]
fn the_role_of_automation_is_told_apart_from_that_of_people_whose_sessions_come_first() {
    let cluster = cluster();
    plant(
        &cluster,
        "CREATE ROLE person LOGIN PASSWORD 'own' CONNECTION LIMIT 2; ALTER ROLE app CONNECTION LIMIT 10",
    );
    let of_people = format!("postgresql://person:own@127.0.0.1:{}/app", cluster.port());
    let pool = built(builder(&cluster.url(), "scraper").adhoc_url(of_people));
    let _held = [Tier::Adhoc, Tier::Automation].map(|tier| pool.get(tier).unwrap());
    let told = status(&cluster.url(), &["--json", "--adhoc-role", "person"]);
    let json = told.json();
    assert_eq!((told.code, &json["reasons"]), (Some(0), &serde_json::json!([])), "{json:#}");
    assert_eq!(json["limits"]["automation"]["connection_limit"], 10);
    assert_eq!(json["limits"]["adhoc"]["connection_limit"], 2);
}

#[test]
fn programs_with_different_budgets_are_amiss_and_settings_with_another_than_theirs_too() {
    let cluster = cluster();
    let _one = member(&cluster, "one");
    let folder = tempfile::tempdir().unwrap();
    let told = ran(command(&folder, &cluster.url(), &[]).env("DB_TOTAL_CONNECTIONS", "20"));
    assert!(told.code == Some(1) && told.out.contains("the settings have 20 with 2 in reserve"), "{told:?}");
    assert!(told.out.contains("and the programs 12 with 2 in reserve"), "{told:?}");
    let _two = member(&cluster, "two");
    let _other = built(builder(&cluster.url(), "other").total_connections(TOTAL + 1));
    let told = status(&cluster.url(), &[]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(
        told.out.contains("different budgets: 12 with 2 in reserve by 2, 13 with 2 in reserve by 1"),
        "{told:?}"
    );
}

#[test]
fn more_programs_than_slots_are_amiss_and_those_who_ask_are_counted() {
    let cluster = cluster();
    let small = |name: &str| builder(&cluster.url(), name).total_connections(6).base_size(1).max_overflow(3);
    let pools = ["one", "two"].map(|name| built(small(name)));
    let _held = pools.each_ref().map(|pool| pool.get(Tier::Automation).unwrap());
    // Two slots, and a third that goes on asking.
    let third = small("three").build_unchecked().unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| third.get(Tier::Automation).is_ok());
        eventually(LONG_BOUND, "it is seen to ask", || {
            let json = status(&cluster.url(), &["--json"]).json();
            let reasons = json["reasons"].to_string();
            json["asking"] == 1 && reasons.contains("3 programs for 2 slots: some get none")
        });
        drop(_held);
        drop(pools);
        assert!(waits.join().unwrap());
    });
}

#[test]
fn what_cannot_be_told_is_exit_code_two() {
    let cluster = cluster();
    let folder = tempfile::tempdir().unwrap();
    let none = ran(command(&folder, &cluster.url(), &[]).env_remove("DB_POOL_FLEET"));
    assert_untold(&none, "no fleet is named");
    let other = status(&cluster.url(), &["--fleet", "mews", "--json"]);
    assert_eq!((other.code, &other.json()["budget"]), (Some(0), &serde_json::Value::Null), "{other:?}");
    for name in ["", "a\nb", &"x".repeat(64)] {
        assert_untold(&status(&cluster.url(), &["--fleet", name]), "1 to 63 bytes in one line");
    }
    let nobody = "postgresql://u:hush@127.0.0.1:1/d";
    let told = status(nobody, &[]);
    assert_untold(&told, "127.0.0.1");
    assert!(!told.tells("hush"), "{told:?}");
    let unknown = status(&cluster.url(), &["--adhoc-role", "nobody"]);
    assert!(unknown.out.contains("not known: there is no role nobody"), "{unknown:?}");
    assert_eq!(unknown.code, Some(1), "what was to be looked at was not: {unknown:?}");
    let weightless = ran(command(&folder, &cluster.url(), &[]).env("DB_POOL_FLEET_WEIGHT", "0"));
    assert_untold(&weightless, "DB_POOL_FLEET_WEIGHT is 0: must be 1 to 100");
    let pooled = Bouncer::over(&cluster, "transaction").start();
    assert_untold(&status(&pooled.url(), &[]), "a PgBouncer in transaction mode is in between");
    let mut admin = postgres::Client::connect(&cluster.superuser_url(), postgres::NoTls).unwrap();
    admin.batch_execute("REVOKE SELECT ON pg_catalog.pg_locks FROM PUBLIC").unwrap();
    assert_untold(&status(&cluster.url(), &[]), "42501");
}

#[test]
fn it_looks_again_until_nobody_reads() {
    let cluster = cluster();
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&folder, &cluster.url(), &["--watch", "1", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let looks: Vec<serde_json::Value> =
        lines.take(2).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert_eq!((looks.len(), &looks[1]["fleet"]), (2, &"news".into()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
