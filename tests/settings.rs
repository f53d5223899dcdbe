//! The settings of a `PgPool`: precedence, sizes, profiles, detection and the bad input that must be told at once.
#![cfg(feature = "postgres")]

use std::time::Duration;

use tierpool::config::{
    Faults, Key, Overrides, PgBouncer, PgSettings, PrePing, Source, TargetSessionAttrs, TlsMode, WaitMode,
    profiles,
};

const URL: &str = "postgresql://scraper:hush@db.example/news";

/// Loads with `DATABASE_URL` set to a good one, and these variables.
fn load(env: &[(&str, &str)]) -> Result<PgSettings, Faults> {
    let mut all = vec![("DATABASE_URL", URL)];
    all.retain(|(name, _)| !env.iter().any(|(other, _)| other == name));
    all.extend_from_slice(env);
    load_only(&Overrides::default(), &all)
}

fn load_only(overrides: &Overrides, env: &[(&str, &str)]) -> Result<PgSettings, Faults> {
    PgSettings::load(overrides, |name| {
        env.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned())
    })
}

fn with_query(query: &str) -> Result<PgSettings, Faults> {
    load(&[("DATABASE_URL", &format!("{URL}?{query}"))])
}

fn faults(loaded: Result<PgSettings, Faults>) -> Vec<String> {
    let faults = loaded.map(|settings| format!("{settings:?}")).expect_err("there should be faults");
    faults.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn one_fault(loaded: Result<PgSettings, Faults>, parts: &[&str]) {
    let faults = faults(loaded);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    for part in parts {
        assert!(faults[0].contains(part), "`{part}` is not in: {}", faults[0]);
    }
}

#[test]
fn defaults_are_those_of_the_table() {
    let settings = load(&[]).unwrap();
    let tier = &settings.automation;
    assert_eq!((tier.base_size, tier.max_overflow, tier.min_size, tier.min_idle), (50, 5, 0, Some(0)));
    assert_eq!(tier.connection_timeout, Duration::from_secs(60));
    assert_eq!(tier.max_lifetime, Some(Duration::from_secs(1800)));
    assert_eq!(tier.idle_timeout, Some(Duration::from_secs(600)));
    assert_eq!(tier.pre_ping, PrePing::IfIdleFor(Duration::from_millis(500)));
    assert_eq!((settings.adhoc.ceiling(), settings.adhoc.min_idle), (5, Some(1)));
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
    let loaded = load(&[("DB_STATEMENT_TIMEOUT", "1500"), ("DATABASE_QUERY_TIMEOUT", "9")]).unwrap();
    assert_eq!(loaded.automation_statement_timeout, Some(Duration::from_millis(1500)));
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
    one_fault(load(&[("DATABASE_CONNECT_TIMEOUT", "0")]), &["DATABASE_CONNECT_TIMEOUT is 0"]);
}

#[test]
fn words_are_read() {
    let loaded = load(&[("DB_POOL_GETMODE", "NoWait"), ("DB_POOL_PRE_PING", "true")]).unwrap();
    assert_eq!(loaded.automation.wait_mode, WaitMode::NoWait);
    assert_eq!(loaded.automation.pre_ping, PrePing::Always);
    one_fault(load(&[("DB_POOL_GETMODE", "forceget")]), &["forceget", "wait, nowait or timedwait"]);
}

fn sizes(env: &[(&str, &str)]) -> (u32, u32) {
    let loaded = load(env).unwrap();
    (loaded.automation.base_size, loaded.automation.max_overflow)
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
    one_fault(
        load(&[("DB_POOL_SIZE", "60")]),
        &["DB_POOL_SIZE + max_overflow (default) + reserved (default) is 60 + 5 + 5 = 70", "budget of 60"],
    );
    one_fault(load(&[("DB_TOTAL_CONNECTIONS", "0")]), &["DB_TOTAL_CONNECTIONS is 0", "at least 1"]);
    let biggest = [("DB_POOL_SIZE", "4294967295"), ("DB_MAX_OVERFLOW", "4294967295")];
    assert!(faults(load(&biggest)).iter().any(|fault| fault.contains("= 8589934595")));
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
fn a_missing_server_lists_what_was_looked_for() {
    let missing = load_only(&Overrides::default(), &[("POSTGRES_DB", "news")]);
    one_fault(missing, &["DATABASE_URL", "SUPABASE_URL", "POSTGRES_HOST", "PGHOST", "POSTGRES_DB alone"]);
}

#[test]
fn urls_that_cannot_be_used_are_faults() {
    let without_host = "without host: must name a host";
    for (url, part) in [
        ("postgresql:///news", without_host),
        ("postgresql://u:hush@/news", without_host),
        ("postgresql://?user=u", without_host),
        ("user=u password=hush", without_host),
        ("mysql://u:hush@h/d", "must be a URL of the form"),
        ("postgresql://u:hu@sh@h/d", "%40"),
        ("postgresql://u:hu/sh@h/d", "%2F"),
        ("postgresql://u:hush@h:port/d", "port"),
        ("postgresql://u:hush@h:0/d", "port 0"),
        ("postgresql://u:hush@h/d?port=6543", "2 ports for 1 hosts"),
        ("postgresql://u:hush@h/d?loose", "without `=`"),
        ("postgresql://u:hush%@h/d", "%25"),
    ] {
        one_fault(load(&[("DATABASE_URL", url)]), &["DATABASE_URL is ", part]);
    }
}

#[test]
fn libpq_parameters_are_passed_on_or_refused_with_a_rule() {
    let loaded =
        with_query("target_session_attrs=read-write&keepalives_count=7&tcp_user_timeout=1500").unwrap();
    let config = loaded.server.config();
    assert_eq!(loaded.server.session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(config.get_keepalives_retries(), Some(7));
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
    assert_eq!(config.get_keepalives_idle(), Duration::from_secs(30));
    for attrs in TargetSessionAttrs::ALL {
        let loaded = with_query(&format!("target_session_attrs={attrs}")).unwrap();
        assert_eq!(loaded.server.session_attrs(), attrs);
    }
    one_fault(
        with_query("target_session_attrs=master"),
        &[
            "URL parameter target_session_attrs is master",
            "any, read-write, read-only, primary, standby or prefer",
        ],
    );
    one_fault(with_query("service=x"), &["URL parameter service is x", "not supported"]);
    one_fault(with_query("pool_timeout=1&pool_timeout=2"), &["pool_timeout is given twice"]);
    assert_eq!(with_query("sslmode=disable").unwrap().server.tls().mode, TlsMode::Disable);
}

/// Plain text must never pass for `require`, wherever the demand comes from.
#[cfg(not(feature = "tls"))]
#[test]
fn encryption_is_refused_without_tls() {
    one_fault(with_query("sslmode=allow"), &["sslmode is allow", "disable or prefer"]);
    for mode in ["require", "verify-ca", "verify-full"] {
        let parts = ["sslmode is", mode, "needs the feature `tls`", "disable or prefer"];
        one_fault(with_query(&format!("sslmode={mode}")), &parts);
    }
    one_fault(load(&[("PGSSLMODE", "require")]), &["PGSSLMODE is require"]);
    one_fault(with_query("sslrootcert=/ca.pem"), &["sslrootcert is /ca.pem", "needs the feature `tls`"]);
    one_fault(with_query("sslnegotiation=direct"), &["sslnegotiation is direct"]);
}

#[test]
fn addresses_of_every_form_reach_the_driver() {
    let shown = |env: &[(&str, &str)]| load_only(&Overrides::default(), env).unwrap().server.to_string();
    let several = "postgres://u%40x:p%2Fw@h1:1,[::1]:2,h3/d%20b?load_balance_hosts=random";
    assert_eq!(shown(&[("DATABASE_URL", several)]), "postgresql://u@x@h1:1,[::1]:2,h3:5432/d b");
    assert_eq!(shown(&[("SUPABASE_URL", "host='h' port=7 user=u dbname=d")]), "postgresql://u@h:7/d");
    assert_eq!(shown(&[("DATABASE_URL", "postgres:///d?host=/run/pg")]), "postgresql:///run/pg:5432/d");
    assert_eq!(shown(&[("DATABASE_URL", "postgres:///d?host=a,b&port=1,2")]), "postgresql://a:1,b:2/d");
    let pieces =
        [("POSTGRES_HOST", "h"), ("POSTGRES_PORT", "7"), ("POSTGRES_USER", "u"), ("PGHOST", "other")];
    assert_eq!(shown(&pieces), "postgresql://u@h:7");
    let pieces = [("POSTGRES_HOST", "a,b"), ("POSTGRES_PORT", "1,2")];
    assert_eq!(shown(&pieces), "postgresql://a:1,b:2");
    assert_eq!(shown(&[("PGHOST", "a,b"), ("PGPORT", "7")]), "postgresql://a:7,b:7");
    assert_eq!(shown(&[("PGHOSTADDR", "127.0.0.1"), ("PGDATABASE", "d")]), "postgresql://127.0.0.1:5432/d");
    one_fault(load_only(&Overrides::default(), &[("PGHOST", "h"), ("PGPORT", "x")]), &["PGPORT is x"]);
}

#[test]
fn passwords_reach_the_driver_decoded_once() {
    let password = |url: &str, env: &[(&str, &str)]| {
        let mut all = vec![("DATABASE_URL", url)];
        all.extend_from_slice(env);
        let loaded = load_only(&Overrides::default(), &all).unwrap();
        loaded.server.config().get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    assert_eq!(password("postgres://u:p%40%2525@h", &[]).as_deref(), Some("p@%25"));
    assert_eq!(password("postgres://u@h", &[("PGPASSWORD", "it's")]).as_deref(), Some("it's"));
    assert_eq!(password("postgres://u:own@h", &[("PGPASSWORD", "it's")]).as_deref(), Some("own"));
    assert_eq!(password(r"host=h password='it\'s'", &[]).as_deref(), Some("it's"));
}

#[test]
fn a_password_is_never_shown() {
    let secrets = ["hush", "h%75sh"];
    let spread = |secret: &str| {
        [
            format!("postgres://u:{secret}@h/d"),
            format!("postgres://h/d?password={secret}"),
            format!("host=h password={secret}"),
            format!("postgres://u:{secret}@h/d?unknown=1&sslmode=x"),
            format!("postgres://u:a@{secret}@h/d"),
            format!("postgres://u:a/{secret}@h/d"),
            format!("postgres://u:a?{secret}=b@h/d"),
            format!("postgres://u:{secret}@h:x/d"),
            format!("postgres://u:{secret}%zz@h/d"),
            format!("postgres://u:{secret}"),
            format!("host=h password=a {secret}=b"),
            format!("postgres://h/d?password=a&{secret}=b"),
            format!("password=a {secret}"),
        ]
    };
    for url in secrets.into_iter().flat_map(spread) {
        let env = [("DATABASE_URL", url.as_str()), ("DB_POOL_SIZE", url.as_str())];
        for env in [&env[..1], &env[..]] {
            let text = match load_only(&Overrides::default(), env) {
                Ok(loaded) => format!("{loaded:?} {} {:?}", loaded.server, loaded.effective()),
                Err(faults) => format!("{faults} {faults:?}"),
            };
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "{url} gives {text}");
        }
        let mut overrides = Overrides::default();
        overrides.url = Some(url.as_str().into());
        assert!(!format!("{overrides:?}").contains("sh"), "{overrides:?}");
    }
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
    }
    let strict = load(&[("DB_POOL_PROFILE", "development-strict")]).unwrap();
    assert_eq!(strict.connect_timeout, Duration::from_secs(5));
}

#[test]
fn pgbouncer_is_detected_and_every_default_can_be_set_back() {
    for (env, from) in [
        (("DATABASE_URL", "postgres://h:6543/d"), "port 6543"),
        (("DATABASE_URL", "postgres://h:6432/d"), "port 6432"),
        (("USE_PGBOUNCER", "true"), "USE_PGBOUNCER"),
        (("DATABASE_URL", "postgres://h/d?pgbouncer=true"), "URL parameter pgbouncer"),
    ] {
        let loaded = load(&[env]).unwrap();
        assert_eq!(loaded.pgbouncer, Some(PgBouncer::Transaction));
        let tier = &loaded.automation;
        assert_eq!((tier.base_size, tier.max_overflow, tier.pre_ping), (2, 5, PrePing::Never));
        assert_eq!(tier.max_lifetime, Some(Duration::from_secs(300)));
        assert_eq!(loaded.source(Key::BaseSize), &Source::Detected { from: from.to_owned() });
    }
    let port = ("DATABASE_URL", "postgres://h:6543/d");
    let off = load(&[port, ("USE_PGBOUNCER", "false")]).unwrap();
    assert_eq!((off.pgbouncer, off.automation.base_size), (Some(PgBouncer::Off), 50));
    let batch = load(&[port, ("DB_POOL_PROFILE", "batch")]).unwrap();
    assert_eq!((batch.pgbouncer, batch.automation.base_size), (Some(PgBouncer::Transaction), 50));
    let ping = load(&[port, ("DB_POOL_PRE_PING", "always")]).unwrap();
    assert_eq!(ping.automation.pre_ping, PrePing::Always);
}

#[test]
fn supabase_is_recognised_by_its_hosts() {
    let is = |host: &str| load(&[("DATABASE_URL", &format!("postgres://{host}/d"))]).unwrap().is_supabase();
    assert!(is("db.abc.supabase.co") && is("aws-0.pooler.SUPABASE.com:6543") && is("supabase.co."));
    assert!(!is("notsupabase.co") && !is("supabase.co.example"));
}

#[test]
fn application_name_is_checked_for_its_length() {
    let loaded = with_query("application_name=a%20b").unwrap();
    assert_eq!(loaded.connect_config("adhoc").get_application_name(), Some("a b/adhoc"));
    one_fault(load(&[("PGAPPNAME", &"x".repeat(53))]), &["PGAPPNAME is xxx", "1 to 52 bytes"]);
}
