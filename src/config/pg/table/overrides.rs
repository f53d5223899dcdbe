//! What a program sets by itself, before environment and URL are asked.

use std::fmt;
use std::time::Duration;

use super::pgbouncer::PgBouncer;
use super::rows::Key;
use super::value::Value;
use crate::config::policy::{PrePing, WaitMode};

/// A URL or `key=value` string with a password in it, which `Debug` and `Display` do not show.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString(pub(in crate::config::pg) String);

impl<T: Into<String>> From<T> for ConnectionString {
    fn from(text: T) -> Self {
        ConnectionString(text.into())
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The settings that a program makes by itself; they win over environment, URL and profile.
///
/// `None` leaves the setting to them. The builder of a `PgPool` fills this in; each field is the setting of the same
/// name in [`settings`](crate::config::settings).
///
/// ```
/// use tierpool::config::{Overrides, PgSettings};
///
/// let mut overrides = Overrides::default();
/// overrides.url = Some("postgresql://scraper@db.example/news".into());
/// overrides.base_size = Some(20);
/// let settings = PgSettings::load(&overrides, |_| None).unwrap();
/// assert_eq!(settings.automation.ceiling(), 25);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Overrides {
    /// The server, as a URL or libpq's `key=value` string.
    pub url: Option<ConnectionString>,
    /// The budget of both tiers.
    pub total_connections: Option<u32>,
    /// The ceiling of the ad-hoc tier.
    pub reserved: Option<u32>,
    /// Connections kept open in the automation tier.
    pub min_size: Option<u32>,
    /// Base size of the automation tier.
    pub base_size: Option<u32>,
    /// Overflow of the automation tier.
    pub max_overflow: Option<u32>,
    /// Ceiling of the automation tier.
    pub max_size: Option<u32>,
    /// The deadline of a checkout.
    pub connection_timeout: Option<Duration>,
    /// How a checkout waits.
    pub wait_mode: Option<WaitMode>,
    /// How many callers may queue.
    pub max_waiting: Option<u32>,
    /// The age at which a connection is replaced; zero: never.
    pub max_lifetime: Option<Duration>,
    /// Idle time after which a connection is closed; zero: never.
    pub idle_timeout: Option<Duration>,
    /// When a connection is validated before it is lent.
    pub pre_ping: Option<PrePing>,
    /// The limit of a statement on the server; zero: none.
    pub statement_timeout: Option<Duration>,
    /// The limit of the server's silence while a reply is due; zero: none.
    pub socket_timeout: Option<Duration>,
    /// The time from which on a statement is logged as slow; zero: none is.
    pub slow_query: Option<Duration>,
    /// The limit of opening a connection.
    pub connect_timeout: Option<Duration>,
    /// Prepared statements kept per connection.
    pub statement_cache_size: Option<u32>,
    /// Whether a PgBouncer is in between, and in which mode.
    pub pgbouncer: Option<PgBouncer>,
    /// The profile.
    pub profile: Option<String>,
    /// The first part of `application_name`.
    pub app_name: Option<String>,
}

impl Overrides {
    /// The value set for a key; the server is read elsewhere, so that its password does not become a [`Value`].
    pub(in crate::config::pg) fn value(&self, key: Key) -> Option<Value> {
        match key {
            Key::Server => None,
            Key::TotalConnections => self.total_connections.map(Value::Count),
            Key::Reserved => self.reserved.map(Value::Count),
            Key::MinSize => self.min_size.map(Value::Count),
            Key::BaseSize => self.base_size.map(Value::Count),
            Key::MaxOverflow => self.max_overflow.map(Value::Count),
            Key::MaxSize => self.max_size.map(Value::Count),
            Key::ConnectionTimeout => self.connection_timeout.map(Value::Time),
            Key::WaitMode => self.wait_mode.map(Value::WaitMode),
            Key::MaxWaiting => self.max_waiting.map(Value::Count),
            Key::MaxLifetime => self.max_lifetime.map(Value::Time),
            Key::IdleTimeout => self.idle_timeout.map(Value::Time),
            Key::PrePing => self.pre_ping.map(Value::PrePing),
            Key::StatementTimeout => self.statement_timeout.map(Value::Time),
            Key::SocketTimeout => self.socket_timeout.map(Value::Time),
            Key::SlowQuery => self.slow_query.map(Value::Time),
            Key::ConnectTimeout => self.connect_timeout.map(Value::Time),
            Key::StatementCacheSize => self.statement_cache_size.map(Value::Count),
            Key::Pgbouncer => self.pgbouncer.map(Value::PgBouncer),
            Key::Profile => self.profile.clone().map(Value::Text),
            Key::AppName => self.app_name.clone().map(Value::Text),
        }
    }
}
