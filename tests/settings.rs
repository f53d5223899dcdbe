//! The settings of a `PgPool`: precedence, sizes, profiles, and the bad input that must be told at once.
#![cfg(feature = "postgres")]

mod loaded;

use std::time::Duration;

use loaded::*;
use tierpool::config::{Key, Overrides, PgSettings, PrePing, Source, WaitMode, profiles};

#[test]
fn defaults_are_those_of_the_table() {
    let settings = load(&[]).unwrap();
    let tier = &settings.automation;
    assert_eq!((tier.base_size, tier.max_overflow, tier.min_size, tier.min_idle), (50, 5, 0, Some(0)));
    assert_eq!(tier.connection_timeout, Duration::from_secs(60));
    assert_eq!(tier.max_lifetime, Some(Duration::from_secs(1800)));
    assert_eq!(tier.idle_timeout, Some(Duration::from_secs(600)));
    assert_eq!(tier.pre_ping, PrePing::Always, "a look without a round trip");
    assert_eq!((settings.adhoc.ceiling(), settings.adhoc.min_idle), (5, Some(0)));
    assert_eq!(settings.total_connections, 60);
    assert_eq!(settings.automation_statement_timeout, Some(Duration::from_secs(30)));
    assert_eq!(settings.connect_timeout, Duration::from_secs(10));
    assert_eq!((settings.statement_cache_size, settings.pgbouncer), (100, None));
    for row in settings.effective().iter().filter(|row| row.setting.key != Key::Server) {
        assert_eq!(row.source, Source::Default, "{row}");
    }
}

#[test]
fn builder_wins_over_environment_over_url_over_profile() {
    let url = format!("{URL}?pool_timeout=7&connect_timeout=8&statement_cache_size=9");
    let env = [
        ("DATABASE_URL", url.as_str()),
        ("DB_POOL_PROFILE", "peak"),
        ("DB_POOL_TIMEOUT", "5"),
        ("DATABASE_CONNECT_TIMEOUT", "6"),
    ];
    let mut overrides = Overrides::default();
    overrides.connection_timeout = Some(Duration::from_secs(3));
    let loaded = load_only(&overrides, &env).unwrap();
    assert_eq!(loaded.automation.connection_timeout, Duration::from_secs(3));
    assert_eq!(loaded.source(Key::ConnectionTimeout), &Source::Builder { method: "connection_timeout" });
    assert_eq!(loaded.connect_timeout, Duration::from_secs(6));
    assert_eq!(loaded.statement_cache_size, 9);
    assert_eq!(loaded.source(Key::StatementCacheSize), &Source::Url { parameter: "statement_cache_size" });
    assert_eq!(loaded.source(Key::BaseSize), &Source::Profile { name: "peak" });
    assert_eq!(loaded.automation.max_lifetime, Some(Duration::from_secs(1800)));
}

#[test]
fn first_variable_wins_and_an_empty_one_is_not_set() {
    let loaded = load(&[("DB_POOL_TIMEOUT", " "), ("DATABASE_POOL_TIMEOUT", "4")]).unwrap();
    assert_eq!(loaded.automation.connection_timeout, Duration::from_secs(4));
    let loaded = load(&[("DB_STATEMENT_TIMEOUT", "1500"), ("DATABASE_QUERY_TIMEOUT", "1.5")]).unwrap();
    assert_eq!(loaded.automation_statement_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(
        loaded.source(Key::StatementTimeout),
        &Source::Environment { variable: "DB_STATEMENT_TIMEOUT" }
    );
    let loaded = load(&[("DATABASE_QUERY_TIMEOUT", "0.5")]).unwrap();
    assert_eq!(loaded.adhoc_statement_timeout, Some(Duration::from_millis(500)));
}

#[test]
fn zero_is_no_limit_where_that_is_documented() {
    let zero = [("DB_STATEMENT_TIMEOUT", "0"), ("DB_POOL_RECYCLE", "0"), ("DB_POOL_IDLE_TIMEOUT", "0")];
    let loaded = load(&zero).unwrap();
    assert_eq!(loaded.automation_statement_timeout, None);
    assert_eq!((loaded.automation.max_lifetime, loaded.automation.idle_timeout), (None, None));
    one_fault(load(&[("DB_POOL_TIMEOUT", "0")]), &["DB_POOL_TIMEOUT is 0", "longer than zero"]);
    for loaded in [load(&[("DATABASE_CONNECT_TIMEOUT", "0")]), with_query("connect_timeout=0")] {
        let loaded = loaded.unwrap();
        assert_eq!(loaded.connect_timeout, Duration::ZERO);
        assert_eq!(loaded.effective()[Key::ConnectTimeout as usize].value, "no limit");
    }
}

#[test]
fn a_statement_timeout_in_the_start_up_options_wins_over_a_default() {
    let limits = |loaded: &PgSettings| (loaded.automation_statement_timeout, loaded.adhoc_statement_timeout);
    let seconds = |limit: u64| Some(Duration::from_secs(limit));
    for (options, limit) in [("-c statement_timeout=0", None), ("--statement-timeout=7s", seconds(7))] {
        let by_url = format!("host=db.example options='{options}'");
        let profile = ("DB_POOL_PROFILE", "development-strict");
        for (env, source) in [
            (vec![("DATABASE_URL", by_url.as_str())], Source::Url { parameter: "options" }),
            (vec![("DATABASE_URL", by_url.as_str()), profile], Source::Url { parameter: "options" }),
            (vec![("PGOPTIONS", options)], Source::Environment { variable: "PGOPTIONS" }),
            (vec![("PGOPTIONS", options), profile], Source::Environment { variable: "PGOPTIONS" }),
        ] {
            let loaded = load(&env).unwrap();
            assert_eq!(limits(&loaded), (limit, limit), "{env:?}");
            assert_eq!(loaded.source(Key::StatementTimeout), &source);
        }
    }
    let other = load(&[("PGOPTIONS", "-c lock_timeout=1s -c geqo=off")]).unwrap();
    assert_eq!(limits(&other), (seconds(30), seconds(30)));
}

#[test]
fn a_statement_timeout_said_as_a_setting_and_in_the_start_up_options_is_a_fault_that_names_both() {
    let options = ("PGOPTIONS", "-c statement_timeout=0");
    one_fault(
        load(&[options, ("DB_STATEMENT_TIMEOUT", "5000")]),
        &["DB_STATEMENT_TIMEOUT + PGOPTIONS is 5 s and 0 s", "must be said once"],
    );
    one_fault(
        with_query("statement_timeout=5000&options=-c%20statement_timeout=5s"),
        &["URL parameter statement_timeout + URL parameter options is 5 s and 5 s"],
    );
    let mut overrides = Overrides::default();
    overrides.statement_timeout = Some(Duration::from_secs(5));
    let both = load_only(&overrides, &[("DATABASE_URL", URL), options]);
    one_fault(both, &["statement_timeout + PGOPTIONS is 5 s and 0 s"]);
    one_fault(
        load(&[("PGOPTIONS", "-c statement_timeout=soon")]),
        &["PGOPTIONS is [redacted]", "such as 30000"],
    );
}

#[test]
fn words_are_read() {
    let loaded = load(&[("DB_POOL_GETMODE", "NoWait"), ("DB_POOL_PRE_PING", "true")]).unwrap();
    assert_eq!(loaded.automation.wait_mode, WaitMode::NoWait);
    assert_eq!(loaded.automation.pre_ping, PrePing::Always);
    one_fault(load(&[("DB_POOL_GETMODE", "force")]), &["is force", "wait, nowait, timedwait or forceget"]);
}

#[test]
fn wait_keeps_to_a_timeout_that_was_set_and_is_for_ever_without_one() {
    let mode = |loaded: Result<PgSettings, _>| loaded.unwrap_or_else(|_| panic!("no fault")).adhoc.wait_mode;
    let (wait, timeout) = (("DB_POOL_GETMODE", "wait"), ("DB_POOL_TIMEOUT", "30"));
    assert_eq!(mode(load(&[wait])), WaitMode::Forever);
    assert_eq!(mode(load(&[wait, timeout])), WaitMode::Timed);
    let url = format!("{URL}?pool_timeout=30");
    assert_eq!(mode(load(&[("DATABASE_URL", url.as_str()), wait])), WaitMode::Timed);
    assert_eq!(mode(load(&[("DB_POOL_GETMODE", "nowait"), timeout])), WaitMode::NoWait);
    // A program that says for ever means it.
    let mut overrides = Overrides::default();
    overrides.wait_mode = Some(WaitMode::Forever);
    assert_eq!(mode(load_only(&overrides, &[("DATABASE_URL", URL), timeout])), WaitMode::Forever);
}

fn sizes(env: &[(&str, &str)]) -> (u32, u32) {
    let loaded = load(env).unwrap();
    (loaded.automation.base_size, loaded.automation.max_overflow)
}

#[test]
fn the_reserve_lingers_for_seconds_unless_somebody_sets_an_idle_timeout() {
    let lingers = |env: &[(&str, &str)]| load(env).unwrap().adhoc.base_lingers;
    assert!(lingers(&[]) && !load(&[]).unwrap().automation.base_lingers);
    assert!(lingers(&[("DB_POOL_PROFILE", "batch")]), "its idle timeout is the default for automation");
    // Also where it is set to just its default.
    for set in ["600", "60", "0"] {
        assert!(!lingers(&[("DB_POOL_IDLE_TIMEOUT", set)]), "with {set}");
    }
}

#[test]
fn a_ceiling_stands_for_base_and_overflow() {
    assert_eq!(sizes(&[("DB_POOL_MAX", "40")]), (40, 0));
    assert_eq!(sizes(&[("DB_CONNECTION_LIMIT", "40"), ("DB_POOL_SIZE", "30")]), (30, 10));
    assert_eq!(sizes(&[("DB_POOL_MAX", "40"), ("DB_MAX_OVERFLOW", "10")]), (30, 10));
    let all = [("DB_POOL_MAX", "40"), ("DB_POOL_SIZE", "30"), ("DB_MAX_OVERFLOW", "10")];
    assert_eq!(sizes(&all), (30, 10));
    let loaded = with_query("connection_limit=12").unwrap();
    assert_eq!(loaded.automation.base_size, 12);
    assert_eq!(loaded.source(Key::BaseSize), &Source::Url { parameter: "connection_limit" });
}

#[test]
fn a_contradicting_ceiling_is_a_fault() {
    let contradiction = [("DB_POOL_MAX", "40"), ("DB_POOL_SIZE", "30"), ("DB_MAX_OVERFLOW", "5")];
    one_fault(load(&contradiction), &["DB_POOL_MAX is 40", "DB_POOL_SIZE = 30 and DB_MAX_OVERFLOW = 5"]);
    one_fault(load(&[("DB_POOL_MAX", "20"), ("DB_POOL_SIZE", "30")]), &["DB_POOL_MAX is 20"]);
}

#[test]
fn a_stronger_source_has_the_say_on_the_ceiling() {
    let mut overrides = Overrides::default();
    overrides.max_size = Some(8);
    let env = [("DATABASE_URL", URL), ("DB_POOL_SIZE", "30"), ("DB_MAX_OVERFLOW", "5")];
    let loaded = load_only(&overrides, &env).unwrap();
    assert_eq!((loaded.automation.base_size, loaded.automation.max_overflow), (8, 0));
    let mut overrides = Overrides::default();
    overrides.base_size = Some(8);
    let loaded = load_only(&overrides, &[("DATABASE_URL", URL), ("DB_POOL_MAX", "40")]).unwrap();
    assert_eq!((loaded.automation.base_size, loaded.automation.max_overflow), (8, 5));
}

#[test]
fn the_budget_must_hold_both_tiers() {
    one_fault(load(&[("DB_TOTAL_CONNECTIONS", "0")]), &["DB_TOTAL_CONNECTIONS is 0", "at least 1"]);
    let biggest = [("DB_POOL_SIZE", "4294967295"), ("DB_MAX_OVERFLOW", "4294967295")];
    one_fault(load(&biggest), &["DB_POOL_SIZE + DB_MAX_OVERFLOW is 4294967295 + 4294967295", "65536"]);
    let mut overrides = Overrides::default();
    (overrides.total_connections, overrides.base_size) = (Some(20), Some(18));
    one_fault(
        load_only(&overrides, &[("DATABASE_URL", URL)]),
        &[
            "total_connections is 20: must be at least 23 = base_size 18 + max_overflow 0",
            "; or base_size at most 15",
        ],
    );
    // What a program has changed is held again.
    let mut loaded = load(&[]).unwrap();
    loaded.automation.base_size = 60;
    let told =
        "total_connections (default) is 60: must be at least 70 = base_size 60 (default) + max_overflow 5";
    assert!(loaded.check().to_string().starts_with(told), "{}", loaded.check());
}

#[test]
fn sizes_of_zero_and_min_above_max_are_faults() {
    one_fault(load(&[("DB_POOL_SIZE", "0")]), &["DB_POOL_SIZE is 0: must be at least 1"]);
    one_fault(load(&[("DB_POOL_MAX", "0")]), &["DB_POOL_MAX is 0: must be at least 1"]);
    one_fault(load(&[("DB_RESERVED_CONNECTIONS", "0")]), &["DB_RESERVED_CONNECTIONS is 0"]);
    one_fault(load(&[("DB_POOL_MAX_WAITING", "0")]), &["DB_POOL_MAX_WAITING is 0"]);
    one_fault(load(&[("DB_POOL_MIN", "56")]), &["DB_POOL_MIN is 56: must not exceed the ceiling of 55"]);
    one_fault(with_query("min_connections=56"), &["URL parameter min_connections is 56"]);
}

#[test]
fn values_that_cannot_be_read_are_named_and_all_are_told() {
    let env = [
        ("DB_POOL_SIZE", "many"),
        ("DB_MAX_OVERFLOW", "-1"),
        ("DB_POOL_TIMEOUT", "1e3"),
        ("USE_PGBOUNCER", "maybe"),
        ("DB_POOL_PRE_PING", "sometimes"),
        ("DB_POOL_PROFILE", "turbo"),
        (
            "DATABASE_URL",
            "postgresql://scraper:hush@db.example/news?pool_size=3&statement_timeout=x&keepalives=y",
        ),
    ];
    let faults = faults(load(&env));
    let wanted = [
        "DB_POOL_SIZE is many: must be a whole number",
        "DB_MAX_OVERFLOW is -1: must be a whole number",
        "DB_POOL_TIMEOUT is 1e3: must be a number of seconds",
        "USE_PGBOUNCER is maybe: must be true, false",
        "DB_POOL_PRE_PING is sometimes: must be always",
        "DB_POOL_PROFILE is turbo: must be one of batch, development",
        "URL parameter pool_size is unknown: must be one of min_connections",
        "URL parameter statement_timeout is x: must be a whole number of milliseconds",
        "URL parameter keepalives is y: must be 0 or 1",
    ];
    for start in wanted {
        assert!(faults.iter().any(|fault| fault.starts_with(start)), "`{start}` is not in {faults:#?}");
    }
    assert_eq!(faults.len(), wanted.len(), "{faults:#?}");
}

#[test]
fn profiles_all_load_and_give_their_values() {
    for profile in profiles() {
        let loaded = load(&[("DB_POOL_PROFILE", profile.name)]).unwrap();
        assert_eq!(loaded.profile, profile.name);
        let rows = loaded.effective();
        for (key, value) in profile.overrides {
            assert_eq!(rows[*key as usize].value, value.to_string(), "{profile}");
            assert_eq!(loaded.source(*key), &Source::Profile { name: profile.name });
        }
        assert!(profile.value(Key::PrePing).is_none(), "{profile}: the probe costs no round trip");
        assert_eq!(loaded.automation.pre_ping, PrePing::Always, "{profile}");
    }
    let strict = load(&[("DB_POOL_PROFILE", "development-strict")]).unwrap();
    assert_eq!(strict.connect_timeout, Duration::from_secs(5));
}

#[test]
fn application_name_is_checked_for_its_length() {
    let loaded = with_query("application_name=a%20b").unwrap();
    assert_eq!(loaded.connect_config("adhoc").get_application_name(), Some("a b/adhoc"));
    one_fault(load(&[("PGAPPNAME", &"x".repeat(53))]), &["PGAPPNAME is xxx", "1 to 52 bytes"]);
}

#[test]
fn a_fallback_application_name_holds_where_none_is_set() {
    let name = |env: &[(&str, &str)]| load(env).unwrap().app_name;
    let fallback = format!("{URL}?fallback_application_name=spare");
    let both = format!("{fallback}&application_name=own");
    assert_eq!(name(&[("DATABASE_URL", &fallback)]), "spare");
    assert_eq!(name(&[("DATABASE_URL", &both)]), "own");
    assert_eq!(name(&[("DATABASE_URL", &fallback), ("PGAPPNAME", "set")]), "set");
}
