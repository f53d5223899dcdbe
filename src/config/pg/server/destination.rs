//! Where connections lead, finished: each server with its port, and a configuration with nothing left open.
//!
//! What a connection string says and what a program sets on a `Config` of its own are completed here and nowhere
//! else, and the rules about hosts are here for both.

use std::net::IpAddr;
#[cfg(unix)]
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use postgres::Config;
use postgres::config::Host;

use super::attrs::TargetSessionAttrs;
use super::libpq::{DEFAULT_PORT, NO_ZERO};
use super::passfile::{Passfile, Wanted};
use crate::config::faults::Faults;
use crate::text::counted;

/// Keepalive and loss limits that bound true packet loss to some 30 s, where the kernel's defaults take from 15
/// minutes to two hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a `Config` holds when nobody has set it, and when somebody has set just that.
const IDLE_OF_THE_DRIVER: Duration = Duration::from_secs(2 * 60 * 60);

const LOCALHOST: &str = "localhost";

/// Folders of sockets for which libpq looks up `localhost` in a password file: its default, by who built it.
#[cfg(unix)]
const SOCKETS_OF_LOCALHOST: [&str; 3] = ["/tmp", "/run/postgresql", "/var/run/postgresql"];

/// One or several servers, of which a connection leads to one.
#[derive(Clone)]
pub(crate) struct Destination {
    config: Config,
    session_attrs: TargetSessionAttrs,
    /// A program made the configuration, and may have given it a notice callback, which it does not hand out.
    is_of_program: bool,
    /// The password of each server, where they are not one and the same.
    passwords: Vec<Option<String>>,
}

/// One of the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Its name or the folder of its socket; its address where it has no name.
    pub host: Host,
    /// The address to connect to, where that is not left to the name.
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl Endpoint {
    /// The host as libpq looks it up in a password file.
    fn named(&self) -> String {
        match &self.host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) if SOCKETS_OF_LOCALHOST.iter().any(|of| path == Path::new(of)) => {
                LOCALHOST.to_owned()
            }
            #[cfg(unix)]
            Host::Unix(path) => socket_name(path),
        }
    }

    /// Host and port, by one name however this machine is called.
    pub(super) fn place(&self) -> String {
        let name = self.named();
        let is_here = name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        format!("{}:{}", if is_here { LOCALHOST } else { &name }, self.port)
    }
}

/// Which of the settings of a socket nobody has set.
struct LeftOpen {
    idle: bool,
    interval: bool,
    retries: bool,
    user_timeout: bool,
}

impl Destination {
    /// Finishes what a connection string says; `is_given` tells of a parameter of libpq whether it is there.
    pub(super) fn of_string(
        mut config: Config,
        session_attrs: TargetSessionAttrs,
        is_given: impl Fn(&str) -> bool,
    ) -> Destination {
        let left_open = LeftOpen {
            idle: !is_given("keepalives_idle"),
            interval: !is_given("keepalives_interval"),
            retries: !is_given("keepalives_retries") && !is_given("keepalives_count"),
            user_timeout: !is_given("tcp_user_timeout"),
        };
        left_open.complete(&mut config);
        config.target_session_attrs(session_attrs.driver());
        Destination { config, session_attrs, is_of_program: false, passwords: vec![] }
    }

    /// Looks the passwords up in a file, where none is given. `user` stands in where no user is named either.
    pub(super) fn with_passfile(mut self, path: &Path, user: Option<&str>) -> Destination {
        let given = self.config.get_password().is_some_and(|password| !password.is_empty());
        let Some(user) = self.config.get_user().or(user).filter(|_| !given) else { return self };
        let file = Passfile::read(path);
        let dbname = self.config.get_dbname().unwrap_or(user);
        let of = |endpoint: Endpoint| {
            let host = endpoint.named();
            let wanted = Wanted { host: &host, port: endpoint.port, dbname, user };
            file.password(&wanted).map(str::to_owned)
        };
        let found: Vec<_> = self.endpoints().map(of).collect();
        match &found[..] {
            // The usual case, in which whoever takes the configuration has all of it.
            [Some(first), others @ ..] if others.iter().all(|other| other.as_ref() == Some(first)) => {
                self.config.password(first);
            }
            _ => self.passwords = found,
        }
        self
    }

    /// The password of one of the servers, where it is not that of all.
    pub(crate) fn own_password(&self, index: usize) -> Option<&str> {
        self.passwords.get(index)?.as_deref()
    }

    /// Finishes a configuration that a program made. Two hours of `keepalives_idle` count as not set, for there is no
    /// telling them apart.
    pub(crate) fn of_config(mut config: Config) -> Destination {
        let left_open = LeftOpen {
            idle: config.get_keepalives_idle() == IDLE_OF_THE_DRIVER,
            interval: config.get_keepalives_interval().is_none(),
            retries: config.get_keepalives_retries().is_none(),
            user_timeout: config.get_tcp_user_timeout().is_none(),
        };
        left_open.complete(&mut config);
        let session_attrs = config.get_target_session_attrs().into();
        Destination { config, session_attrs, is_of_program: true, passwords: vec![] }
    }

    /// Puts in what is a matter of the pool and not of the connection string.
    pub(crate) fn with(mut self, connect_timeout: Duration, application_name: &str) -> Self {
        self.config.connect_timeout(connect_timeout).application_name(application_name);
        self
    }

    /// The driver's configuration, all servers in one.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn into_config(self) -> Config {
        self.config
    }

    /// Whether a program made the configuration, with a notice callback of its own perhaps.
    pub(crate) fn is_of_program(&self) -> bool {
        self.is_of_program
    }

    /// Whether another one leads to the same servers, as the same role and with the same password.
    pub(super) fn is_reached_as(&self, other: &Destination) -> bool {
        let role = |config: &'_ Config| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            (text(config.get_user()), config.get_password().map(<[u8]>::to_vec), text(config.get_dbname()))
        };
        self.endpoints().eq(other.endpoints())
            && role(&self.config) == role(&other.config)
            && self.passwords == other.passwords
            && self.session_attrs == other.session_attrs
    }

    /// Which of the servers may be used.
    pub(crate) fn session_attrs(&self) -> TargetSessionAttrs {
        self.session_attrs
    }

    /// The servers, in order.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        let (hosts, addresses) = (self.config.get_hosts(), self.config.get_hostaddrs());
        let ports = self.config.get_ports();
        (0..hosts.len().max(addresses.len())).map(move |index| {
            let address = addresses.get(index).copied();
            let host = match (hosts.get(index), address) {
                (Some(Host::Tcp(name)), _) => Host::Tcp(name.clone()),
                #[cfg(unix)]
                (Some(Host::Unix(path)), None) => Host::Unix(path.clone()),
                (_, Some(address)) => Host::Tcp(address.to_string()),
                (None, None) => unreachable!("BUG: server {index} has neither name nor address"),
            };
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
            Endpoint { host, address, port }
        })
    }

    /// What goes to the server, or names it, as text.
    fn texts(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let config = &self.config;
        let hosts = config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => Some(name.as_bytes()),
            // The first byte of an abstract socket's path is zero.
            #[cfg(unix)]
            Host::Unix(path) => path.as_os_str().as_bytes().get(1..),
        });
        let others = [
            ("user", config.get_user().map(str::as_bytes)),
            ("password", config.get_password()),
            ("dbname", config.get_dbname().map(str::as_bytes)),
            ("options", config.get_options().map(str::as_bytes)),
        ];
        let all = hosts.map(|host| ("host", host)).chain(others);
        all.filter_map(|(option, text)| Some((option, text?)))
    }

    /// The rules about hosts, and about texts that the protocol does not take. The faults name `label` where that
    /// stands for all there is, as a connection string does; else the option.
    pub(crate) fn check(&self, label: Option<&str>) -> Faults {
        let mut faults = Faults::new();
        let of = |option: &'static str| label.unwrap_or(option);
        let with = if label.is_some() { "with " } else { "" };
        let (hosts, addresses) = (self.config.get_hosts(), self.config.get_hostaddrs().len());
        let ports = self.config.get_ports();
        let servers = hosts.len().max(addresses);
        let is_empty = |host: &Host| matches!(host, Host::Tcp(name) if name.is_empty());
        faults.require(
            servers > 0 && !hosts.iter().any(is_empty),
            of("host"),
            if label.is_some() { "without host" } else { "missing" },
            "must name a host, as in postgresql://user@host:port/database",
        );
        faults.require(
            hosts.is_empty() || addresses == 0 || hosts.len() == addresses,
            of("hostaddr"),
            format_args!("{with}{} for {}", counted(addresses, "address"), counted(hosts.len(), "host")),
            "must have one address per host",
        );
        faults.require(
            ports.len() <= 1 || servers == 0 || ports.len() == servers,
            of("port"),
            format_args!("{with}{} for {}", counted(ports.len(), "port"), counted(servers, "host")),
            "must have one port, or one for each host; in a URL with a host the port stands behind it, as host:6543",
        );
        faults.require(
            !ports.contains(&0),
            of("port"),
            if label.is_some() { "with port 0" } else { "0" },
            "ports are from 1 to 65535",
        );
        for (option, text) in self.texts() {
            if text.contains(&0) {
                let found = label.map_or_else(String::new, |_| format!(" in the {option}"));
                faults.push(of(option), format_args!("with a zero byte{found}"), NO_ZERO);
            }
        }
        faults
    }
}

impl LeftOpen {
    fn complete(self, config: &mut Config) {
        if self.idle {
            config.keepalives_idle(KEEPALIVE_IDLE);
        }
        if self.interval {
            config.keepalives_interval(KEEPALIVE_INTERVAL);
        }
        if self.retries {
            config.keepalives_retries(KEEPALIVE_RETRIES);
        }
        if self.user_timeout {
            config.tcp_user_timeout(TCP_USER_TIMEOUT);
        }
    }
}

/// How a socket is written in a connection string.
#[cfg(unix)]
pub(crate) fn socket_name(path: &Path) -> String {
    let path = path.display().to_string();
    match path.strip_prefix('\0') {
        Some(name) => format!("@{name}"),
        None => path,
    }
}
