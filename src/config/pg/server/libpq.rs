//! The connection parameters of libpq: which are taken, and what is told about the others.

use postgres::Config;

use crate::config::pg::table::value::shown;

/// Whether the crate can speak TLS. Without it a mode that demands encryption must be refused here: the wire observer
/// uses the driver's TLS hook for plain text, so the driver itself would not notice.
pub(in crate::config::pg) const TLS: bool = cfg!(feature = "tls");

/// What happens to a parameter of libpq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config::pg) enum Support {
    /// The `postgres` crate reads it; the text is its rule.
    Driver(&'static str),
    /// Read here, by [`super::attrs`], [`super::tls`] or [`super::address`].
    Here,
    /// Accepted with one of these values, which say what holds anyway.
    Moot(&'static [&'static str]),
    /// Not offered; the text says what to do instead.
    Refused(&'static str),
}

/// A connection parameter as somebody gave it.
#[derive(Clone)]
pub(in crate::config::pg) struct Param {
    pub key: &'static str,
    pub value: String,
    /// The URL parameter or environment variable, as a fault names it.
    pub spelled: String,
}

impl Param {
    /// The value as a fault may show it.
    pub(in crate::config::pg) fn shown(&self) -> String {
        if self.key == "password" { "[redacted]".to_owned() } else { shown(&self.value) }
    }
}

const SECONDS: &str = "must be a whole number of seconds";
const ELSEWHERE: &str = "is not supported: leave it out";

/// Every parameter of libpq 18, and those that only the `postgres` crate has.
static PARAMETERS: [(&str, Support); 51] = [
    ("user", Support::Driver("must be text")),
    ("password", Support::Driver("must be text")),
    ("dbname", Support::Driver("must be text")),
    ("options", Support::Driver("must be text")),
    ("host", Support::Driver("must be host names or socket folders, separated by commas")),
    ("hostaddr", Support::Driver("must be IP addresses, separated by commas")),
    ("port", Support::Driver("must be ports from 1 to 65535, separated by commas")),
    ("keepalives", Support::Driver("must be 0 or 1")),
    ("keepalives_idle", Support::Driver(SECONDS)),
    ("keepalives_interval", Support::Driver(SECONDS)),
    ("keepalives_retries", Support::Driver("must be a whole number")),
    ("load_balance_hosts", Support::Driver("must be disable or random")),
    ("channel_binding", Support::Driver("must be disable, prefer or require")),
    ("sslnegotiation", Support::Driver("must be postgres or direct")),
    ("target_session_attrs", Support::Here),
    ("keepalives_count", Support::Here),
    ("tcp_user_timeout", Support::Here),
    ("sslmode", Support::Here),
    ("sslrootcert", Support::Here),
    ("sslcert", Support::Here),
    ("sslkey", Support::Here),
    ("gssencmode", Support::Moot(&["disable", "prefer"])),
    ("client_encoding", Support::Moot(&["utf8", "UTF8", "utf-8", "UTF-8", "auto"])),
    ("sslcompression", Support::Moot(&["0"])),
    ("sslsni", Support::Moot(&["1"])),
    ("fallback_application_name", Support::Refused("is not supported: use application_name")),
    (
        "passfile",
        Support::Refused("is not supported: give the password by URL, PGPASSWORD or POSTGRES_PASSWORD"),
    ),
    ("service", Support::Refused("is not supported: give host, port and database")),
    ("servicefile", Support::Refused("is not supported: give host, port and database")),
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
    ("requiressl", Support::Refused("is not supported: use sslmode")),
    ("scram_client_key", Support::Refused(ELSEWHERE)),
    ("scram_server_key", Support::Refused(ELSEWHERE)),
    ("ssl_max_protocol_version", Support::Refused(ELSEWHERE)),
    ("ssl_min_protocol_version", Support::Refused(ELSEWHERE)),
    ("sslcertmode", Support::Refused(ELSEWHERE)),
    ("sslcrl", Support::Refused(ELSEWHERE)),
    ("sslcrldir", Support::Refused(ELSEWHERE)),
    ("sslkeylogfile", Support::Refused(ELSEWHERE)),
    ("sslpassword", Support::Refused("is not supported: use a key that is not encrypted")),
];

/// Finds a parameter of libpq by its name, with the name in its lasting form.
pub(in crate::config::pg) fn known(key: &str) -> Option<(&'static str, Support)> {
    PARAMETERS.iter().find(|(name, _)| *name == key).copied()
}

/// The names that are taken, for the rule of a fault.
pub(in crate::config::pg) fn taken() -> Vec<&'static str> {
    let offered = |support: &Support| !matches!(support, Support::Refused(_));
    PARAMETERS.iter().filter(|(_, support)| offered(support)).map(|(name, _)| *name).collect()
}

/// Says why a parameter cannot be used; `None` when it can.
pub(in crate::config::pg) fn refusal(param: &Param) -> Option<String> {
    let (_, support) = known(param.key)?;
    let value = param.value.as_str();
    match support {
        Support::Driver(_) if !TLS && matches!((param.key, value), ("sslnegotiation", "direct")) => {
            Some("needs the feature `tls`; without it, leave it out".to_owned())
        }
        Support::Driver(_) if !TLS && matches!((param.key, value), ("channel_binding", "require")) => {
            Some("needs the feature `tls`; without it, must be disable or prefer".to_owned())
        }
        Support::Driver(rule) => {
            let alone = quoted(param.key, value).parse::<Config>();
            let ports = alone.as_ref().is_ok_and(|config| config.get_ports().contains(&0));
            (alone.is_err() || ports).then(|| rule.to_owned())
        }
        Support::Here => None,
        Support::Moot(values) => {
            (!values.contains(&value)).then(|| format!("must be {} or left out", values.join(", ")))
        }
        Support::Refused(rule) => Some(rule.to_owned()),
    }
}

/// `key='value'` in libpq's quoting.
pub(in crate::config::pg) fn quoted(key: &str, value: &str) -> String {
    format!("{key}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}
