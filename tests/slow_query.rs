//! The log of slow statements, and the settings of it and of the socket timeout.
#![cfg(feature = "postgres")]

mod support;

use std::io::Write;
use std::time::Duration;

use log::LevelFilter;
use support::cluster::{Cluster, cluster};
use support::logged;
use support::pools::built;
use support::wait::MS;
use support::wire::manager;
use tierpool::config::{Key, Overrides, PgSettings};
use tierpool::postgres::{PgDriver, PgManager, PgOptions, SocketTimeout};
use tierpool::{PgPool, Pool, PooledConnection, Tier};

/// Short enough for a test, and long for a statement that does nothing.
const SLOW: Duration = Duration::from_millis(150);

/// The lines about slow statements of a pool that contain `text`.
fn lines(pool: &str, text: &str) -> Vec<String> {
    let mine = logged::of(pool).into_iter().map(|(_, line)| line);
    mine.filter(|line| line.starts_with("slow query: ") && line.contains(text)).collect()
}

fn pool(name: &str, cluster: &Cluster, change: impl FnOnce(&mut PgOptions)) -> Pool<PgManager> {
    logged::capture(LevelFilter::Warn);
    let manager = manager(&cluster.url(), change);
    Pool::builder().name(name).max_size(1).driver(Box::new(PgDriver)).build(manager).unwrap()
}

#[test]
fn a_slow_statement_is_logged_with_its_text_and_without_its_parameters() {
    let cluster = cluster();
    let pool = pool("slow-text", &cluster, |options| options.slow_query = Some(SLOW));
    let mut conn = pool.get().unwrap();
    conn.tag("job 7");
    let (id, pid) = (PooledConnection::id(&conn), conn.backend_pid().unwrap());
    conn.execute("SELECT\n   pg_sleep($1),\t$2::text", &[&0.25f64, &"a secret"]).unwrap();
    // Its preparation may be slow too.
    let mut found = lines("slow-text", "SELECT pg_sleep($1), $2::text");
    found.retain(|line| line.contains(" took "));
    assert_eq!(found.len(), 1, "{found:?}");
    let line = &found[0];
    for part in [&format!("connection {id}, backend {pid}, held by ") as &str, "slow_query.rs:", "[job 7]"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    // It slept for 250 ms, of which the clock may miss the first: it is started behind the write.
    let told = line.split(" took ").nth(1).unwrap();
    let is_in_ms = told.split_once(" ms").and_then(|(number, _)| number.parse::<u32>().ok());
    assert!(is_in_ms.is_none_or(|ms| ms >= 200), "{line}");
    assert!(!logged::anywhere("a secret"));
    assert!(pool.stats().slow_queries >= 1);
}

#[test]
fn a_prepared_statement_is_named_by_its_text_each_time() {
    let cluster = cluster();
    let pool = pool("slow-prepared", &cluster, |options| options.slow_query = Some(SLOW));
    let mut conn = pool.get().unwrap();
    let statement = conn.prepare("SELECT pg_sleep($1)").unwrap();
    for _ in 0..2 {
        conn.execute(&statement, &[&0.2f64]).unwrap();
    }
    assert_eq!(lines("slow-prepared", " took ").len(), 2);
    assert_eq!(lines("slow-prepared", "s: SELECT pg_sleep($1)").len(), 2);
}

#[test]
fn a_failure_and_a_lost_connection_are_told() {
    let cluster = cluster();
    let pool = pool("slow-failed", &cluster, |options| {
        options.slow_query = Some(SLOW);
        options.statement_timeout = Some(200 * MS);
        options.socket_timeout = SocketTimeout::After(600 * MS);
    });
    let mut conn = pool.get().unwrap();
    conn.batch_execute("SELECT pg_sleep(61)").unwrap_err();
    assert_eq!(lines("slow-failed", ", SQLSTATE 57014: SELECT pg_sleep(61)").len(), 1);
    conn.batch_execute("SET statement_timeout = 0").unwrap();
    let error = conn.batch_execute("SELECT pg_sleep(62)").unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("socket_timeout"), "{error}: {cause}");
    assert_eq!(lines("slow-failed", ", not answered: SELECT pg_sleep(62)").len(), 1);
}

#[test]
fn a_copy_lasts_until_its_data_is_taken() {
    let cluster = cluster();
    let pool = pool("slow-copy", &cluster, |options| options.slow_query = Some(SLOW));
    let mut conn = pool.get().unwrap();
    conn.batch_execute(
        "CREATE TABLE t (n int);
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_sleep(0.25); RETURN new; END';
         CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    .unwrap();
    let mut copy = conn.copy_in("COPY t FROM STDIN").unwrap();
    copy.write_all(b"1\n").unwrap();
    copy.finish().unwrap();
    assert_eq!(lines("slow-copy", "s: COPY t FROM STDIN").len(), 1);
    conn.batch_execute("SELECT pg_sleep(0.2)").unwrap();
    assert_eq!(lines("slow-copy", "s: SELECT pg_sleep(0.2)").len(), 1, "the next one is timed by itself");
}

#[test]
fn a_long_text_is_cut_and_fast_statements_are_not_told() {
    let cluster = cluster();
    let pool = pool("slow-cut", &cluster, |options| options.slow_query = Some(SLOW));
    let mut conn = pool.get().unwrap();
    conn.batch_execute(&format!("SELECT pg_sleep(0.2) AS {}", "ü".repeat(5000))).unwrap();
    let found = lines("slow-cut", "pg_sleep");
    assert!(found[0].ends_with("ü …") && found[0].len() < 1300, "{found:?}");

    for (name, limit) in
        [("fast", Some(Duration::from_secs(3600))), ("off", None), ("zero", Some(Duration::ZERO))]
    {
        let pool = self::pool(name, &cluster, |options| options.slow_query = limit);
        pool.get().unwrap().batch_execute("SELECT pg_sleep(0.2)").unwrap();
        assert_eq!((lines(name, ""), pool.stats().slow_queries), (vec![], 0));
    }
}

#[test]
fn both_limits_come_from_the_environment_the_url_or_the_builder() {
    let url = "postgresql://app@localhost/news";
    let load = |url: String, env: &[(&str, &str)]| {
        let mut overrides = Overrides::default();
        overrides.url = Some(url.into());
        let value = |name: &str| env.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        PgSettings::load(&overrides, value).unwrap()
    };
    let shown = |settings: &PgSettings, key| {
        let all = settings.effective();
        all.iter().find(|setting| setting.setting.key == key).unwrap().value.clone()
    };
    let none = load(url.to_owned(), &[]);
    assert_eq!((none.socket_timeout, none.slow_query), (None, None));
    assert_eq!(shown(&none, Key::SocketTimeout), "the statement timeout plus 5 s");
    let by_url = load(format!("{url}?socket_timeout=700&slow_query=250"), &[]);
    assert_eq!((by_url.socket_timeout, by_url.slow_query), (Some(700 * MS), Some(250 * MS)));
    let env = [("DB_SOCKET_TIMEOUT", "0"), ("DB_SLOW_QUERY", "0")];
    let by_env = load(format!("{url}?socket_timeout=700&slow_query=250"), &env);
    assert_eq!((by_env.socket_timeout, by_env.slow_query), (Some(Duration::ZERO), None));
    assert_eq!(shown(&by_env, Key::SocketTimeout), "no limit");
}

#[test]
fn a_socket_timeout_of_the_url_ends_a_call_and_is_named_in_its_error() {
    let cluster = cluster();
    let url = format!("{}?socket_timeout=300&statement_timeout=0", cluster.url());
    let by_url = PgPool::builder().url(url.as_str()).base_size(1).max_overflow(0);
    let pool = built(by_url);
    let error = pool.get(Tier::Automation).unwrap().batch_execute("SELECT pg_sleep(60)").unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("within 300 ms (socket_timeout)"), "{error}: {cause}");

    let by_builder = PgPool::builder().url(url).base_size(1).max_overflow(0);
    let pool = built(by_builder.socket_timeout(SocketTimeout::Off));
    pool.get(Tier::Automation).unwrap().batch_execute("SELECT pg_sleep(0.5)").expect("the builder wins");
}
