//! The servers that a connection string names, each as a configuration that the observer can work with.

use postgres::Config;
use postgres::config::{self, Host, LoadBalanceHosts, SslMode, SslNegotiation};

use super::notices::log_notice;
use crate::config::{Destination, Endpoint, Faults, TargetSessionAttrs};
use crate::postgres::options::PgOptions;

/// The servers of a destination, one `Config` each, in order.
#[derive(Clone)]
pub(super) struct Targets {
    pub configs: Vec<Config>,
    pub shuffle: bool,
    /// Checked by [`super::role`]; the driver is told to take any.
    pub session_attrs: TargetSessionAttrs,
}

impl Targets {
    /// Makes a configuration of each server, with what `options` say of them.
    pub fn new(destination: Destination, options: &PgOptions) -> Result<Self, Faults> {
        let mut faults = options.check(destination.config().get_options());
        faults.extend(destination.check(None));
        if !faults.is_empty() {
            return Err(faults);
        }
        let endpoints: Vec<_> = destination.endpoints().collect();
        let passwords: Vec<_> =
            (0..endpoints.len()).map(|index| destination.own_password(index).map(str::to_owned)).collect();
        let session_attrs = options.target_session_attrs.unwrap_or(destination.session_attrs());
        let is_of_program = destination.is_of_program();
        let mut config = destination.into_config();
        if !is_of_program {
            config.notice_callback(log_notice);
        }
        if let Some(name) = &options.application_name {
            config.application_name(name);
        }
        config.target_session_attrs(config::TargetSessionAttrs::Any);
        let shuffle = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        let configs: Vec<_> = match &endpoints[..] {
            // As it is, and so with the notice callback of a program, which a `Config` does not hand out.
            [Endpoint { host, address: None, .. }] => vec![with_observer(config, host)],
            several => several.iter().map(|endpoint| only(&config, endpoint)).collect(),
        };
        let with_password = |(mut config, password): (Config, Option<String>)| {
            if let Some(password) = password {
                config.password(password);
            }
            config
        };
        let configs = configs.into_iter().zip(passwords).map(with_password).collect();
        Ok(Targets { configs, shuffle, session_attrs })
    }
}

/// Asks for the connector, and with it the observer, where there is one to be had. Direct negotiation means that
/// the connector gets the socket before any byte is sent; what `sslmode` and `sslnegotiation` ask for is its business.
/// Over a Unix socket there is no encryption whatever they say, as in libpq.
fn with_observer(mut config: Config, host: &Host) -> Config {
    if matches!(host, Host::Tcp(_)) {
        config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    } else {
        config.ssl_mode(SslMode::Disable);
    }
    config
}

/// The configuration for one of several servers. `Config` can be added to but not taken from, so it is built anew; a
/// program's notice callback is lost on the way, for the pool's own.
fn only(config: &Config, endpoint: &Endpoint) -> Config {
    let mut one = Config::new();
    one.notice_callback(log_notice);
    // The connector is asked for only where a host has a name, so an address alone is named by itself.
    match &endpoint.host {
        #[cfg(unix)]
        Host::Unix(path) => one.host_path(path),
        Host::Tcp(name) => one.host(name),
    };
    if let Some(address) = endpoint.address {
        one.hostaddr(address);
    }
    one.port(endpoint.port);
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(dbname) = config.get_dbname() {
        one.dbname(dbname);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    if let Some(name) = config.get_application_name() {
        one.application_name(name);
    }
    if let Some(limit) = config.get_connect_timeout() {
        one.connect_timeout(*limit);
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*limit);
    }
    one.keepalives(config.get_keepalives()).keepalives_idle(config.get_keepalives_idle());
    if let Some(interval) = config.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.channel_binding(config.get_channel_binding());
    one.load_balance_hosts(config.get_load_balance_hosts());
    with_observer(one, &endpoint.host)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Overrides, PgSettings};

    fn targets(config: &str) -> Result<Targets, Faults> {
        Targets::new(Destination::of_config(config.parse().unwrap()), &PgOptions::default())
    }

    #[test]
    fn each_host_keeps_its_port_and_unix_sockets_go_without_the_observer() {
        let found = targets("host=/run/pg,db1,db2 port=1,2,3 user=u tcp_user_timeout=7 connect_timeout=3")
            .unwrap()
            .configs;
        let modes: Vec<_> = found.iter().map(|config| config.get_ssl_mode()).collect();
        assert_eq!(modes, [SslMode::Disable, SslMode::Require, SslMode::Require]);
        let ports: Vec<_> = found.iter().map(|config| config.get_ports().to_vec()).collect();
        assert_eq!(ports, [[1], [2], [3]]);
        assert_eq!(found[2].get_tcp_user_timeout(), Some(&Duration::from_secs(7)));
        assert_eq!(found[2].get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(found[2].get_keepalives_idle(), Duration::from_secs(30));
    }

    /// The configuration that a pool opens connections with for one host of a connection string.
    fn opened_with(query: &str) -> Config {
        let overrides = Overrides {
            url: Some(format!("postgresql://db1,db2/news?{query}").into()),
            ..Overrides::default()
        };
        let settings = PgSettings::load(&overrides, |_| None).unwrap_or_else(|faults| panic!("{faults}"));
        let found = Targets::new(settings.destination("adhoc"), &PgOptions::default());
        found.unwrap_or_else(|faults| panic!("{faults}")).configs.remove(1)
    }

    #[test]
    fn a_default_never_beats_what_the_connection_string_says() {
        let seconds = Duration::from_secs;
        for (given, idle) in [("", 30), ("keepalives_idle=7200", 7200), ("keepalives_idle=30", 30)] {
            assert_eq!(opened_with(given).get_keepalives_idle(), seconds(idle), "{given}");
        }
        // Zero is the system's own, as in libpq.
        assert_eq!(opened_with("keepalives_idle=0").get_keepalives_idle(), seconds(7200));
        for (given, interval) in
            [("", Some(5)), ("keepalives_interval=75", Some(75)), ("keepalives_interval=0", None)]
        {
            assert_eq!(opened_with(given).get_keepalives_interval(), interval.map(seconds), "{given}");
        }
        for (given, retries) in [
            ("", Some(3)),
            ("keepalives_retries=9", Some(9)),
            ("keepalives_count=9", Some(9)),
            ("keepalives_retries=0", None),
            ("keepalives_count=0", None),
        ] {
            assert_eq!(opened_with(given).get_keepalives_retries(), retries, "{given}");
        }
        for (given, limit) in [("", 30), ("tcp_user_timeout=0", 0), ("tcp_user_timeout=30000", 30)] {
            assert_eq!(opened_with(given).get_tcp_user_timeout(), Some(&seconds(limit)), "{given}");
        }
        for (given, limit) in [("", 10), ("connect_timeout=10", 10), ("connect_timeout=60", 60)] {
            assert_eq!(opened_with(given).get_connect_timeout(), Some(&seconds(limit)), "{given}");
        }
        for (given, keepalives) in [("", true), ("keepalives=1", true), ("keepalives=0", false)] {
            assert_eq!(opened_with(given).get_keepalives(), keepalives, "{given}");
        }
    }

    #[test]
    fn a_default_never_beats_what_a_program_sets() {
        let seconds = Duration::from_secs;
        let opened = |config: &Config| {
            Targets::new(Destination::of_config(config.clone()), &PgOptions::default())
                .unwrap()
                .configs
                .remove(0)
        };
        let mut config: Config = "host=db1".parse().unwrap();
        let left_open = opened(&config);
        assert_eq!(left_open.get_keepalives_idle(), seconds(30));
        assert_eq!(left_open.get_keepalives_interval(), Some(seconds(5)));
        assert_eq!(left_open.get_keepalives_retries(), Some(3));
        assert_eq!(left_open.get_tcp_user_timeout(), Some(&seconds(30)));
        config.keepalives_idle(seconds(7201)).keepalives_interval(seconds(75)).keepalives_retries(9);
        config.tcp_user_timeout(Duration::ZERO);
        let set = opened(&config);
        assert_eq!(set.get_keepalives_idle(), seconds(7201));
        assert_eq!(set.get_keepalives_interval(), Some(seconds(75)));
        assert_eq!(set.get_keepalives_retries(), Some(9));
        assert_eq!(set.get_tcp_user_timeout(), Some(&Duration::ZERO));
    }

    #[test]
    fn an_address_without_a_name_still_reaches_the_connector() {
        let found = targets("hostaddr=127.0.0.1 user=u").unwrap().configs;
        assert_eq!(found[0].get_hosts(), [Host::Tcp("127.0.0.1".to_owned())]);
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = targets("host=a,b port=1,2,3 hostaddr=127.0.0.1").err().unwrap();
        let names: Vec<_> = faults.iter().map(|fault| fault.setting.as_str()).collect();
        assert_eq!(names, ["hostaddr", "port"]);
    }
}
