//! The one table of all settings of a `PgPool`. Reading, documentation, `.env.example` and listings follow it.

use std::fmt;
use std::time::Duration;

use super::value::{Unit, Value};
use crate::config::policy::{PrePing, WaitMode};

/// Names a setting; the position of its row in [`settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Key {
    /// The server to connect to.
    Server,
    /// The limit that both tiers share.
    TotalConnections,
    /// The ceiling of the ad-hoc tier.
    Reserved,
    /// Connections kept open in the automation tier.
    MinSize,
    /// Base size of the automation tier.
    BaseSize,
    /// Overflow of the automation tier.
    MaxOverflow,
    /// Ceiling of the automation tier.
    MaxSize,
    /// The deadline of a checkout.
    ConnectionTimeout,
    /// How a checkout waits.
    WaitMode,
    /// How many callers may queue.
    MaxWaiting,
    /// The age at which a connection is replaced.
    MaxLifetime,
    /// Idle time after which a connection is closed.
    IdleTimeout,
    /// When a connection is validated before it is lent.
    PrePing,
    /// The limit of a statement on the server.
    StatementTimeout,
    /// The limit of the server's silence while a reply is due.
    SocketTimeout,
    /// The time from which on a statement is logged as slow.
    SlowQuery,
    /// The limit of opening a connection.
    ConnectTimeout,
    /// Prepared statements kept per connection.
    StatementCacheSize,
    /// Whether a PgBouncer is between the pool and the server.
    Pgbouncer,
    /// The profile.
    Profile,
    /// The first part of `application_name`.
    AppName,
}

impl Key {
    /// The row of the table.
    pub fn setting(self) -> &'static Setting {
        &TABLE[self as usize]
    }
}

/// A name under which a setting can be given, and how its text is read there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spelling {
    /// The environment variable or URL parameter.
    pub name: &'static str,
    /// The unit of its text.
    pub unit: Unit,
}

/// What holds when a setting is not given.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fallback {
    /// This value.
    Value(Value),
    /// Something that is not one value, told in words.
    Words(&'static str),
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fallback::Value(value) => value.fmt(f),
            Fallback::Words(words) => f.write_str(words),
        }
    }
}

/// One row of the table of settings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Setting {
    /// Its typed name.
    pub key: Key,
    /// Its name in listings and in the builder, where the method is called so too.
    pub name: &'static str,
    /// The environment variables, in order: the first that is set wins.
    pub env: &'static [Spelling],
    /// The parameters of the server's URL, in order.
    pub url: &'static [Spelling],
    /// What holds when it is not given.
    pub default: Fallback,
    /// What it does, in one line.
    pub doc: &'static str,
}

/// All settings, in the order in which they are listed.
///
/// ```
/// for setting in tierpool::config::settings() {
///     println!("{} (default {}): {}", setting.name, setting.default, setting.doc);
/// }
/// ```
pub fn settings() -> &'static [Setting] {
    &TABLE
}

const fn spelling(name: &'static str, unit: Unit) -> Spelling {
    Spelling { name, unit }
}

const fn count(count: u32) -> Fallback {
    Fallback::Value(Value::Count(count))
}

const fn seconds(seconds: u64) -> Fallback {
    Fallback::Value(Value::Time(Duration::from_secs(seconds)))
}

pub(in crate::config::pg) const ROWS: usize = 21;

static TABLE: [Setting; ROWS] = [
    Setting {
        key: Key::Server,
        name: "url",
        env: &[spelling("DATABASE_URL", Unit::Url), spelling("SUPABASE_URL", Unit::Url)],
        url: &[],
        default: Fallback::Words("an error"),
        doc: "The server: a URL or libpq's key=value string. Not set: POSTGRES_HOST and its family, else libpq's PG*.",
    },
    Setting {
        key: Key::TotalConnections,
        name: "total_connections",
        env: &[spelling("DB_TOTAL_CONNECTIONS", Unit::Count)],
        url: &[],
        default: count(60),
        doc: "The budget: connections that both tiers together may open on the server.",
    },
    Setting {
        key: Key::Reserved,
        name: "reserved",
        env: &[spelling("DB_RESERVED_CONNECTIONS", Unit::Count)],
        url: &[],
        default: count(5),
        doc: "Connections of the budget that only the ad-hoc tier may use.",
    },
    Setting {
        key: Key::MinSize,
        name: "min_size",
        env: &[spelling("DB_POOL_MIN", Unit::Count)],
        url: &[spelling("min_connections", Unit::Count)],
        default: count(0),
        doc: "Connections that the automation tier keeps open, idle or in use.",
    },
    Setting {
        key: Key::BaseSize,
        name: "base_size",
        env: &[spelling("DB_POOL_SIZE", Unit::Count)],
        url: &[],
        default: count(50),
        doc: "Connections of the automation tier that stay once opened.",
    },
    Setting {
        key: Key::MaxOverflow,
        name: "max_overflow",
        env: &[spelling("DB_MAX_OVERFLOW", Unit::Count)],
        url: &[],
        default: count(5),
        doc: "Connections of the automation tier above the base size, closed when load falls.",
    },
    Setting {
        key: Key::MaxSize,
        name: "max_size",
        env: &[spelling("DB_POOL_MAX", Unit::Count), spelling("DB_CONNECTION_LIMIT", Unit::Count)],
        url: &[spelling("connection_limit", Unit::Count)],
        default: Fallback::Words("base_size + max_overflow"),
        doc: "Ceiling of the automation tier, instead of base size + overflow; alone it is all base size.",
    },
    Setting {
        key: Key::ConnectionTimeout,
        name: "connection_timeout",
        env: &[spelling("DB_POOL_TIMEOUT", Unit::Seconds), spelling("DATABASE_POOL_TIMEOUT", Unit::Seconds)],
        url: &[spelling("pool_timeout", Unit::Seconds)],
        default: seconds(60),
        doc: "The longest a checkout takes, opening and validation included. Not zero: for that there is nowait.",
    },
    Setting {
        key: Key::WaitMode,
        name: "wait_mode",
        env: &[spelling("DB_POOL_GETMODE", Unit::WaitMode)],
        url: &[],
        default: Fallback::Value(Value::WaitMode(WaitMode::Timed)),
        doc: "How a checkout waits: wait (without limit), nowait (not at all), timedwait (up to the timeout).",
    },
    Setting {
        key: Key::MaxWaiting,
        name: "max_waiting",
        env: &[spelling("DB_POOL_MAX_WAITING", Unit::Count)],
        url: &[],
        default: Fallback::Words("no limit"),
        doc: "Callers that may queue in the automation tier; the next one fails at once.",
    },
    Setting {
        key: Key::MaxLifetime,
        name: "max_lifetime",
        env: &[spelling("DB_POOL_RECYCLE", Unit::Seconds)],
        url: &[],
        default: seconds(1800),
        doc: "The age at which a connection is replaced. 0: never.",
    },
    Setting {
        key: Key::IdleTimeout,
        name: "idle_timeout",
        env: &[spelling("DB_POOL_IDLE_TIMEOUT", Unit::Seconds)],
        url: &[],
        default: seconds(600),
        doc: "Idle time after which a connection that need not be kept is closed. 0: never.",
    },
    Setting {
        key: Key::PrePing,
        name: "pre_ping",
        env: &[spelling("DB_POOL_PRE_PING", Unit::PrePing)],
        url: &[],
        default: Fallback::Value(Value::PrePing(PrePing::IfIdleFor(Duration::from_millis(500)))),
        doc: "When a connection is validated before it is lent: always, never, or idle milliseconds.",
    },
    Setting {
        key: Key::StatementTimeout,
        name: "statement_timeout",
        env: &[
            spelling("DB_STATEMENT_TIMEOUT", Unit::Milliseconds),
            spelling("DATABASE_QUERY_TIMEOUT", Unit::Seconds),
        ],
        url: &[spelling("statement_timeout", Unit::Milliseconds)],
        default: seconds(30),
        doc: "The longest a statement may run on the server, in both tiers. 0: no limit.",
    },
    Setting {
        key: Key::SocketTimeout,
        name: "socket_timeout",
        env: &[spelling("DB_SOCKET_TIMEOUT", Unit::Milliseconds)],
        url: &[spelling("socket_timeout", Unit::Milliseconds)],
        default: Fallback::Words("the statement timeout plus 5 s"),
        doc: "The longest the server may be silent while a reply is due, over TCP. 0: no limit.",
    },
    Setting {
        key: Key::SlowQuery,
        name: "slow_query",
        env: &[spelling("DB_SLOW_QUERY", Unit::Milliseconds)],
        url: &[spelling("slow_query", Unit::Milliseconds)],
        default: Fallback::Words("never"),
        doc: "Statements that take longer are logged with their text, over TCP. 0: none.",
    },
    Setting {
        key: Key::ConnectTimeout,
        name: "connect_timeout",
        env: &[
            spelling("DATABASE_CONNECT_TIMEOUT", Unit::Seconds),
            spelling("PGCONNECT_TIMEOUT", Unit::Seconds),
        ],
        url: &[spelling("connect_timeout", Unit::Seconds)],
        default: seconds(10),
        doc: "The longest that opening a connection may take, handshake included. Not zero.",
    },
    Setting {
        key: Key::StatementCacheSize,
        name: "statement_cache_size",
        env: &[spelling("DB_STATEMENT_CACHE_SIZE", Unit::Count)],
        url: &[spelling("statement_cache_size", Unit::Count)],
        default: count(100),
        doc: "Prepared statements kept per connection. 0: none.",
    },
    Setting {
        key: Key::Pgbouncer,
        name: "pgbouncer",
        env: &[spelling("USE_PGBOUNCER", Unit::PgBouncer)],
        url: &[spelling("pgbouncer", Unit::PgBouncer)],
        default: Fallback::Words("detected"),
        doc: "Whether a PgBouncer is in between, and in which mode: true, false, session, transaction. Changes some defaults.",
    },
    Setting {
        key: Key::Profile,
        name: "profile",
        env: &[spelling("DB_POOL_PROFILE", Unit::Text)],
        url: &[],
        default: Fallback::Words("batch"),
        doc: "A named set of defaults.",
    },
    Setting {
        key: Key::AppName,
        name: "app_name",
        env: &[spelling("PGAPPNAME", Unit::Text)],
        url: &[spelling("application_name", Unit::Text)],
        default: Fallback::Words("the name of the program's file"),
        doc: "The first part of application_name; the tier follows it: name/automation, name/adhoc.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_the_position_of_its_row() {
        for (position, setting) in TABLE.iter().enumerate() {
            assert_eq!(setting.key as usize, position, "{}", setting.name);
        }
    }

    #[test]
    fn no_name_is_used_twice() {
        let mut names: Vec<_> = TABLE.iter().flat_map(|s| s.env.iter().chain(s.url)).collect();
        names.sort_by_key(|spelling| spelling.name);
        for pair in names.windows(2) {
            assert_ne!(pair[0].name, pair[1].name);
        }
    }

    #[test]
    fn defaults_have_the_kind_that_their_spellings_give() {
        for setting in &TABLE {
            let Fallback::Value(default) = &setting.default else { continue };
            for spelling in setting.env.iter().chain(setting.url) {
                let text = if spelling.unit == Unit::WaitMode { "wait" } else { "1" };
                let parsed = spelling.unit.parse(text).unwrap();
                assert_eq!(
                    std::mem::discriminant(default),
                    std::mem::discriminant(&parsed),
                    "{}",
                    setting.name
                );
            }
        }
    }
}
