//! The one table of all settings of a `PgPool`. Reading, documentation, `.env.example` and listings follow it.

use std::fmt;
use std::time::Duration;

use super::value::{Unit, Value};
use crate::config::policy::WaitMode;

/// Hands every setting to a macro: what a setting is called, what it holds and what it does is said here and nowhere
/// else. `Secret` stands for what must not become a [`Value`].
macro_rules! every_setting {
    ($declare:ident) => {
        $declare! {
            Server {
                name: url,
                value: Secret(ConnectionString),
                env: ["DATABASE_URL" in Url, "SUPABASE_URL" in Url],
                url: [],
                default: words("an error"),
                doc: "The server: a URL or libpq's key=value string. Not set: POSTGRES_HOST and its family, else \
                      libpq's PG*.",
            }
            TotalConnections {
                name: total_connections,
                value: Count(u32),
                env: ["DB_TOTAL_CONNECTIONS" in CountOrRole],
                url: [],
                default: words("max_size + reserved, which is 60"),
                doc: "The budget: connections that both tiers together may open on the server. Not set: it follows the \
                      sizes; with it set and no sizes, they follow it. The word role: what the limits of the tiers' \
                      roles on the server come to, asked at the start.",
            }
            Reserved {
                name: reserved,
                value: Count(u32),
                env: ["DB_RESERVED_CONNECTIONS" in Count],
                url: [],
                default: count(5),
                doc: "Connections of the budget that only the ad-hoc tier may use.",
            }
            MinSize {
                name: min_size,
                value: Count(u32),
                env: ["DB_POOL_MIN" in Count],
                url: ["min_connections" in Count],
                default: count(0),
                doc: "Connections that the automation tier keeps open, idle or in use.",
            }
            BaseSize {
                name: base_size,
                value: Count(u32),
                env: ["DB_POOL_SIZE" in Count],
                url: [],
                default: count(50),
                doc: "Connections of the automation tier that stay once opened. Not set beside a budget: what reserve \
                      and overflow leave of it.",
            }
            MaxOverflow {
                name: max_overflow,
                value: Count(u32),
                env: ["DB_MAX_OVERFLOW" in Count],
                url: [],
                default: count(5),
                doc: "Connections of the automation tier above the base size, closed when load falls.",
            }
            MaxSize {
                name: max_size,
                value: Count(u32),
                env: ["DB_POOL_MAX" in Count, "DB_CONNECTION_LIMIT" in Count],
                url: ["connection_limit" in Count],
                default: words("base_size + max_overflow"),
                doc: "Ceiling of the automation tier, instead of base size + overflow; alone it is all base size.",
            }
            ConnectionTimeout {
                name: connection_timeout,
                value: Time(Duration),
                env: ["DB_POOL_TIMEOUT" in Seconds, "DATABASE_POOL_TIMEOUT" in Seconds],
                url: ["pool_timeout" in Seconds],
                default: seconds(60),
                doc: "The longest a checkout takes, opening and validation included. Not zero: for that there is \
                      nowait.",
            }
            WaitMode {
                name: wait_mode,
                value: WaitMode(WaitMode),
                env: ["DB_POOL_GETMODE" in WaitMode],
                url: [],
                default: Fallback::Value(Value::WaitMode(WaitMode::Timed)),
                doc: "How a checkout waits: timedwait (up to the timeout), wait (the same where a timeout is set, else \
                      without limit), nowait (for nobody's return; a new connection where there is room). \
                      POOL_GETMODE_WAIT and its like are read too.",
            }
            MaxWaiting {
                name: max_waiting,
                value: Count(u32),
                env: ["DB_POOL_MAX_WAITING" in Count],
                url: [],
                default: words("no limit"),
                doc: "Callers that may queue in the automation tier; the next one fails at once.",
            }
            MaxLifetime {
                name: max_lifetime,
                value: Time(Duration),
                env: ["DB_POOL_RECYCLE" in Seconds],
                url: [],
                default: seconds(1800),
                doc: "The age at which a connection is replaced. 0: never.",
            }
            IdleTimeout {
                name: idle_timeout,
                value: Time(Duration),
                env: ["DB_POOL_IDLE_TIMEOUT" in Seconds],
                url: [],
                default: seconds(600),
                doc: "Idle time after which a connection that need not be kept is closed. 0: never. Not set, the \
                      ad-hoc tier closes what is idle after 10 s, so that people outside find the reserve free.",
            }
            PrePing {
                name: pre_ping,
                value: PrePing(PrePing),
                env: ["DB_POOL_PRE_PING" in PrePing],
                url: [],
                default: words("always over TCP, where it costs no round trip; else if idle for 500 ms"),
                doc: "When a connection is validated before it is lent: always, never, or idle milliseconds. No \
                      profile and no PgBouncer changes it.",
            }
            StatementTimeout {
                name: statement_timeout,
                value: Time(Duration),
                env: ["DB_STATEMENT_TIMEOUT" in Milliseconds, "DATABASE_QUERY_TIMEOUT" in Seconds],
                url: ["statement_timeout" in Milliseconds],
                default: seconds(30),
                doc: "The longest a statement may run on the server, in both tiers. 0: no limit.",
            }
            SocketTimeout {
                name: socket_timeout,
                value: Time(Duration),
                env: ["DB_SOCKET_TIMEOUT" in Milliseconds],
                url: ["socket_timeout" in Milliseconds],
                default: words("the statement timeout plus 5 s"),
                doc: "The longest the server may be silent while a reply is due, over TCP. 0: no limit.",
            }
            SlowQuery {
                name: slow_query,
                value: Time(Duration),
                env: ["DB_SLOW_QUERY" in Milliseconds],
                url: ["slow_query" in Milliseconds],
                default: words("never"),
                doc: "Statements that take longer are logged with their text, over TCP. 0: none.",
            }
            QueryTimes {
                name: query_times,
                value: Flag(bool),
                env: ["DB_QUERY_TIMES" in Bool],
                url: [],
                default: Fallback::Value(Value::Flag(false)),
                doc: "Whether the time of each statement is recorded, over TCP.",
            }
            ConnectTimeout {
                name: connect_timeout,
                value: Time(Duration),
                env: ["DATABASE_CONNECT_TIMEOUT" in Seconds, "PGCONNECT_TIMEOUT" in SecondsOrNone],
                url: ["connect_timeout" in SecondsOrNone],
                default: seconds(10),
                doc: "The longest that opening a connection may take, handshake included. 0: no limit.",
            }
            FailureThreshold {
                name: failure_threshold,
                value: Count(u32),
                env: ["DB_BREAKER_THRESHOLD" in Count],
                url: [],
                default: count(3),
                doc: "Failures to connect in a row that open the circuit breaker. 0: it stays closed.",
            }
            OpenFor {
                name: open_for,
                value: Time(Duration),
                env: ["DB_BREAKER_OPEN_SECONDS" in Seconds],
                url: [],
                default: seconds(10),
                doc: "How long the circuit breaker stays open before it lets a probe through at the latest.",
            }
            LeakThreshold {
                name: leak_threshold,
                value: Time(Duration),
                env: ["DB_LEAK_THRESHOLD" in Seconds],
                url: [],
                default: words("never"),
                doc: "A checkout that lasts longer is logged with its holder. 0: none.",
            }
            StatementCacheSize {
                name: statement_cache_size,
                value: Count(u32),
                env: ["DB_STATEMENT_CACHE_SIZE" in Count],
                url: ["statement_cache_size" in Count],
                default: count(100),
                doc: "Prepared statements kept per connection. 0: none.",
            }
            Pgbouncer {
                name: pgbouncer,
                value: PgBouncer(PgBouncer),
                env: ["USE_PGBOUNCER" in PgBouncer],
                url: ["pgbouncer" in PgBouncer],
                default: words("detected"),
                doc: "Whether a PgBouncer is in between, and in which mode: true, false, session, transaction. \
                      Changes some defaults.",
            }
            Profile {
                name: profile,
                value: Text(String),
                env: ["DB_POOL_PROFILE" in Text],
                url: [],
                default: words("batch"),
                doc: "A named set of defaults; config::profiles lists them with their figures.",
            }
            Name {
                name: name,
                value: Text(String),
                env: ["DB_POOL_NAME" in Text],
                url: [],
                default: words("none"),
                doc: "The name of the service, in the names of its pools and so in log and errors: name.automation, \
                      name.adhoc.",
            }
            AppName {
                name: app_name,
                value: Text(String),
                env: ["PGAPPNAME" in Text],
                url: ["application_name" in Text, "fallback_application_name" in Text],
                default: words("the name of the service, else of the program's file"),
                doc: "The first part of application_name; the tier follows it: name/automation, name/adhoc.",
            }
            Fleet {
                name: fleet,
                value: Text(String),
                env: ["DB_POOL_FLEET" in Text],
                url: [],
                default: words("none"),
                doc: "The fleet that the automation tier is part of: programs that share the budget, by this name in \
                      one database.",
            }
            FleetWeight {
                name: fleet_weight,
                value: Count(u32),
                env: ["DB_POOL_FLEET_WEIGHT" in Count],
                url: [],
                default: count(1),
                doc: "The part in the fleet compared with that of others, 1 to 100.",
            }
            Admin {
                name: admin,
                value: Flag(bool),
                env: ["DB_POOL_ADMIN" in Bool],
                url: [],
                default: Fallback::Value(Value::Flag(false)),
                doc: "Whether the pool stands behind the admin socket of its process, which tells tools of the same \
                      user what it does. With the feature http, on Unix.",
            }
        }
    };
}
pub(super) use every_setting;

macro_rules! declare_rows {
    ($($key:ident {
        name: $name:ident,
        value: $kind:ident($type:ty),
        env: [$($variable:literal in $variable_unit:ident),*],
        url: [$($parameter:literal in $parameter_unit:ident),*],
        default: $default:expr,
        doc: $doc:literal,
    })*) => {
        /// Names a setting; the position of its row in [`settings`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Key {
            $(#[doc = $doc] $key,)*
        }

        /// How many settings there are.
        pub(crate) const ROWS: usize = [$(Key::$key),*].len();

        static TABLE: [Setting; ROWS] = [$(Setting {
            key: Key::$key,
            name: stringify!($name),
            env: &[$(Spelling { name: $variable, unit: Unit::$variable_unit }),*],
            url: &[$(Spelling { name: $parameter, unit: Unit::$parameter_unit }),*],
            default: $default,
            doc: $doc,
        },)*];
    };
}

every_setting!(declare_rows);

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
    /// The environment variables, in order. Where several are set their values must agree, else that is a fault; but of
    /// those that name the server the first that is set wins.
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

const fn count(count: u32) -> Fallback {
    Fallback::Value(Value::Count(count))
}

const fn words(words: &'static str) -> Fallback {
    Fallback::Words(words)
}

const fn seconds(seconds: u64) -> Fallback {
    Fallback::Value(Value::Time(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests;
