//! The profiles: named sets of defaults, as data.

use std::fmt;
use std::time::Duration;

use super::pgbouncer::PgBouncer;
use super::rows::Key;
use super::value::Value;

/// A named set of defaults for a kind of deployment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// The name given to `DB_POOL_PROFILE` or to the builder.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// The settings that differ from the table's defaults, or that are told because the profile stands for them.
    pub overrides: &'static [(Key, Value)],
}

impl Profile {
    /// The value that the profile gives to a setting, if it gives one.
    pub fn value(&self, key: Key) -> Option<&'static Value> {
        self.overrides.iter().find(|(of, _)| *of == key).map(|(_, value)| value)
    }

    /// Finds a profile by its name.
    pub fn named(name: &str) -> Option<&'static Profile> {
        PROFILES.iter().find(|profile| profile.name == name)
    }
}

/// One line: the name, then each setting with its value.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        for (i, (key, value)) in self.overrides.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{} {value}", key.setting().name)?;
        }
        Ok(())
    }
}

/// All profiles, `batch` first.
///
/// A profile gives defaults: builder, environment and URL each win over it. Without one, the defaults are those of
/// `batch`, but behind a PgBouncer in transaction mode, where they are those of `pgbouncer`; a profile that is asked
/// for by name wins over that, so `batch` sets them back. Only the statement cache, off in transaction mode, is brought
/// back by nothing but its own setting. No profile says when connections are validated: the probe at each checkout
/// costs no round trip, so it is right for all of them.
///
/// ```
/// for profile in tierpool::config::profiles() {
///     println!("{profile}");
/// }
/// # let peak = tierpool::config::profiles().iter().find(|p| p.name == "peak").unwrap();
/// # assert_eq!(
/// #     peak.to_string(),
/// #     "peak: base_size 50, max_overflow 0, connection_timeout 30 s, statement_cache_size 200"
/// # );
/// ```
pub fn profiles() -> &'static [Profile] {
    &PROFILES
}

/// The default of a setting behind PgBouncer, where it has one. In session mode there is none: a connection is a
/// session of the server there, and is worth keeping as without.
///
/// A named profile wins over it, but for the statement cache: cached statements fail in transaction mode, so only
/// the setting itself brings them back, for a PgBouncer that keeps track of them (1.21, `max_prepared_statements`).
pub(crate) fn behind_pgbouncer(key: Key, mode: PgBouncer) -> Option<Value> {
    match (key, mode) {
        (_, PgBouncer::Off | PgBouncer::Session) => None,
        (Key::StatementCacheSize, PgBouncer::Transaction) => Some(Value::Count(0)),
        (_, PgBouncer::Transaction) => {
            Profile::named("pgbouncer").and_then(|profile| profile.value(key)).cloned()
        }
    }
}

/// The names, for the rule of a fault.
pub(crate) fn names() -> String {
    let names: Vec<_> = PROFILES.iter().map(|profile| profile.name).collect();
    names.join(", ")
}

const fn size(base: u32) -> (Key, Value) {
    (Key::BaseSize, Value::Count(base))
}

const fn kept(least: u32) -> (Key, Value) {
    (Key::MinSize, Value::Count(least))
}

const fn overflow(overflow: u32) -> (Key, Value) {
    (Key::MaxOverflow, Value::Count(overflow))
}

/// What the profiles of a least and a most have in common.
const fn kept_and_most(least: u32, most: u32) -> [(Key, Value); 5] {
    [
        kept(least),
        size(most),
        overflow(0),
        seconds(Key::ConnectionTimeout, 30),
        seconds(Key::MaxLifetime, 3600),
    ]
}

const fn seconds(key: Key, seconds: u64) -> (Key, Value) {
    (key, Value::Time(Duration::from_secs(seconds)))
}

static PROFILES: [Profile; 16] = [
    Profile {
        name: "batch",
        purpose: "scrapers, ETL jobs, cron fleets; the defaults",
        overrides: &[
            size(50),
            overflow(5),
            seconds(Key::ConnectionTimeout, 60),
            seconds(Key::MaxLifetime, 1800),
            seconds(Key::IdleTimeout, 600),
        ],
    },
    Profile {
        name: "development",
        purpose: "one person's machine",
        overrides: &[
            size(5),
            overflow(5),
            seconds(Key::ConnectionTimeout, 30),
            seconds(Key::StatementTimeout, 30),
        ],
    },
    Profile {
        name: "development-strict",
        purpose: "one person's machine, where what is slow shall fail",
        overrides: &[
            size(5),
            overflow(5),
            seconds(Key::ConnectionTimeout, 10),
            seconds(Key::StatementTimeout, 10),
            seconds(Key::ConnectTimeout, 5),
        ],
    },
    Profile {
        name: "web",
        purpose: "a web application",
        overrides: &[
            size(10),
            overflow(10),
            seconds(Key::ConnectionTimeout, 30),
            seconds(Key::MaxLifetime, 3600),
            seconds(Key::StatementTimeout, 10),
        ],
    },
    Profile {
        name: "staging",
        purpose: "a rehearsal of production",
        overrides: &[
            size(10),
            overflow(10),
            seconds(Key::ConnectionTimeout, 30),
            seconds(Key::StatementTimeout, 10),
        ],
    },
    Profile {
        name: "production",
        purpose: "a web application under usual load",
        overrides: &[
            size(20),
            overflow(10),
            seconds(Key::ConnectionTimeout, 30),
            seconds(Key::StatementTimeout, 10),
        ],
    },
    Profile {
        name: "high-traffic",
        purpose: "a web application under high load, whose slow statements fail early",
        overrides: &[
            size(30),
            overflow(20),
            seconds(Key::ConnectionTimeout, 30),
            seconds(Key::StatementTimeout, 5),
        ],
    },
    Profile {
        name: "resilient",
        purpose: "a service that shall outlive the outages of its server",
        overrides: &[
            size(10),
            overflow(20),
            seconds(Key::ConnectionTimeout, 30),
            seconds(Key::MaxLifetime, 3600),
            seconds(Key::StatementTimeout, 30),
            seconds(Key::ConnectTimeout, 10),
        ],
    },
    Profile {
        name: "resilient-high-load",
        purpose: "the same under high load, which gives everything more time",
        overrides: &[
            size(10),
            overflow(20),
            seconds(Key::ConnectionTimeout, 45),
            seconds(Key::MaxLifetime, 3600),
            seconds(Key::StatementTimeout, 60),
            seconds(Key::ConnectTimeout, 15),
        ],
    },
    Profile {
        name: "service",
        purpose: "a fixed ceiling of 20 for a service",
        overrides: &[
            size(20),
            overflow(0),
            seconds(Key::ConnectionTimeout, 20),
            (Key::StatementCacheSize, Value::Count(100)),
        ],
    },
    Profile {
        name: "peak",
        purpose: "a fixed ceiling of 50 for hours of peak load",
        overrides: &[
            size(50),
            overflow(0),
            seconds(Key::ConnectionTimeout, 30),
            (Key::StatementCacheSize, Value::Count(200)),
        ],
    },
    Profile { name: "minmax", purpose: "5 kept open, at most 40", overrides: &kept_and_most(5, 40) },
    Profile {
        name: "minmax-development",
        purpose: "2 kept open, at most 10",
        overrides: &kept_and_most(2, 10),
    },
    Profile { name: "minmax-medium", purpose: "10 kept open, at most 50", overrides: &kept_and_most(10, 50) },
    Profile { name: "minmax-high", purpose: "15 kept open, at most 100", overrides: &kept_and_most(15, 100) },
    Profile {
        name: "pgbouncer",
        purpose: "behind a PgBouncer in transaction mode, which pools by itself",
        overrides: &[
            size(2),
            overflow(5),
            seconds(Key::ConnectionTimeout, 30),
            seconds(Key::MaxLifetime, 300),
        ],
    },
];
