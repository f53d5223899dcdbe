//! The connection parameters of libpq: which are taken, and what is told about the others.

use std::time::Duration;

use postgres::Config;
use postgres::config::{ChannelBinding, LoadBalanceHosts, SslNegotiation};

use super::startup;
use crate::config::pg::table::source::Source;
use crate::config::pg::table::value::{MILLISECONDS, Unit, Value, shown};

/// Whether the crate can speak TLS. Without it a mode that demands encryption must be refused here: the wire observer
/// uses the driver's TLS hook for plain text, so the driver itself would not notice.
pub(super) const TLS: bool = cfg!(feature = "tls");

/// Whether sockets can have a name that is no file.
const ABSTRACT_SOCKETS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// PostgreSQL's own port.
pub(super) const DEFAULT_PORT: u16 = 5432;

/// What happens to a parameter of libpq.
enum Support {
    /// It goes to the driver, unless its value breaks the rule.
    Driver(Put, &'static str),
    /// Read by [`super::attrs`], [`super::tls`] or [`super::passfile`].
    Here,
    /// Accepted with one of these values, which say what holds anyway.
    Moot(&'static [&'static str]),
    /// Not offered; the text says what to do instead.
    Refused(&'static str),
}

/// Puts the value of a parameter into the driver's configuration; `None` where it is none.
type Put = fn(&mut Config, &str) -> Option<()>;

/// A connection parameter as somebody gave it.
pub(super) struct Param {
    pub key: &'static str,
    pub value: String,
    pub source: Source,
}

impl Param {
    /// The URL parameter or environment variable, as a fault names it.
    pub(super) fn spelled(&self) -> String {
        self.source.spelled(self.key)
    }

    /// The value as a fault may show it.
    pub(super) fn shown(&self) -> String {
        let is_hidden = is_hidden(self.key) || is_file(self.key) && !is_path(&self.value);
        if is_hidden { "[redacted]".to_owned() } else { shown(&self.value) }
    }
}

const TEXT: &str = "must be text";
/// The protocol ends each text with a zero.
pub(super) const NO_ZERO: &str = "must be text without a zero byte (%00)";
const NO_URL: &str = "must not be a URL: a connection string goes into DATABASE_URL, or to the builder's url";
/// Linux takes no more of TCP_KEEPIDLE and TCP_KEEPINTVL, and refuses the socket otherwise (`MAX_TCP_KEEPIDLE`).
const LONGEST_PERIOD: u64 = 32_767;
const PERIOD: &str = "must be whole seconds from 0 (the system's) to 32767";
/// The same of TCP_KEEPCNT.
const MOST_RETRIES: u32 = 127;
const RETRIES: &str = "must be a whole number from 0 (the system's) to 127";
const HOSTS: &str = if ABSTRACT_SOCKETS {
    "must be host names, socket folders or abstract sockets as @name, separated by commas"
} else {
    "must be host names or socket folders, separated by commas; abstract sockets as @name are Linux's"
};
/// What is told of `service`, and of `PGSERVICE`.
pub(super) const SERVICE: &str =
    "not supported, as service files are not read: give host, port, database and user";
const ELSEWHERE: &str = "not supported: leave it out";

/// Every parameter of libpq 18, and those that only the `postgres` crate has.
static PARAMETERS: [(&str, Support); 50] = [
    ("user", Support::Driver(|config, text| done(config.user(text)), TEXT)),
    ("password", Support::Driver(|config, text| done(config.password(text)), TEXT)),
    ("dbname", Support::Driver(|config, text| done(config.dbname(text)), TEXT)),
    ("options", Support::Driver(options, startup::RULE)),
    ("host", Support::Driver(hosts, HOSTS)),
    ("hostaddr", Support::Driver(addresses, "must be IP addresses, separated by commas")),
    ("port", Support::Driver(ports, "must be ports from 1 to 65535, separated by commas")),
    ("keepalives", Support::Driver(keepalives, "must be 0 or 1")),
    ("keepalives_idle", Support::Driver(idle, PERIOD)),
    ("keepalives_interval", Support::Driver(interval, PERIOD)),
    ("keepalives_retries", Support::Driver(retries, RETRIES)),
    ("keepalives_count", Support::Driver(retries, RETRIES)),
    ("load_balance_hosts", Support::Driver(load_balance, "must be disable or random")),
    ("channel_binding", Support::Driver(channel_binding, "must be disable, prefer or require")),
    ("sslnegotiation", Support::Driver(negotiation, "must be postgres or direct")),
    ("target_session_attrs", Support::Here),
    ("tcp_user_timeout", Support::Driver(user_timeout, MILLISECONDS)),
    ("sslmode", Support::Here),
    ("sslrootcert", Support::Here),
    ("sslcert", Support::Here),
    ("sslkey", Support::Here),
    ("gssencmode", Support::Moot(&["disable", "prefer"])),
    ("client_encoding", Support::Moot(&["utf8", "UTF8", "utf-8", "UTF-8", "auto"])),
    ("sslcompression", Support::Moot(&["0"])),
    ("sslsni", Support::Moot(&["1"])),
    ("passfile", Support::Here),
    ("service", Support::Refused(SERVICE)),
    ("servicefile", Support::Refused(SERVICE)),
    ("gssdelegation", Support::Refused(ELSEWHERE)),
    ("gsslib", Support::Refused(ELSEWHERE)),
    ("krbsrvname", Support::Refused(ELSEWHERE)),
    ("min_protocol_version", Support::Refused(ELSEWHERE)),
    ("max_protocol_version", Support::Refused(ELSEWHERE)),
    ("oauth_client_id", Support::Refused(ELSEWHERE)),
    ("oauth_client_secret", Support::Refused(ELSEWHERE)),
    ("oauth_issuer", Support::Refused(ELSEWHERE)),
    ("oauth_scope", Support::Refused(ELSEWHERE)),
    ("replication", Support::Refused(ELSEWHERE)),
    ("require_auth", Support::Refused(ELSEWHERE)),
    ("requirepeer", Support::Refused(ELSEWHERE)),
    ("requiressl", Support::Refused("not supported: use sslmode")),
    ("scram_client_key", Support::Refused(ELSEWHERE)),
    ("scram_server_key", Support::Refused(ELSEWHERE)),
    ("ssl_max_protocol_version", Support::Refused(ELSEWHERE)),
    ("ssl_min_protocol_version", Support::Refused(ELSEWHERE)),
    ("sslcertmode", Support::Refused(ELSEWHERE)),
    ("sslcrl", Support::Refused(ELSEWHERE)),
    ("sslcrldir", Support::Refused(ELSEWHERE)),
    ("sslkeylogfile", Support::Refused(ELSEWHERE)),
    ("sslpassword", Support::Refused("not supported: use a key that is not encrypted")),
];

fn row(key: &str) -> Option<&'static (&'static str, Support)> {
    PARAMETERS.iter().find(|(name, _)| *name == key)
}

/// The name of a parameter of libpq in its lasting form, if it is one.
pub(super) fn known(key: &str) -> Option<&'static str> {
    row(key).map(|(name, _)| *name)
}

/// Whether the value of a parameter is kept out of every message: the password; start-up options, which can set
/// anything, a program's own secrets too; and whatever is refused, since many of those hold a secret and the rule of
/// each can be understood without its value.
pub(super) fn is_hidden(key: &str) -> bool {
    is_free(key) || matches!(row(key), Some((_, Support::Refused(_))))
}

/// The rule about what cannot be a path: the usual slip with secrets of containers, which come as text.
pub(super) const A_PATH: &str = "must be the path of a file, and not what the file holds";

/// Whether a text can be a path: not one with the marks of such a file, nor of so many lines. What a file holds is not
/// shown anywhere, for it may be the key.
pub(super) fn is_path(text: &str) -> bool {
    let is_marked = ["-----BEGIN", "-----END"].iter().any(|mark| text.contains(mark));
    !is_marked && text.lines().count() <= 2
}

/// Whether the value is the path of a file.
fn is_file(key: &str) -> bool {
    matches!(key, "sslrootcert" | "sslcert" | "sslkey" | "passfile")
}

/// Whether the value may be any text, a URL too.
fn is_free(key: &str) -> bool {
    matches!(key, "password" | "options")
}

/// The names that are taken, for the rule of a fault.
pub(super) fn taken() -> Vec<&'static str> {
    let offered = |support: &Support| !matches!(support, Support::Refused(_));
    PARAMETERS.iter().filter(|(_, support)| offered(support)).map(|(name, _)| *name).collect()
}

/// Takes a parameter over into the driver's configuration where it belongs there; an error says why it cannot be used.
pub(super) fn take(param: &Param, config: &mut Config) -> Result<(), String> {
    let Some((_, support)) = row(param.key) else { return Ok(()) };
    let value = param.value.as_str();
    match support {
        Support::Refused(rule) => Err((*rule).to_owned()),
        _ if value.contains('\0') => Err(NO_ZERO.to_owned()),
        _ if is_file(param.key) && !is_path(value) => Err(A_PATH.to_owned()),
        // Its password would be shown with the rest of the address.
        _ if value.contains("://") && !is_free(param.key) => Err(NO_URL.to_owned()),
        Support::Driver(..) if !TLS && matches!((param.key, value), ("sslnegotiation", "direct")) => {
            Err("needs the feature `tls`; without it, leave it out".to_owned())
        }
        Support::Driver(..) if !TLS && matches!((param.key, value), ("channel_binding", "require")) => {
            Err("needs the feature `tls`; without it, must be disable or prefer".to_owned())
        }
        Support::Driver(put, rule) => put(config, value).ok_or_else(|| (*rule).to_owned()),
        Support::Here => Ok(()),
        Support::Moot(values) if values.contains(&value) => Ok(()),
        Support::Moot(values) => Err(format!("must be {} or left out", values.join(", "))),
    }
}

fn done(_: &mut Config) -> Option<()> {
    Some(())
}

/// What the server could not read is refused here, where it can be named.
fn options(config: &mut Config, text: &str) -> Option<()> {
    if startup::statement_timeout_in(text).is_some_and(|limit| limit.is_err()) {
        return None;
    }
    done(config.options(text))
}

fn hosts(config: &mut Config, text: &str) -> Option<()> {
    text.split(',').try_for_each(|name| host(config, name))
}

/// Adds a host. `@name` is an abstract socket, as in libpq; the driver connects to one whose path begins with a zero.
pub(super) fn host(config: &mut Config, name: &str) -> Option<()> {
    match name.strip_prefix('@') {
        #[cfg(unix)]
        Some(name) if ABSTRACT_SOCKETS => done(config.host_path(format!("\0{name}"))),
        Some(_) => None,
        // No host has one in its name; what stands before it may be a password.
        None if name.contains('@') && !name.starts_with('/') => None,
        None => done(config.host(name)),
    }
}

fn addresses(config: &mut Config, text: &str) -> Option<()> {
    text.split(',').try_for_each(|address| done(config.hostaddr(address.parse().ok()?)))
}

fn ports(config: &mut Config, text: &str) -> Option<()> {
    text.split(',').try_for_each(|port| match port {
        "" => done(config.port(DEFAULT_PORT)),
        port => done(config.port(port.parse().ok().filter(|port| *port > 0)?)),
    })
}

fn keepalives(config: &mut Config, text: &str) -> Option<()> {
    done(config.keepalives(match text {
        "0" => false,
        "1" => true,
        _ => return None,
    }))
}

// Of the following, zero leaves it to the system, as in libpq: the driver then asks for nothing.

fn idle(config: &mut Config, text: &str) -> Option<()> {
    period(text)?.map_or(Some(()), |idle| done(config.keepalives_idle(idle)))
}

fn interval(config: &mut Config, text: &str) -> Option<()> {
    period(text)?.map_or(Some(()), |interval| done(config.keepalives_interval(interval)))
}

fn retries(config: &mut Config, text: &str) -> Option<()> {
    match text.parse::<u32>().ok().filter(|retries| *retries <= MOST_RETRIES)? {
        0 => Some(()),
        retries => done(config.keepalives_retries(retries)),
    }
}

/// Of keepalives: whole seconds, none for zero.
fn period(text: &str) -> Option<Option<Duration>> {
    let seconds = text.parse::<u64>().ok().filter(|seconds| *seconds <= LONGEST_PERIOD)?;
    Some((seconds > 0).then(|| Duration::from_secs(seconds)))
}

/// In milliseconds, as in libpq, whose string this is; the driver's own parser takes seconds.
fn user_timeout(config: &mut Config, text: &str) -> Option<()> {
    match Unit::Milliseconds.parse(text)? {
        Value::Time(limit) => done(config.tcp_user_timeout(limit)),
        other => unreachable!("BUG: milliseconds gave {other:?}"),
    }
}

fn load_balance(config: &mut Config, text: &str) -> Option<()> {
    done(config.load_balance_hosts(match text {
        "disable" => LoadBalanceHosts::Disable,
        "random" => LoadBalanceHosts::Random,
        _ => return None,
    }))
}

fn channel_binding(config: &mut Config, text: &str) -> Option<()> {
    done(config.channel_binding(match text {
        "disable" => ChannelBinding::Disable,
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        _ => return None,
    }))
}

fn negotiation(config: &mut Config, text: &str) -> Option<()> {
    done(config.ssl_negotiation(match text {
        "postgres" => SslNegotiation::Postgres,
        "direct" => SslNegotiation::Direct,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests;
