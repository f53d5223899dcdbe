//! The server: found in the builder's URL or the environment, checked, and kept ready for the driver.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::Config;
use postgres::config::Host;

use super::attrs::TargetSessionAttrs;
#[cfg(unix)]
use super::destination::socket_name;
use super::destination::{Destination, Endpoint};
use super::libpq::{self, DEFAULT_PORT, Param};
use super::providers::SUPABASE;
use super::startup;
use super::tls::TlsOptions;
use crate::config::faults::Faults;
use crate::config::pg::table::source::{Source, Sourced};
use crate::text::harmless;

/// Ports where PgBouncer listens: Supabase's pooler, and PgBouncer's own default.
const PGBOUNCER_PORTS: [u16; 2] = [6543, 6432];

/// The server of a pool: its address with the password, which neither `Debug` nor `Display` show.
///
/// The address has TCP keepalives (idle 30 s, interval 5 s, 3 retries) and a `tcp_user_timeout` of 30 s unless the
/// connection string says otherwise, so that the loss of all packets is noticed within half a minute. A zero there
/// leaves one of them to the system, as in libpq.
#[derive(Clone)]
pub struct Server {
    destination: Destination,
    tls: TlsOptions,
    source: Source,
    statement_timeout: Option<Sourced<Duration>>,
    passfile: Option<PathBuf>,
    os_user: Option<String>,
}

impl Server {
    /// The address for the driver, with the password.
    ///
    /// `connect_timeout` and `application_name` are not in it: they are settings of the pool, see
    /// [`PgSettings::connect_config`](crate::config::PgSettings::connect_config). Of several servers to which a
    /// password file gives different passwords, it has none.
    pub fn config(&self) -> &Config {
        self.destination.config()
    }

    /// The same with what follows from it.
    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Whether it is the same server as another one, or the same servers, and the same role logs in there by the same
    /// means: then what one of the two connections meets the other one does too.
    pub(crate) fn is_reached_as(&self, other: &Server) -> bool {
        self.tls == other.tls && self.destination.is_reached_as(&other.destination)
    }

    /// Each of the servers as `host:port/database`, for comparing: this machine is `localhost` there, by whatever
    /// loopback address or usual socket it is reached. Harmless to print, without user and password.
    pub fn addresses(&self) -> Vec<String> {
        let config = self.config();
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
        let of = |endpoint: Endpoint| harmless(format!("{}/{database}", endpoint.place()));
        self.destination.endpoints().map(of).collect()
    }

    /// What is asked of TLS. The driver's own mode follows it as far as it can.
    pub fn tls(&self) -> &TlsOptions {
        &self.tls
    }

    /// Which of several servers may be used. The driver's own setting follows it as far as it can.
    pub fn session_attrs(&self) -> TargetSessionAttrs {
        self.destination.session_attrs()
    }

    /// Where the address came from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The limit of a statement that its start-up options set, zero for none.
    pub(crate) fn statement_timeout(&self) -> Option<&Sourced<Duration>> {
        self.statement_timeout.as_ref()
    }

    /// The password file that was looked for.
    pub(crate) fn passfile(&self) -> Option<&Path> {
        self.passfile.as_deref()
    }

    /// Who runs the program, as far as the environment told it: stands in for a user in the password file.
    pub(crate) fn os_user(&self) -> Option<&str> {
        self.os_user.as_deref()
    }

    /// Whether a host is one of Supabase's: `supabase.co`, `supabase.com`, or below these.
    pub fn is_supabase(&self) -> bool {
        self.config().get_hosts().iter().any(|host| match host {
            Host::Tcp(name) => SUPABASE.has(name),
            #[cfg(unix)]
            Host::Unix(_) => false,
        })
    }

    /// Whether all of it is reached by TCP, so that connections are observed.
    pub(crate) fn is_by_tcp(&self) -> bool {
        self.destination.endpoints().all(|endpoint| matches!(endpoint.host, Host::Tcp(_)))
    }

    /// The port that suggests a PgBouncer, if there is one.
    pub(crate) fn pgbouncer_port(&self) -> Option<u16> {
        self.destination.endpoints().map(|endpoint| endpoint.port).find(|port| PGBOUNCER_PORTS.contains(port))
    }

    /// Stands in for a server that was not found, until the faults are returned.
    pub(crate) fn stand_in() -> Server {
        let host = Param { key: "host", value: "localhost".to_owned(), source: Source::Default };
        match Server::assemble(None, &[host], None, Source::Default, &mut Faults::new()) {
            Some(server) => server,
            None => unreachable!("BUG: localhost alone is no address"),
        }
    }

    /// Builds the address from its pieces; `os_user` stands in for a user in a password file, as the driver has it for
    /// the server. All faults go to `faults`; `None` if there was one.
    pub(super) fn assemble(
        head: Option<&str>,
        params: &[Param],
        os_user: Option<&str>,
        source: Source,
        faults: &mut Faults,
    ) -> Option<Server> {
        let mut found = Faults::new();
        let mut tls = TlsOptions::default();
        let mut session_attrs = TargetSessionAttrs::default();
        let label = source.spelled("server");
        let given = |key: &str| params.iter().find(|param| param.key == key);
        let is_given = |key: &str| given(key).is_some();
        let mut config = match head.map(read_head) {
            None => Config::new(),
            Some(Ok(head)) => without_hosts(&head, is_given),
            Some(Err(rule)) => {
                found.push(&label, "[redacted]", rule);
                Config::new()
            }
        };
        for param in params {
            if let Err(rule) = libpq::take(param, &mut config) {
                found.push(param.spelled(), param.shown(), rule);
            } else if param.key == "target_session_attrs" {
                session_attrs = TargetSessionAttrs::read(param, &mut found);
            } else {
                tls.take(param, &mut found);
            }
        }
        // What the pieces give together says little while one of them cannot be read.
        if !found.is_empty() {
            faults.extend(found);
            return None;
        }
        let statement_timeout = given("options").and_then(|options| {
            let limit = startup::statement_timeout_in(&options.value)?;
            let limit = limit.unwrap_or_else(|_| unreachable!("BUG: options that were refused"));
            Some(Sourced::new(limit, options.source.clone()))
        });
        let passfile = given("passfile").map(|param| PathBuf::from(&param.value));
        tls.default_mode(is_given("sslmode"));
        config.ssl_mode(tls.mode.driver());
        found.extend(tls.check(config.get_ssl_negotiation()));
        let mut destination = Destination::of_string(config, session_attrs, is_given);
        found.extend(destination.check(Some(&label)));
        let usable = found.is_empty();
        faults.extend(found);
        if let Some(path) = passfile.as_ref().filter(|_| usable) {
            destination = destination.with_passfile(path, os_user);
        }
        let os_user = os_user.map(str::to_owned);
        usable.then_some(Server { destination, tls, source, statement_timeout, passfile, os_user })
    }
}

/// Lets the driver read what stands before the `?` of a URL. Its messages name options but never values.
fn read_head(head: &str) -> Result<Config, String> {
    head.parse().map_err(|error: postgres::Error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        if cause.contains("`port`") {
            return "has a port that cannot be used: ports are numbers from 1 to 65535".to_owned();
        }
        format!("cannot be used: {cause}")
    })
}

/// What stands before the `?`, but for hosts and ports that come behind it: what is said last holds.
fn without_hosts(head: &Config, is_given: impl Fn(&str) -> bool) -> Config {
    let mut config = Config::new();
    if let Some(user) = head.get_user() {
        config.user(user);
    }
    if let Some(password) = head.get_password() {
        config.password(password);
    }
    if let Some(dbname) = head.get_dbname() {
        config.dbname(dbname);
    }
    for host in head.get_hosts().iter().filter(|_| !is_given("host")) {
        match host {
            Host::Tcp(name) => {
                // A name that cannot be used stays as it is, and is not found.
                if libpq::host(&mut config, name).is_none() {
                    config.host(name);
                }
            }
            #[cfg(unix)]
            Host::Unix(path) => {
                config.host_path(path);
            }
        }
    }
    // The driver's reader puts in the usual port for each host that names none.
    let ports = head.get_ports();
    let usual = ports.iter().all(|port| *port == DEFAULT_PORT);
    if !(is_given("port") || usual && is_given("host")) {
        for port in ports {
            config.port(*port);
        }
    }
    config
}

/// `postgresql://user@host:port/database`, without password and parameters.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgresql://")?;
        if let Some(user) = self.config().get_user() {
            write!(f, "{}@", harmless(user))?;
        }
        for (i, endpoint) in self.destination.endpoints().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{}:{}", shown_host(&endpoint.host), endpoint.port)?;
        }
        match self.config().get_dbname() {
            Some(dbname) => write!(f, "/{}", harmless(dbname)),
            None => Ok(()),
        }
    }
}

fn shown_host(host: &Host) -> String {
    match host {
        Host::Tcp(name) if name.contains(':') => format!("[{}]", harmless(name)),
        Host::Tcp(name) => harmless(name),
        #[cfg(unix)]
        Host::Unix(path) => harmless(socket_name(path)),
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &format_args!("{self}"))
            .field("tls", &self.tls)
            .field("session_attrs", &self.session_attrs())
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
