//! The server: found in the builder's URL or the environment, checked, and kept ready for the driver.

use std::fmt;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use postgres::Config;
use postgres::config::Host;

use super::attrs::TargetSessionAttrs;
use super::libpq::{self, Param, Support};
use super::tls::TlsOptions;
use crate::config::faults::Faults;
use crate::config::pg::table::source::Source;
use crate::config::pg::table::value;

/// Ports where PgBouncer listens: Supabase's pooler, and PgBouncer's own default.
const PGBOUNCER_PORTS: [u16; 2] = [6543, 6432];

/// The server of a pool: its address with the password, which neither `Debug` nor `Display` show.
///
/// The address has TCP keepalives (idle 30 s, interval 5 s, 3 retries) and a `tcp_user_timeout` of 30 s unless the
/// connection string says otherwise, so that the loss of all packets is noticed within half a minute.
#[derive(Clone)]
pub struct Server {
    config: Config,
    tls: TlsOptions,
    session_attrs: TargetSessionAttrs,
    source: Source,
}

impl Server {
    /// The address for the driver, with the password.
    ///
    /// `connect_timeout` and `application_name` are not in it: they are settings of the pool, see
    /// [`PgSettings::connect_config`](crate::config::PgSettings::connect_config).
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What is asked of TLS. The driver's own mode follows it as far as it can.
    pub fn tls(&self) -> &TlsOptions {
        &self.tls
    }

    /// Which of several servers may be used. The driver's own setting follows it as far as it can.
    pub fn session_attrs(&self) -> TargetSessionAttrs {
        self.session_attrs
    }

    /// Where the address came from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether a host is one of Supabase's: `supabase.co`, `supabase.com`, or below these.
    pub fn is_supabase(&self) -> bool {
        self.config.get_hosts().iter().any(|host| match host {
            Host::Tcp(name) => is_supabase_host(name),
            #[cfg(unix)]
            Host::Unix(_) => false,
        })
    }

    /// The port that suggests a PgBouncer, if there is one.
    pub(in crate::config::pg) fn pgbouncer_port(&self) -> Option<u16> {
        self.config.get_ports().iter().copied().find(|port| PGBOUNCER_PORTS.contains(port))
    }

    /// Builds the address from checked pieces. All faults go to `faults`; `None` if there was one.
    pub(in crate::config::pg) fn assemble(
        head: Option<&str>,
        params: &[Param],
        source: Source,
        faults: &mut Faults,
    ) -> Option<Server> {
        let mut found = Faults::new();
        let mut tls = TlsOptions::default();
        let mut session_attrs = TargetSessionAttrs::default();
        let mut tcp_user_timeout = Some(Duration::from_secs(30));
        let mut for_driver = vec![];
        for param in params {
            if let Some(rule) = libpq::refusal(param) {
                found.push(&param.spelled, param.shown(), rule);
            } else if param.key == "target_session_attrs" {
                session_attrs = TargetSessionAttrs::read(param, &mut found);
            } else if param.key == "tcp_user_timeout" {
                tcp_user_timeout = milliseconds(param, &mut found);
            } else if param.key == "keepalives_count" {
                for_driver.push(retries(param, &mut found));
            } else if !tls.take(param, &mut found) && is_for_driver(param) {
                for_driver.push(param.clone());
            }
        }
        tls.default_mode(params.iter().any(|param| param.key == "sslmode"));
        let parsed = if found.is_empty() { parse(head, &for_driver) } else { Err(String::new()) };
        let label = source.spelled("server");
        match parsed {
            Ok(mut config) => {
                config.ssl_mode(tls.mode.driver());
                config.target_session_attrs(session_attrs.driver());
                found.extend(tls.check(config.get_ssl_negotiation()));
                config.tcp_user_timeout(tcp_user_timeout.unwrap_or_default());
                keepalive_defaults(&mut config, &for_driver);
                check_hosts(&config, &label, &mut found);
                let server = Server { config, tls, session_attrs, source };
                let usable = found.is_empty();
                faults.extend(found);
                usable.then_some(server)
            }
            Err(rule) => {
                found.require(!found.is_empty(), &label, "[redacted]", rule);
                faults.extend(found);
                None
            }
        }
    }
}

fn is_supabase_host(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    ["supabase.co", "supabase.com"]
        .iter()
        .any(|domain| name.strip_suffix(domain).is_some_and(|below| below.is_empty() || below.ends_with('.')))
}

fn is_for_driver(param: &Param) -> bool {
    matches!(libpq::known(param.key), Some((_, Support::Driver(_))))
}

/// `tcp_user_timeout` is in milliseconds in libpq, whose string this is; the driver's parser takes seconds.
fn milliseconds(param: &Param, faults: &mut Faults) -> Option<Duration> {
    match value::Unit::Milliseconds.parse(&param.value) {
        Some(value::Value::Time(time)) => Some(time),
        _ => {
            faults.push(&param.spelled, param.shown(), value::Unit::Milliseconds.rule());
            None
        }
    }
}

/// libpq's `keepalives_count` under the name that the driver has for it.
fn retries(param: &Param, faults: &mut Faults) -> Param {
    let renamed = Param { key: "keepalives_retries", ..param.clone() };
    if let Some(rule) = libpq::refusal(&renamed) {
        faults.push(&param.spelled, param.shown(), rule);
    }
    renamed
}

/// Lets the driver parse the address. The pieces were checked one by one, so an error is about the head, and the
/// driver's messages name options but never values.
fn parse(head: Option<&str>, params: &[Param]) -> Result<Config, String> {
    let text = match head {
        Some(head) => {
            let pairs: Vec<_> = params.iter().flat_map(url_pairs).collect();
            format!("{head}?{}", pairs.join("&"))
        }
        None => {
            let pairs: Vec<_> = params.iter().map(|p| libpq::quoted(p.key, &p.value)).collect();
            pairs.join(" ")
        }
    };
    text.parse().map_err(|error: postgres::Error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        let range = if cause.contains("`port`") { ", which goes from 1 to 65535" } else { "" };
        format!("cannot be used: {cause}{range}")
    })
}

/// A parameter in URL form. In a URL the driver takes each `host` as one, where libpq knows lists.
fn url_pairs(param: &Param) -> Vec<String> {
    let encoded = |value: &str| format!("{}={}", param.key, utf8_percent_encode(value, NON_ALPHANUMERIC));
    if param.key == "host" {
        param.value.split(',').map(encoded).collect()
    } else {
        vec![encoded(&param.value)]
    }
}

fn keepalive_defaults(config: &mut Config, given: &[Param]) {
    let is_given = |key: &str| given.iter().any(|param| param.key == key);
    if !is_given("keepalives_idle") {
        config.keepalives_idle(Duration::from_secs(30));
    }
    if !is_given("keepalives_interval") {
        config.keepalives_interval(Duration::from_secs(5));
    }
    if !is_given("keepalives_retries") {
        config.keepalives_retries(3);
    }
}

fn check_hosts(config: &Config, label: &str, faults: &mut Faults) {
    let empty = |host: &Host| matches!(host, Host::Tcp(name) if name.is_empty());
    let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
    let ports = config.get_ports().len();
    faults.require(
        hosts > 0 && !config.get_hosts().iter().any(empty),
        label,
        "without host",
        "must name a host, as in postgresql://user@host:port/database",
    );
    faults.require(
        ports <= 1 || hosts == 0 || ports == hosts,
        label,
        format_args!("{ports} ports for {hosts} hosts"),
        "must have one port, or one for each host; in a URL with a host the port stands behind it, as host:6543",
    );
    faults.require(!config.get_ports().contains(&0), label, "with port 0", "ports are from 1 to 65535");
}

/// `postgresql://user@host:port/database`, without password and parameters.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgresql://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{}@", user.escape_debug())?;
        }
        let addresses = self.config.get_hostaddrs().iter().map(ToString::to_string);
        let hosts: Vec<String> = if self.config.get_hosts().is_empty() {
            addresses.collect()
        } else {
            self.config.get_hosts().iter().map(shown_host).collect()
        };
        let ports = self.config.get_ports();
        for (i, host) in hosts.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
            write!(f, "{comma}{host}:{port}")?;
        }
        match self.config.get_dbname() {
            Some(dbname) => write!(f, "/{}", dbname.escape_debug()),
            None => Ok(()),
        }
    }
}

fn shown_host(host: &Host) -> String {
    match host {
        Host::Tcp(name) if name.contains(':') => format!("[{}]", name.escape_debug()),
        Host::Tcp(name) => name.escape_debug().to_string(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string().escape_debug().to_string(),
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &format_args!("{self}"))
            .field("tls", &self.tls)
            .field("session_attrs", &self.session_attrs)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
