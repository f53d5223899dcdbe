//! Tells of connections that others can read, or that lead to nobody knows whom, and what to set.

use std::collections::HashSet;
use std::net::IpAddr;

use log::Level;
use parking_lot::Mutex;
use postgres::Config;
use postgres::config::Host;

use crate::config::{Provider, TlsMode, provider_of};
use crate::lines::say;
use crate::text::harmless;

/// Hosts kept in mind. Names come from the settings, so that there are a handful; whoever has more is told again.
const MOST_HOSTS: usize = 100;

/// Tells of each host once.
#[derive(Debug, Default)]
pub(super) struct Exposed {
    /// Held for a look, never over I/O or a line of the log.
    told: Mutex<HashSet<String>>,
}

impl Exposed {
    /// Looks at a connection that has just been opened, by a configuration that names one server.
    pub fn look(&self, config: &Config, mode: TlsMode, is_encrypted: bool) {
        let Some(host) = host_of(config) else { return };
        let Some(text) = told(host, mode, is_encrypted) else { return };
        let mut hosts = self.told.lock();
        if hosts.len() >= MOST_HOSTS {
            hosts.clear();
        }
        let is_new = hosts.insert(host.to_owned());
        drop(hosts);
        if is_new {
            say!(Level::Warn, "tierpool::tls", [host = harmless(host)], "{text}");
        }
    }
}

/// The host of a connection that leaves this machine. What is no address that is loopback by definition counts as
/// elsewhere.
fn host_of(config: &Config) -> Option<&str> {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.as_str(),
        #[cfg(unix)]
        Some(Host::Unix(_)) => return None,
        // An address alone, to which no certificate and no provider's name belong.
        None => "the server",
    };
    let address = config.get_hostaddrs().first().copied().or_else(|| host.parse().ok());
    let is_here =
        address.map(|address: IpAddr| address.to_canonical()).is_some_and(|address| address.is_loopback());
    (!is_here).then_some(host)
}

/// What there is to tell of it. An encrypted connection whose certificate nobody checks is told of where a provider has
/// published how to check it.
fn told(host: &str, mode: TlsMode, is_encrypted: bool) -> Option<String> {
    let provider = provider_of(host);
    let to_set = to_set(provider);
    let host = harmless(host);
    let why = match mode {
        TlsMode::Disable => "since sslmode=disable asks for it",
        _ if !cfg!(feature = "tls") => "since tierpool was built without its feature `tls`",
        TlsMode::Allow => "since sslmode=allow asks for TLS only where the server lets nobody in without",
        _ => "since TLS with the server did not come about and sslmode=prefer, the default, does without",
    };
    if !is_encrypted {
        return Some(format!(
            "the connection to {host} is in plain text, {why}: whoever is in between can read and change all of it. \
             {to_set}"
        ));
    }
    provider.filter(|_| mode < TlsMode::Require).map(|_| {
        format!(
            "the connection to {host} is encrypted, but sslmode={} checks no certificate and would do without TLS: \
             whoever is in between can pose as the server. {to_set}",
            mode.as_str()
        )
    })
}

fn to_set(provider: Option<&Provider>) -> String {
    let build = if cfg!(feature = "tls") { "S" } else { "Build with the feature `tls`, and s" };
    match provider {
        Some(Provider { name, to_set, .. }) => format!("{build}et what {name} documents: {to_set}"),
        None => format!(
            "{build}et sslmode=verify-full, and sslrootcert to the certificate of the server's authority or to \
             system; the guide's page on TLS says how the server gets one"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_elsewhere(config: &str) -> bool {
        host_of(&config.parse().unwrap()).is_some()
    }

    #[test]
    fn loopback_and_sockets_are_nobodys_to_read() {
        for here in ["host=127.0.0.1", "host=127.8.8.8", "host=::1", "host=::ffff:127.0.0.1", "host=/run/pg"]
        {
            assert!(!is_elsewhere(here), "{here}");
        }
        assert!(!is_elsewhere("host=db.example hostaddr=127.0.0.1"), "a tunnel");
        for elsewhere in ["host=db.example", "host=10.0.0.1", "host=localhost hostaddr=10.0.0.1", "host=::2"]
        {
            assert!(is_elsewhere(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_text_says_why_and_what_to_set() {
        let plain = told("db.example", TlsMode::Disable, false).unwrap();
        assert!(plain.contains("db.example is in plain text, since sslmode=disable"), "{plain}");
        assert!(plain.contains("et sslmode=verify-full, and sslrootcert"), "{plain}");
        assert_eq!(told("db.example", TlsMode::Prefer, true), None);

        let host = "db.abcdefgh.supabase.co";
        for is_encrypted in [false, true] {
            let text = told(host, TlsMode::Prefer, is_encrypted).unwrap();
            assert!(text.contains("what Supabase documents: sslmode=verify-full"), "{text}");
        }
        assert_eq!(told(host, TlsMode::Require, true), None);
        assert!(told("a\nb", TlsMode::Disable, false).unwrap().contains(r"a\nb"));
    }

    #[test]
    fn however_many_hosts_there_are_few_are_kept() {
        let exposed = Exposed::default();
        for number in 0..3 * MOST_HOSTS {
            let config = format!("host=db{number}.example").parse().unwrap();
            exposed.look(&config, TlsMode::Disable, false);
        }
        assert!(exposed.told.lock().len() <= MOST_HOSTS);
    }
}
