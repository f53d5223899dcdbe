//! What a default build makes of a URL that says nothing of encryption.

use log::{Level, LevelFilter};
use tierpool::{PgPool, Tier};

use crate::place::{HOST, is_encrypted, server, start};
use crate::support::authority::Authority;
use crate::support::cluster::{APP_PASSWORD, Cluster};
use crate::support::logged;

fn pool(cluster: &Cluster, host: &str, address: &str) -> PgPool {
    let port = cluster.port();
    let url = format!("postgresql://app:{APP_PASSWORD}@{host}:{port}/app?hostaddr={address}");
    PgPool::builder().url(url).base_size(2).build().unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn encrypts_where_the_server_can_as_libpq_does() {
    let cluster = start(server(&Authority::new("ours").server(&[HOST])));
    let pool = pool(&cluster, HOST, "127.0.0.1");
    for tier in [Tier::Automation, Tier::Adhoc] {
        assert!(is_encrypted(&mut pool.get(tier).unwrap()), "{tier:?}");
    }
}

#[test]
fn and_says_of_a_providers_host_that_nobody_has_checked_the_certificate() {
    logged::capture(LevelFilter::Warn);
    let cluster = start(server(&Authority::new("ours").server(&[HOST])));
    // Leads to this machine, and is no loopback address.
    for host in ["db.unchecked.neon.tech", "db.unchecked.test"] {
        drop(pool(&cluster, host, "0.0.0.0"));
    }
    let lines = logged::at("tierpool::tls").into_iter();
    let lines: Vec<_> = lines.filter(|(_, text)| text.contains("db.unchecked.")).collect();
    let [(Level::Warn, text)] = &lines[..] else { panic!("{lines:?}") };
    for part in
        ["db.unchecked.neon.tech is encrypted, but sslmode=prefer", "Neon documents", "sslrootcert=system"]
    {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
