//! A PgBouncer in between: how it is found, and what changes because of it.
#![cfg(feature = "postgres")]

mod support;

use std::time::Duration;

use support::bouncer::Bouncer;
use support::cluster::{Cluster, cluster};
use support::logged;
use support::wire::{manager, one, open};
use tierpool::config::{Key, Overrides, PgBouncer, PgSettings, Settings, Source};
use tierpool::postgres::{PgDriver, PgManager, ResetPolicy, SessionOptions, run_session};
use tierpool::{Driver, ErrorKind, FailureClass, PgError, PgPool, PrePing, Tier};

const LIMIT: Duration = Duration::from_millis(1234);

/// Loads settings from an environment of its own.
fn load(env: &[(&str, &str)]) -> PgSettings {
    let find = |name: &str| env.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
    let limit = LIMIT.as_millis().to_string();
    let found = |name: &str| if name == "DB_STATEMENT_TIMEOUT" { Some(limit.clone()) } else { find(name) };
    PgSettings::load(&Overrides::default(), found).unwrap_or_else(|faults| panic!("{faults}"))
}

fn build(settings: PgSettings) -> PgPool {
    PgPool::from_settings(settings).unwrap_or_else(|error| panic!("{error:#}"))
}

fn timeout_in_session(pool: &PgPool) -> String {
    let show = |tx: &mut tierpool::postgres::Session<'_>| {
        Ok::<_, PgError>(tx.query_one("SHOW statement_timeout", &[])?.get(0))
    };
    pool.session(show).unwrap()
}

/// Base size, overflow, lifetime and pre-ping.
fn defaults(settings: &Settings) -> (u32, u32, Option<Duration>, PrePing) {
    (settings.base_size, settings.max_overflow, settings.max_lifetime, settings.pre_ping)
}

const BEHIND: (u32, u32, Option<Duration>, PrePing) = (2, 5, Some(Duration::from_secs(300)), PrePing::Always);

fn batch() -> (u32, u32, Option<Duration>, PrePing) {
    (50, 5, Some(Duration::from_secs(1800)), PrePing::Always)
}

#[test]
fn said_by_port_environment_or_url_it_gets_no_startup_option_and_the_defaults_of_its_profile() {
    let cluster = cluster();
    let at_its_port = Bouncer::over(&cluster, "transaction").port(6432).start();
    let elsewhere = Bouncer::over(&cluster, "session").start();
    let by_url = format!("{}?pgbouncer=true", elsewhere.url());
    for (env, mode) in [
        ([("DATABASE_URL", at_its_port.url().as_str()), ("", "")], PgBouncer::Transaction),
        ([("DATABASE_URL", &elsewhere.url()), ("USE_PGBOUNCER", "session")], PgBouncer::Session),
        ([("DATABASE_URL", &by_url), ("", "")], PgBouncer::Transaction),
    ] {
        let settings = load(&env);
        assert_eq!(settings.pgbouncer, Some(mode));
        let is_session = mode == PgBouncer::Session;
        assert_eq!(settings.statement_cache_size, if is_session { 100 } else { 0 });
        let pool = build(settings);
        assert_eq!(defaults(&pool.automation().settings()), if is_session { batch() } else { BEHIND });
        assert_eq!(timeout_in_session(&pool), "1234ms");
        assert_eq!(pool.get(Tier::Adhoc).unwrap().pgbouncer(), mode);
    }
    for log in [at_its_port.log(), elsewhere.log()] {
        assert!(!log.contains("unsupported startup parameter"), "{log}");
    }
}

#[test]
fn found_by_the_server_itself_it_gets_the_same() {
    let cluster = cluster();
    // Refused, or swallowed so that only the number of the backend tells.
    for ignored in ["extra_float_digits", "options"] {
        let bouncer =
            Bouncer::over(&cluster, "transaction").setting("ignore_startup_parameters", ignored).start();
        let settings = load(&[("DATABASE_URL", &bouncer.url())]);
        assert_eq!(settings.pgbouncer, None);
        let pool = build(settings);
        assert_eq!(defaults(&pool.automation().settings()), BEHIND);
        assert_eq!(pool.adhoc().settings().pre_ping, PrePing::Always);
        assert_eq!(pool.total_connections(), 12, "it follows the sizes");
        assert_eq!(pool.automation().settings().connection_timeout, Duration::from_secs(30));
        assert_eq!(timeout_in_session(&pool), "1234ms");
        assert!(pool.get(Tier::Automation).unwrap().is_transaction_pooled());
        let refusals = bouncer.log().matches("closing because: unsupported startup parameter").count();
        assert_eq!(refusals, usize::from(ignored != "options"), "{}", bouncer.log());
    }
}

#[test]
fn a_tier_with_a_server_of_its_own_is_not_taken_for_one_behind_it() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").start();
    let pool = PgPool::builder().url(bouncer.url()).adhoc_url(cluster.url()).min_size(1).build().unwrap();
    assert_eq!(defaults(&pool.automation().settings()), BEHIND);
    let (_, _, lifetime, pre_ping) = defaults(&pool.adhoc().settings());
    assert_eq!((lifetime, pre_ping), (batch().2, batch().3));
}

#[test]
fn over_a_unix_socket_it_is_found_too() {
    let cluster = cluster();
    for ignored in ["extra_float_digits", "options"] {
        let bouncer =
            Bouncer::over(&cluster, "transaction").setting("ignore_startup_parameters", ignored).start();
        let manager = manager(&bouncer.url_unix(), |options| options.statement_timeout = Some(LIMIT));
        let mut conn = open(&manager);
        assert_eq!((conn.is_observed(), conn.pgbouncer()), (false, PgBouncer::Transaction));
        let limit = run_session(&mut conn, &SessionOptions::new(), |tx| {
            Ok::<String, PgError>(tx.query_one("SHOW statement_timeout", &[])?.get(0))
        });
        assert_eq!(limit.unwrap(), "1234ms");
    }
    let direct = manager(&cluster.url_unix(), |_| ());
    assert_eq!(open(&direct).pgbouncer(), PgBouncer::Off);
}

#[test]
fn a_server_is_told_from_a_pooler_once_for_all_connections() {
    let cluster = Cluster::builder().setting("log_statement", "all").start().unwrap();
    let manager = manager(&cluster.url(), |options| options.statement_timeout = Some(LIMIT));
    assert_eq!(manager.pgbouncer(), None);
    let mut first = open(&manager);
    assert_eq!((manager.pgbouncer(), first.round_trips()), (Some(PgBouncer::Off), Some(0)));
    assert_eq!(one::<String>(&mut first, "SHOW statement_timeout"), "1234ms");
    let mut others: Vec<_> = (0..3).map(|_| open(&manager.clone())).collect();
    assert_eq!(one::<String>(&mut others[0], "SHOW statement_timeout"), "1234ms");
    assert_eq!(cluster.server_log().matches("pg_backend_pid").count(), 1, "{}", cluster.server_log());
}

#[test]
fn every_default_can_be_set_back() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").start();
    let url = bouncer.url();
    for said in [("", ""), ("USE_PGBOUNCER", "true")] {
        let pool = build(load(&[("DATABASE_URL", &url), ("DB_POOL_PROFILE", "batch"), said]));
        assert_eq!(defaults(&pool.automation().settings()), batch());
        let own = [("DB_POOL_SIZE", "3"), ("DB_POOL_RECYCLE", "77"), ("DB_POOL_PRE_PING", "never")];
        let pool = build(load(&[("DATABASE_URL", &url), said, own[0], own[1], own[2]]));
        let seconds = Duration::from_secs(77);
        assert_eq!(defaults(&pool.automation().settings()), (3, 5, Some(seconds), PrePing::Never));
        let cached = load(&[("DATABASE_URL", &url), said, ("DB_STATEMENT_CACHE_SIZE", "7")]);
        assert_eq!(cached.statement_cache_size, 7);
    }
    let peak = load(&[("DATABASE_URL", &url), ("USE_PGBOUNCER", "1"), ("DB_POOL_PROFILE", "peak")]);
    assert_eq!((peak.automation.base_size, peak.statement_cache_size), (50, 0));
    assert_eq!(peak.source(Key::StatementCacheSize), &Source::Detected { from: "USE_PGBOUNCER".to_owned() });

    let changed = PgPool::builder().url(&*url).automation(|tier| tier.base_size(4).max_overflow(1)).build();
    assert_eq!(changed.unwrap().automation().max_size(), 5);
    // Also what was set to just its default, on a tier or in settings loaded before.
    let (base, overflow, lifetime, pre_ping) = batch();
    let said = PgPool::builder()
        .url(&*url)
        .automation(move |tier| tier.max_size(base + overflow).base_size(base).max_lifetime(lifetime))
        .adhoc(move |tier| tier.pre_ping(pre_ping));
    let said = said.build().unwrap();
    assert_eq!(defaults(&said.automation().settings()), (base, overflow, lifetime, pre_ping));
    assert_eq!(said.adhoc().settings().pre_ping, pre_ping);
    let mut settings = load(&[("DATABASE_URL", &url)]);
    settings.automation.max_lifetime = Some(Duration::from_secs(77));
    assert_eq!(build(settings).automation().settings().max_lifetime, Some(Duration::from_secs(77)));
    let kept = PgPool::builder().url(&*url).min_size(9).build().unwrap();
    assert_eq!(kept.automation().max_size(), 55, "what is kept open would not fit");
}

#[test]
fn sizes_that_stay_since_those_for_a_pooler_do_not_fit_are_told_with_the_fault() {
    logged::capture(log::LevelFilter::Info);
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").start();
    let told = |part: &str| -> Vec<String> {
        let lines = logged::at("tierpool::settings").into_iter();
        lines
            .filter(|(level, text)| *level == log::Level::Warn && text.contains(part))
            .map(|(_, text)| text)
            .collect()
    };
    let fits = [
        ("DATABASE_URL", bouncer.url()),
        ("DB_POOL_MIN", "7".to_owned()),
        ("DB_POOL_NAME", "fits".to_owned()),
    ];
    build(load(&fits.each_ref().map(|(name, value)| (*name, value.as_str()))));
    assert_eq!(told("pool `fits.automation`"), [""; 0]);

    let url = bouncer.url();
    let pool = build(load(&[("DATABASE_URL", &url), ("DB_POOL_MIN", "10"), ("DB_POOL_NAME", "large")]));
    let settings = pool.automation().settings();
    assert_eq!((settings.base_size, settings.max_overflow), (50, 5));
    assert_eq!((settings.connection_timeout, settings.max_lifetime), (Duration::from_secs(30), BEHIND.2));
    let lines = told("pool `large.automation`");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let fault = "DB_POOL_MIN is 10: must not exceed the ceiling of 7 (base_size + max_overflow)";
    assert!(line.contains(fault) && line.contains("stay 50 + 5"), "{line}");

    // Set on a tier's builder, which no setting knows of.
    let tier = PgPool::builder().url(&*url).name("tier").automation(|tier| tier.min_size(9)).build().unwrap();
    assert_eq!(tier.automation().max_size(), 55);
    let lines = told("pool `tier.automation`");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(
        line.contains("min_size is 9: must not exceed the ceiling of 7") && line.contains("50 + 5"),
        "{line}"
    );
}

#[test]
fn where_it_is_said_that_there_is_none_a_refusal_is_told() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").start();
    let error = PgPool::builder().url(bouncer.url()).pgbouncer(false).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectFailed, "{error:#}");
    assert!(error.to_string().contains("unsupported startup parameter"), "{error}");
}

#[test]
fn a_reset_of_the_session_is_refused_in_transaction_mode() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").start();
    for policy in [ResetPolicy::Full, ResetPolicy::Sql("RESET ALL".to_owned())] {
        let said = PgPool::builder().url(bouncer.url()).pgbouncer(true).reset_policy(policy.clone());
        let error = said.build().unwrap_err();
        assert!(error.is_invalid_config() && error.to_string().contains("reset_policy is"), "{error}");

        // Nobody said it: then the return is rolled back, and nothing else is sent.
        let manager = manager(&bouncer.url(), |options| options.reset = policy);
        let mut conn = open(&manager);
        one::<i32>(&mut conn, "SELECT 1");
        assert_eq!(PgDriver.condition(&manager, &mut conn), tierpool::Condition::Clean);
        conn.batch_execute("BEGIN").unwrap();
        let before = conn.round_trips().unwrap();
        PgDriver.reset(&manager, &mut conn, false, Duration::from_secs(5)).unwrap();
        assert_eq!(conn.round_trips(), Some(before + 1));
    }
}

#[test]
fn questions_to_the_server_go_by_way_of_the_pooler() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").setting("default_pool_size", "2").start();
    let pool = PgPool::builder().url(bouncer.url()).app_name("asker").build().unwrap();
    pool.session(|tx| {
        // From here on it has a connection.
        tx.batch_execute("SELECT 1")?;
        assert!(pool.check_health(true).healthy);
        let activity = pool.server_activity()?;
        // Two connections of PgBouncer's, not those of the pool to it.
        assert_eq!(activity.tier(Tier::Automation).total.open, 1, "{activity}");
        assert!(pool.long_running_queries(Duration::ZERO)?.len() <= 2);
        Ok::<_, PgError>(())
    })
    .unwrap();
}

#[test]
fn a_full_pooler_counts_as_a_full_server() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "session").setting("max_client_conn", "1").start();
    let manager: PgManager = manager(&bouncer.url(), |_| ());
    let mut first = None;
    // The look whether it is up counted for a moment.
    support::wait::eventually(Duration::from_secs(20), "a first client", || {
        first = manager.connect_within(Duration::from_secs(5)).ok();
        first.is_some()
    });
    let error = manager.connect_within(Duration::from_secs(5)).unwrap_err();
    assert_eq!(PgDriver.classify(&error), FailureClass::Exhausted, "{error:?}");

    // Also where the next of several is down: a connection may be given back.
    let (url, closed) = (bouncer.url(), support::port::free_port().unwrap());
    let (hosts, rest) = url.rsplit_once('/').unwrap();
    let of_two = format!("{hosts},127.0.0.1:{closed}/{rest}");
    let error = support::wire::manager(&of_two, |_| ()).connect_within(Duration::from_secs(5)).unwrap_err();
    assert_eq!(PgDriver.classify(&error), FailureClass::Exhausted, "{error:?}");
}

#[test]
fn a_statement_is_cancelled_by_way_of_the_pooler() {
    let cluster = cluster();
    for mode in ["session", "transaction"] {
        let bouncer = Bouncer::over(&cluster, mode).start();
        let mut conn = open(&manager(&bouncer.url(), |_| ()));
        let cancel = conn.cancel_handle();
        let mut admin = cluster.admin();
        std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                run_session(&mut conn, &SessionOptions::new(), |tx| tx.batch_execute("SELECT pg_sleep(60)"))
            });
            let running = "SELECT count(*) FROM pg_stat_activity
                WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'";
            support::wait::eventually(Duration::from_secs(20), "the statement runs", || {
                admin.query_one(running, &[]).unwrap().get::<_, i64>(0) == 1
            });
            cancel.cancel(Duration::from_secs(5)).unwrap();
            let error = run.join().unwrap().unwrap_err();
            assert_eq!(error.sqlstate(), Some("57014"));
            assert!(!error.is_statement_timeout() && !error.is_connection_lost(), "{error:?}");
        });
        assert_eq!(one::<i32>(&mut conn, "SELECT 1"), 1);
    }
}
