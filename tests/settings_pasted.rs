//! What people paste who come from other pools: names, units and sizes that mean something else here are told.
#![cfg(feature = "postgres")]

mod loaded;

use loaded::*;
use tierpool::config::{Key, Overrides, Source};

fn warnings(env: &[(&str, &str)]) -> Vec<String> {
    load(env).unwrap_or_else(|faults| panic!("{faults}")).warnings()
}

/// A connection string with these parameters, as the environment has it.
fn url(query: &str) -> String {
    format!("{URL}?{query}")
}

#[test]
fn a_ceiling_that_is_overruled_is_told_and_is_no_source() {
    let limited = url("connection_limit=10");
    let limited = ("DATABASE_URL", limited.as_str());
    for (set, listed, ceiling) in [
        (("DB_MAX_OVERFLOW", "3"), "max_size = 53 (follows DB_MAX_OVERFLOW)", 53),
        (("DB_POOL_SIZE", "3"), "max_size = 8 (follows DB_POOL_SIZE)", 8),
    ] {
        let loaded = load(&[limited, set]).unwrap();
        assert_eq!(loaded.effective()[Key::MaxSize as usize].to_string(), listed);
        assert_eq!(loaded.effective()[Key::MaxSize as usize].setting.name, "max_size");
        let [told] = &loaded.warnings()[..] else { panic!("{:?}", loaded.warnings()) };
        let start = format!("URL parameter connection_limit is 10, and {} overrules it", set.0);
        assert!(told.starts_with(&start) && told.contains(&format!("the ceiling is {ceiling}")), "{told}");
    }
    let mut overrides = Overrides::default();
    overrides.base_size = Some(4);
    let loaded = load_only(&overrides, &[("DATABASE_URL", URL), ("DB_POOL_MAX", "10")]).unwrap();
    let [told] = &loaded.warnings()[..] else { panic!("{:?}", loaded.warnings()) };
    assert!(told.starts_with("DB_POOL_MAX is 10, and base_size overrules it: the ceiling is 9"), "{told}");
    // One that holds, alone or with a part of it.
    assert_eq!(warnings(&[limited]), [""; 0]);
    assert_eq!(warnings(&[("DB_POOL_MAX", "10"), ("DB_POOL_SIZE", "4")]), [""; 0]);
    let held = load(&[("DB_POOL_MAX", "10"), ("DB_POOL_SIZE", "4")]).unwrap();
    assert_eq!(held.source(Key::MaxSize), &Source::Environment { variable: "DB_POOL_MAX" });
    assert_eq!(load(&[]).unwrap().source(Key::MaxSize), &Source::Default);
}

#[test]
fn a_time_in_the_unit_of_another_pool_is_told() {
    let short = [url("socket_timeout=30"), url("statement_timeout=10")];
    let one = |told: Vec<String>| -> String {
        let [told] = &told[..] else { panic!("{told:?}") };
        told.clone()
    };
    for (env, start) in [
        (
            ("DATABASE_URL", short[0].as_str()),
            "URL parameter socket_timeout is 30 ms: it is in milliseconds here",
        ),
        (("DATABASE_URL", &short[1]), "URL parameter statement_timeout is 10 ms: it is in milliseconds here"),
        (("DB_SOCKET_TIMEOUT", "60"), "DB_SOCKET_TIMEOUT is 60 ms: it is in milliseconds here"),
        (("DB_POOL_TIMEOUT", "30000"), "DB_POOL_TIMEOUT is 30000 s, over 8 h: it is in seconds here"),
        (("DB_POOL_RECYCLE", "1800000"), "DB_POOL_RECYCLE is 1800000 s, over 20 days: it is in seconds here"),
        (
            ("DB_POOL_IDLE_TIMEOUT", "600000"),
            "DB_POOL_IDLE_TIMEOUT is 600000 s, over 6 days: it is in seconds",
        ),
    ] {
        let told = one(warnings(&[env]));
        assert!(told.starts_with(start), "{told}");
    }
    // What is meant: at the limit, none at all, in the variable that is in seconds, by the server's own option, and by
    // a program, whose times have their unit.
    let own = url("options=-cstatement_timeout%3D500");
    for env in [
        ("DB_SOCKET_TIMEOUT", "1000"),
        ("DB_SOCKET_TIMEOUT", "0"),
        ("DATABASE_QUERY_TIMEOUT", "0.5"),
        ("DATABASE_URL", &own),
        ("DB_POOL_TIMEOUT", "3600"),
        ("DB_POOL_RECYCLE", "86400"),
        ("DB_POOL_RECYCLE", "0"),
    ] {
        assert_eq!(warnings(&[env]), [""; 0], "{env:?}");
    }
    let mut overrides = Overrides::default();
    overrides.max_lifetime = Some(std::time::Duration::from_secs(1_800_000));
    assert_eq!(load_only(&overrides, &[("DATABASE_URL", URL)]).unwrap().warnings(), [""; 0]);
}

#[test]
fn a_parameter_of_another_pool_is_refused_with_what_to_write_instead() {
    for (query, fault) in [
        ("schema=hush", "URL parameter schema is unknown: it is Prisma's: write options=-csearch_path%3D"),
        (
            "pool_timeout=0",
            "URL parameter pool_timeout is 0: must be longer than zero; for no limit, leave it out",
        ),
        (
            "pool_max_conns=9",
            "URL parameter pool_max_conns is unknown: it is pgxpool's: write connection_limit",
        ),
        (
            "pool_min_conns=hush",
            "URL parameter pool_min_conns is unknown: it is pgxpool's: write min_connections",
        ),
        ("pool_max_conn_lifetime=1h", "it is pgxpool's: set DB_POOL_RECYCLE, in seconds"),
        ("currentSchema=hush", "it is JDBC's: write options=-csearch_path%3D"),
        ("ssl=true", "write sslmode"),
    ] {
        let faults = faults(with_query(query));
        assert!(faults.len() == 1 && faults[0].contains(fault), "{faults:#?}");
        assert!(!faults[0].contains("hush"), "{faults:#?}");
    }
    // What is to be written is taken.
    with_query("options=-csearch_path%3Dnews").unwrap();
}

#[test]
fn a_scheme_with_a_driver_is_refused_with_what_to_leave_out() {
    for (text, rule) in [
        (
            "postgresql+psycopg2://u:hush@h/d",
            "must begin with postgresql://, without the `+` and the driver behind it",
        ),
        (
            "postgres+asyncpg://u:hush@h/d",
            "must begin with postgresql://, without the `+` and the driver behind it",
        ),
        (
            "jdbc:postgresql://h/d?user=u&password=hush",
            "must begin with postgresql://, without jdbc: before it",
        ),
    ] {
        let faults = faults(load(&[("DATABASE_URL", text)]));
        assert!(faults.len() == 1 && faults[0].contains(rule) && !faults[0].contains("hush"), "{faults:#?}");
    }
}
