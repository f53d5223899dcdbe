//! The servers that a connection string names, each as a configuration that the observer can work with.

use std::time::Duration;

use postgres::Config;
use postgres::config::{self, Host, LoadBalanceHosts, SslMode, SslNegotiation};

use crate::config::{Faults, TargetSessionAttrs};
use crate::postgres::options::PgOptions;

/// Keepalive and loss limits that bound true packet loss to some 30 s, where the kernel's defaults take from 15
/// minutes to two hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
/// What `Config` holds when nobody has set it.
const UNSET_KEEPALIVE_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// The hosts of a configuration, one `Config` each, in order.
#[derive(Clone)]
pub(super) struct Targets {
    pub configs: Vec<Config>,
    pub shuffle: bool,
    /// Checked by [`super::role`]; the driver is told to take any.
    pub session_attrs: TargetSessionAttrs,
}

impl Targets {
    /// Splits `config` by host and completes it by `options`.
    pub fn new(mut config: Config, options: &PgOptions) -> Result<Self, Faults> {
        let mut faults = options.check();
        check(&config, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        complete(&mut config, options);
        let (hosts, addresses) = (config.get_hosts().len(), config.get_hostaddrs().len());
        let shuffle = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        let given = config.get_target_session_attrs().into();
        let session_attrs = options.target_session_attrs.unwrap_or(given);
        config.target_session_attrs(config::TargetSessionAttrs::Any);
        let configs = if hosts == 1 && addresses == 0 {
            let tcp = is_tcp(&config.get_hosts()[0]);
            vec![with_observer(config, tcp)]
        } else {
            (0..hosts.max(addresses)).map(|index| only(&config, index)).collect()
        };
        Ok(Targets { configs, shuffle, session_attrs })
    }
}

fn check(config: &Config, faults: &mut Faults) {
    let (hosts, addresses) = (config.get_hosts().len(), config.get_hostaddrs().len());
    faults.require(hosts + addresses > 0, "host", "missing", "must name at least one server");
    faults.require(
        hosts == 0 || addresses == 0 || hosts == addresses,
        "hostaddr",
        format_args!("{addresses} addresses for {hosts} hosts"),
        "must have one address per host",
    );
    let (ports, servers) = (config.get_ports().len(), hosts.max(addresses));
    faults.require(
        ports <= 1 || ports == servers,
        "port",
        format_args!("{ports} ports for {servers} hosts"),
        "must have one port for all hosts or one per host",
    );
}

/// Fills in what the connection string left open.
fn complete(config: &mut Config, options: &PgOptions) {
    if let Some(name) = &options.application_name {
        config.application_name(name);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
    }
    if config.get_keepalives_idle() == UNSET_KEEPALIVE_IDLE {
        config.keepalives_idle(KEEPALIVE_IDLE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(KEEPALIVE_RETRIES);
    }
}

fn is_tcp(host: &Host) -> bool {
    matches!(host, Host::Tcp(_))
}

/// Asks for the connector, and with it the observer, where there is one to be had. Direct negotiation means that
/// the connector gets the socket before any byte is sent; what `sslmode` and `sslnegotiation` ask for is its business.
/// Over a Unix socket there is no encryption whatever they say, as in libpq.
fn with_observer(mut config: Config, tcp: bool) -> Config {
    if tcp {
        config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    } else {
        config.ssl_mode(SslMode::Disable);
    }
    config
}

/// The configuration for one of several hosts. `Config` can be added to but not taken from, so it is built anew; its
/// notice callback, which it does not hand out, falls back to the default, a log line.
fn only(config: &Config, index: usize) -> Config {
    let mut one = Config::new();
    let address = config.get_hostaddrs().get(index);
    match config.get_hosts().get(index) {
        #[cfg(unix)]
        Some(Host::Unix(path)) if address.is_none() => {
            one.host_path(path);
        }
        Some(Host::Tcp(name)) => {
            one.host(name);
        }
        // The connector is asked for only where a host has a name.
        _ => {
            one.host(&address.map(ToString::to_string).unwrap_or_default());
        }
    }
    if let Some(address) = address {
        one.hostaddr(*address);
    }
    if let Some(port) = config.get_ports().get(index).or(config.get_ports().first()) {
        one.port(*port);
    }
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
    let tcp = is_tcp(&one.get_hosts()[0]);
    with_observer(one, tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(config: &str) -> Result<Targets, Faults> {
        Targets::new(config.parse().unwrap(), &PgOptions::default())
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
        assert_eq!(found[2].get_keepalives_idle(), KEEPALIVE_IDLE);
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
