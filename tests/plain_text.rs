//! A connection that others can read is told of once for each host, with what to set; one that nobody else sees is not.
#![cfg(feature = "postgres")]

mod support;

use log::{Level, LevelFilter};
use support::cluster::{APP_PASSWORD, Cluster, cluster};
use support::logged;
use tierpool::{PgPool, Tier};

/// Leads to this machine, on Linux, and is no address that is loopback by definition: it stands in for one elsewhere.
const ELSEWHERE: &str = "0.0.0.0";

fn url(cluster: &Cluster, host: &str, address: &str, more: &str) -> String {
    format!("postgresql://app:{APP_PASSWORD}@{host}:{}/app?hostaddr={address}{more}", cluster.port())
}

fn pool(url: &str) -> PgPool {
    PgPool::builder().url(url).base_size(3).min_size(3).build().unwrap_or_else(|error| panic!("{error:#}"))
}

fn told_of(host: &str) -> Vec<(Level, String)> {
    let lines = logged::at("tierpool::tls").into_iter();
    lines.filter(|(_, text)| text.contains(&format!("the connection to {host} "))).collect()
}

#[test]
fn plain_text_to_elsewhere_is_told_once_for_both_tiers_of_a_pool() {
    logged::capture(LevelFilter::Warn);
    let cluster = cluster();
    let elsewhere = url(&cluster, "db.plain.test", ELSEWHERE, "");
    let first = pool(&elsewhere);
    drop((first.get(Tier::Automation).unwrap(), first.get(Tier::Adhoc).unwrap()));
    assert!(first.get_pool_status(Tier::Automation).size >= 3);
    let lines = told_of("db.plain.test");
    let [(Level::Warn, text)] = &lines[..] else { panic!("{lines:?}") };
    let why =
        if cfg!(feature = "tls") { "sslmode=prefer, the default, does without" } else { "feature `tls`" };
    for part in ["is in plain text", why, "et sslmode=verify-full, and sslrootcert"] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert!(!text.contains(APP_PASSWORD));
    let _second = pool(&elsewhere);
    assert_eq!(told_of("db.plain.test").len(), 2, "once for each pool");
}

#[test]
fn plain_text_that_was_asked_for_is_told_as_well() {
    logged::capture(LevelFilter::Warn);
    let cluster = cluster();
    let _pool = pool(&url(&cluster, "db.asked.test", ELSEWHERE, "&sslmode=disable"));
    let lines = told_of("db.asked.test");
    let [(Level::Warn, text)] = &lines[..] else { panic!("{lines:?}") };
    assert!(text.contains("since sslmode=disable asks for it"), "{text}");
}

#[test]
fn nothing_is_told_of_loopback_and_of_a_unix_socket() {
    logged::capture(LevelFilter::Warn);
    let cluster = cluster();
    let _tunnel = pool(&url(&cluster, "db.tunnel.test", "127.0.0.1", ""));
    assert_eq!(told_of("db.tunnel.test"), []);
    let _loopback = pool(&cluster.url());
    let _by_name = pool(&format!("postgresql://app:{APP_PASSWORD}@localhost:{}/app", cluster.port()));
    let _socket = pool(&cluster.url_unix());
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(told_of(host), []);
    }
}

#[test]
fn of_a_providers_host_the_line_says_what_the_provider_documents() {
    logged::capture(LevelFilter::Warn);
    let cluster = cluster();
    let host = "db.plaintext.supabase.co";
    let _pool = pool(&url(&cluster, host, ELSEWHERE, ""));
    let lines = told_of(host);
    let [(Level::Warn, text)] = &lines[..] else { panic!("{lines:?}") };
    assert!(text.contains("is in plain text"), "{text}");
    assert!(text.contains("what Supabase documents: sslmode=verify-full, and sslrootcert to"), "{text}");
}
