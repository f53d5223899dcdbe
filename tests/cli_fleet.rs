//! `tierpool fleet plan` and `sql`: how a budget is divided and what does not fit, and what the SQL does to a server.
#![cfg(unix)]

mod support;

use postgres::{Client, NoTls};

use support::cluster::{Cluster, cluster};
use support::tool::{Ran, ran, tool};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

/// A name that ends a string, an identifier, a statement and a comment, where one is not careful.
const ODD: &str = "o'neil\" SUPERUSER; -- $$ \\";

#[track_caller]
fn fleet(arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tool(PROGRAM, folder.path(), &[&["fleet"], arguments].concat());
    ran(command.envs(variables.iter().copied()))
}

#[track_caller]
fn plan(arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let told = fleet(&[&["plan", "--json"], arguments].concat(), &[]);
    assert_eq!(told.err, "");
    (told.code, told.json())
}

#[track_caller]
fn assert_refused(told: &Ran, why: &str) {
    assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{told:?}");
    assert!(told.err.contains(why), "{why:?} is not in {told:?}");
}

#[test]
fn a_plan_needs_no_server_and_divides_the_budget_of_the_settings_or_the_one_that_is_said() {
    let told = fleet(&["plan"], &[]);
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    assert!(told.out.contains("slots S       52"), "{}", told.out);
    assert!(told.out.contains("(default)") && told.out.ends_with("A FLEET DOES, with up to S programs\n"));

    let (code, json) = plan(&["--processes", "10", "--weights", "3", "--hosts", "50"]);
    let parts = serde_json::json!({ "total": 60, "reserve": 5, "automation": 55, "askers": 3, "slots": 52 });
    assert_eq!((code, &json["budget"], &json["fits"]), (Some(0), &parts, &true.into()), "{json:#}");
    let shares = serde_json::json!([
        { "weight": 1, "programs": 9, "share": 4 },
        { "weight": 3, "programs": 1, "share": 13 },
    ]);
    assert_eq!((&json["shares"], &json["pgbouncer_ini"]), (&shares, &serde_json::Value::Null));

    let variables =
        [("DB_TOTAL_CONNECTIONS", "45"), ("DB_RESERVED_CONNECTIONS", "4"), ("POSTGRES_HOST", "db.example")];
    let told = fleet(&["plan", "--reserve", "5"], &variables);
    for part in
        ["45", "(environment DB_TOTAL_CONNECTIONS)", "(said here)", "automation A  40", "slots S       38"]
    {
        assert!(told.out.contains(part), "{part:?} is not in {}", told.out);
    }
}

#[test]
fn the_file_leads_to_the_server_and_as_encrypted_as_the_settings_want_it() {
    let ini = |variables: &[(&str, &str)]| {
        let told = fleet(&["plan", "--processes", "53"], variables);
        assert_eq!(told.code, Some(1), "{told:?}");
        told.out
    };
    let assert_has = |ini: &str, lines: &[&str]| {
        for line in lines {
            assert!(ini.lines().any(|found| found == *line), "{line}: {ini}");
        }
    };
    let at = |url: &'static str| ("DATABASE_URL", url);
    let pooled = ini(&[at("postgresql://u:hush@10.0.0.9:6432/news"), ("USE_PGBOUNCER", "session")]);
    assert!(pooled.contains("the settings lead to a pooler") && !pooled.contains("10.0.0.9"), "{pooled}");
    assert!(!pooled.contains("hush"), "{pooled}");
    let same = ini(&[at("postgresql://u:hush@127.0.0.1:6432/news"), ("USE_PGBOUNCER", "false")]);
    assert_has(&same, &["news = host=127.0.0.1 port=6432 dbname=news", "listen_port = 6433"]);
    let two = ini(&[at("postgresql://u@h1:5433,h2:5434/news?sslmode=verify-full&sslrootcert=system")]);
    assert!(two.contains("the settings name several servers"), "{two}");
    assert_has(&two, &["news = host=h1 port=5433 dbname=news", "server_tls_sslmode = verify-full"]);
}

#[test]
fn what_a_fleet_cannot_do_is_told_with_the_file_that_does() {
    for (fits, beyond, reason) in [
        (["--processes", "52"], ["--processes", "53"], "53 programs for 52 slots: 1 get none"),
        (["--hosts", "50"], ["--hosts", "51"], "51 hosts"),
        (["--databases", "1"], ["--databases", "2"], "2 databases"),
    ] {
        assert_eq!(plan(&fits).0, Some(0), "{fits:?}");
        let (code, json) = plan(&beyond);
        assert_eq!((code, &json["fits"], &json["code"]), (Some(1), &false.into(), &1.into()), "{beyond:?}");
        assert!(json["reasons"][0].as_str().unwrap().contains(reason), "{json:#}");
        assert_eq!(json["reasons"].as_array().unwrap().len(), 1);
        let all_fit = reason != "53 programs for 52 slots: 1 get none";
        assert!(all_fit || json["shares"] == serde_json::json!([]), "{json:#}");
        let ini = json["pgbouncer_ini"].as_str().unwrap();
        for line in ["batch = max_user_connections=55", "person = max_user_connections=5"] {
            assert!(ini.lines().any(|found| found == line), "{line}: {ini}");
        }
    }
    let (_, many) = plan(&["--budget", "5000", "--processes", "1001"]);
    assert!(many["reasons"][0].as_str().unwrap().contains("1001 programs: beyond 1000"), "{many:#}");

    let variables = [
        ("DATABASE_URL", "postgresql://scraper:hush@db.example:5433/news"),
        ("USE_PGBOUNCER", "transaction"),
        ("DB_TOTAL_CONNECTIONS", "60"),
    ];
    let told = fleet(&["plan"], &variables);
    assert_eq!(told.code, Some(1));
    assert!(told.out.contains("where no session keeps a lock"), "{}", told.out);
    assert!(told.out.contains("\n* = host=127.0.0.1 port=5432\n"), "{}", told.out);
    assert!(!told.out.contains("db.example"), "a pooler's address is not the server's: {}", told.out);
    assert!(told.out.contains("\nscraper = max_user_connections=55\n") && !told.tells("hush"), "{told:?}");
    // None reserved is not as many as one likes.
    let (_, json) = plan(&["--reserve", "0", "--databases", "2"]);
    assert!(!json["pgbouncer_ini"].as_str().unwrap().contains("person"), "{json:#}");
}

#[test]
fn options_that_cannot_be_are_told_with_what_is_allowed() {
    assert_refused(&fleet(&["plan", "--budget", "8"], &[]), "leaves 1 slot, and a fleet needs 2");
    assert_refused(&fleet(&["sql", "--budget", "5"], &[]), "leaves 0 slots");
    for (option, value, allowed) in [
        ("--budget", "0", "1..=65535"),
        ("--budget", "65536", "1..=65535"),
        ("--processes", "0", "1..=1000000"),
        ("--hosts", "0", "1..=1000000"),
        ("--weights", "0", "1..=100"),
        ("--weights", "1,101", "1..=100"),
        ("--automation-role", "", "1 to 63 bytes in one line"),
        ("--adhoc-role", &"x".repeat(64), "1 to 63 bytes in one line"),
        ("--adhoc-role", "a\nALTER ROLE a SUPERUSER;", "1 to 63 bytes in one line"),
    ] {
        assert_refused(&fleet(&["plan", option, value], &[]), allowed);
    }
    let few = ["plan", "--processes", "1", "--weights", "1,2"];
    assert_refused(&fleet(&few, &[]), "2 weights for 1 programs");
    let odd = ["plan", "--databases", "2", "--automation-role", ODD];
    assert_refused(&fleet(&odd, &[]), "letters, digits, _, . and - alone");
    let one = fleet(
        &["sql", "--adhoc-role", "scraper"],
        &[("DATABASE_URL", "postgresql://scraper@db.example/news")],
    );
    assert_refused(&one, "a role each");
    assert_refused(&fleet(&["plan"], &[("DB_TOTAL_CONNECTIONS", "many")]), "DB_TOTAL_CONNECTIONS");
    let wrong = [("DATABASE_URL", "postgresql://u:hush@h:port/d")];
    assert_refused(&fleet(&["plan"], &wrong), "ports are numbers");
    assert!(!fleet(&["plan"], &wrong).tells("hush"));
    assert_eq!(fleet(&[], &[]).code, Some(2));
}

/// A session over the socket, which asks for no password.
fn session(cluster: &Cluster, role: &str) -> Result<Client, postgres::Error> {
    let mut config = postgres::Config::new();
    config.host_path(cluster.socket_dir()).port(cluster.port()).user(role).dbname("app").connect(NoTls)
}

#[test]
fn the_sql_runs_as_often_as_one_likes_and_the_server_then_holds_the_budget() {
    let cluster = cluster();
    let told = fleet(&["sql", "--automation-role", ODD], &[]);
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    let mut admin = cluster.admin();
    admin.batch_execute("CREATE ROLE person LOGIN").unwrap();
    assert!(admin.batch_execute(&told.out).is_err(), "a role that is not there");
    let quoted = format!("\"{}\"", ODD.replace('"', "\"\""));
    admin.batch_execute(&format!("CREATE ROLE {quoted} LOGIN")).unwrap();
    for _ in 0..2 {
        admin.batch_execute(&told.out).unwrap();
    }
    let roles =
        "SELECT rolname::text, rolconnlimit, rolsuper FROM pg_roles WHERE rolcanlogin AND rolname <> 'app'
        AND NOT (rolname = 'postgres') ORDER BY rolconnlimit";
    let roles: Vec<(String, i32, bool)> =
        admin.query(roles, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(roles, [("person".to_owned(), 5, false), (ODD.to_owned(), 55, false)]);

    let mut batch: Vec<_> = (0..55).map(|_| session(&cluster, ODD).unwrap()).collect();
    let refused = session(&cluster, ODD).err().expect("one beyond the limit");
    assert_eq!(refused.code().map(postgres::error::SqlState::code), Some("53300"), "{refused:?}");
    let people: Vec<_> = (0..5).map(|_| session(&cluster, "person").unwrap()).collect();
    assert!(session(&cluster, "person").is_err());
    let interval = batch[0].query_one("SHOW client_connection_check_interval", &[]).unwrap();
    assert_eq!(interval.get::<_, &str>(0), "1s");
    drop(people);

    let none = fleet(&["sql", "--reserve", "0"], &[]);
    assert!(none.out.contains("\n-- ALTER ROLE \"person\" CONNECTION LIMIT 0;\n"), "{}", none.out);
}
