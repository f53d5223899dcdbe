//! The settings of a `PgPool`: two tiers under one budget, and the server.

use std::time::Duration;

use postgres::Config;

use super::merge::Merged;
use super::server::address::Server;
use super::server::libpq::Param;
use super::server::locate;
use super::table::env::{self, Env, NotUtf8};
use super::table::overrides::Overrides;
use super::table::pgbouncer::PgBouncer;
use super::table::rows::Key;
use super::table::source::{Source, Sourced};
use super::table::value::Value;
use crate::config::faults::Faults;
use crate::config::policy::{PrePing, WaitMode};
use crate::config::settings::Settings;

/// The longest first part of `application_name`: the server keeps 63 bytes, and `/automation` has its place.
pub(super) const MAX_APP_NAME: usize = 63 - "/automation".len();

/// Everything that makes a `PgPool`, merged and checked.
///
/// [`PgSettings::load`] lays builder over environment over URL over profile over default; [`settings`] lists what
/// can be set. The fields are public so that a program can go on from there, and [`PgSettings::check`] then holds the
/// rules again. Neither `Debug` nor [`PgSettings::effective`] show a password.
///
/// # Sizes
///
/// The automation tier has a base size and an overflow, or a ceiling (`max_size`) instead. A ceiling alone is all
/// base size; together with one of the other two it gives the third; together with both it must be their sum. Only
/// the strongest source that names any of the three has a say on the ceiling: a program that sets `base_size` is not
/// bound by `DB_POOL_MAX`.
///
/// [`settings`]: crate::config::settings
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PgSettings {
    /// The server, with the password.
    pub server: Server,
    /// The name of the profile. Default `batch`.
    pub profile: String,
    /// The budget: what both ceilings together may not exceed. Default 60.
    pub total_connections: u32,
    /// The ad-hoc tier's part of the budget. Default 5.
    pub reserved: u32,
    /// The automation tier. Default: base size 50, overflow 5, nothing kept open ahead of demand.
    pub automation: Settings,
    /// The ad-hoc tier: the reserved connections without overflow, one of them kept open and idle so that a person
    /// need not wait for a handshake. Timeouts, ages, wait mode and pre-ping are those of the automation tier.
    pub adhoc: Settings,
    /// The limit of a statement in the automation tier. Default 30 s; `None`: no limit.
    pub automation_statement_timeout: Option<Duration>,
    /// The limit of a statement in the ad-hoc tier. Default 30 s; `None`: no limit.
    pub adhoc_statement_timeout: Option<Duration>,
    /// The limit of the server's silence while a reply is due, over TCP. Default `None`: the statement timeout plus 5 s;
    /// zero: no limit.
    pub socket_timeout: Option<Duration>,
    /// Statements that take longer are logged with their text, over TCP. Default `None`: none.
    pub slow_query: Option<Duration>,
    /// The limit of opening a connection, handshake included. Default 10 s.
    pub connect_timeout: Duration,
    /// Prepared statements kept per connection. Default 100; 0: none.
    pub statement_cache_size: u32,
    /// Whether a PgBouncer is in between, and in which mode; `None`: to be found out on the first connection.
    pub pgbouncer: Option<PgBouncer>,
    /// The first part of `application_name`. Default: the name of the program's file, else `tierpool`.
    pub app_name: String,
    /// Where each setting of the table came from, in table order.
    pub(super) sources: Vec<Source>,
}

impl PgSettings {
    /// Loads the settings from `overrides`, the environment given as a function, and the connection string found.
    ///
    /// A variable that is empty or blank counts as not set. Of several variables for one setting the first that is
    /// set wins, and only the one that wins is read.
    ///
    /// # Errors
    ///
    /// All faults at once: values that cannot be read, rules that are broken, unknown URL parameters, no server.
    ///
    /// # Examples
    ///
    /// ```
    /// use tierpool::config::{Overrides, PgSettings};
    ///
    /// let env = |name: &str| match name {
    ///     "DATABASE_URL" => Some("postgresql://scraper:hush@db.example/news?pool_timeout=5".to_owned()),
    ///     "DB_POOL_SIZE" => Some("20".to_owned()),
    ///     _ => None,
    /// };
    /// let settings = PgSettings::load(&Overrides::default(), env).unwrap();
    /// assert_eq!(settings.automation.base_size, 20);
    /// assert_eq!(settings.automation.connection_timeout.as_secs(), 5);
    /// assert!(!format!("{settings:?}").contains("hush"));
    /// ```
    pub fn load(overrides: &Overrides, env: impl Fn(&str) -> Option<String>) -> Result<PgSettings, Faults> {
        PgSettings::load_from(overrides, &|name| Ok(env(name)))
    }

    /// Loads the settings as [`PgSettings::load`] does, from the environment of the process.
    ///
    /// # Errors
    ///
    /// As [`PgSettings::load`]; also a variable that is not valid UTF-8.
    pub fn from_env(overrides: &Overrides) -> Result<PgSettings, Faults> {
        PgSettings::load_from(overrides, &env::process)
    }

    fn load_from(
        overrides: &Overrides,
        lookup: &dyn Fn(&str) -> Result<Option<String>, NotUtf8>,
    ) -> Result<PgSettings, Faults> {
        let mut faults = Faults::new();
        let env = Env::new(lookup);
        let (server, params) = locate::server(overrides.url.as_ref(), &env, &mut faults);
        let merged = Merged::new(overrides, &env, &params, server.as_ref(), &mut faults);
        // Without a server the other settings are checked all the same, so that one round mends everything.
        let is_found = server.is_some();
        let settings = build(&merged, server.unwrap_or_else(nowhere), &mut faults);
        faults.extend(settings.check_except(&merged.unreadable));
        debug_assert!(is_found || !faults.is_empty(), "BUG: no server and no fault");
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    /// The address for one tier's connections: the server with connect timeout and `application_name`
    /// `"<app name>/<tier>"`.
    ///
    /// ```
    /// # use tierpool::config::{Overrides, PgSettings};
    /// let mut overrides = Overrides::default();
    /// overrides.url = Some("postgresql://db.example/news?application_name=scraper".into());
    /// let settings = PgSettings::load(&overrides, |_| None).unwrap();
    /// let config = settings.connect_config("adhoc");
    /// assert_eq!(config.get_application_name(), Some("scraper/adhoc"));
    /// ```
    pub fn connect_config(&self, tier: &str) -> Config {
        let mut config = self.server.config().clone();
        config.connect_timeout(self.connect_timeout);
        config.application_name(&format!("{}/{tier}", self.app_name));
        config
    }

    /// Whether the server is one of Supabase's.
    pub fn is_supabase(&self) -> bool {
        self.server.is_supabase()
    }

    /// Where the value of a setting came from.
    pub fn source(&self, key: Key) -> &Source {
        &self.sources[key as usize]
    }
}

/// Stands in for a server that was not found, until the faults are returned.
fn nowhere() -> Server {
    let host = Param { key: "host", value: "localhost".to_owned(), spelled: String::new() };
    match Server::assemble(None, &[host], Source::Default, &mut Faults::new()) {
        Some(server) => server,
        None => unreachable!("BUG: localhost alone is no address"),
    }
}

fn build(merged: &Merged, server: Server, faults: &mut Faults) -> PgSettings {
    let mut sources = merged.sources();
    sources[Key::Server as usize] = server.source().clone();
    let (base_size, max_overflow) = sizes(merged, faults);
    for (key, size) in [(Key::BaseSize, &base_size), (Key::MaxOverflow, &max_overflow)] {
        sources[key as usize] = size.source.clone();
    }
    if !merged.get(Key::MaxSize).source.is_explicit() {
        sources[Key::MaxSize as usize] = base_size.source.clone();
    }
    let reserved = count(merged, Key::Reserved);
    let shared = shared(merged);
    let statement_timeout = limit(merged, Key::StatementTimeout);
    PgSettings {
        server,
        profile: text(merged, Key::Profile).unwrap_or_else(|| "batch".to_owned()),
        total_connections: count(merged, Key::TotalConnections),
        reserved,
        automation: Settings {
            name: "automation".to_owned(),
            base_size: base_size.value,
            max_overflow: max_overflow.value,
            min_size: count(merged, Key::MinSize),
            min_idle: Some(0),
            max_waiting: match merged.get(Key::MaxWaiting).value {
                Some(Value::Count(bound)) => Some(bound),
                _ => None,
            },
            ..shared.clone()
        },
        adhoc: Settings {
            name: "adhoc".to_owned(),
            base_size: reserved,
            max_overflow: 0,
            min_idle: Some(reserved.min(1)),
            ..shared
        },
        automation_statement_timeout: statement_timeout,
        adhoc_statement_timeout: statement_timeout,
        socket_timeout: given(merged, Key::SocketTimeout),
        slow_query: given(merged, Key::SlowQuery).filter(|time| !time.is_zero()),
        connect_timeout: time(merged, Key::ConnectTimeout),
        statement_cache_size: count(merged, Key::StatementCacheSize),
        pgbouncer: match merged.get(Key::Pgbouncer).value {
            Some(Value::PgBouncer(mode)) => Some(mode),
            _ => None,
        },
        app_name: text(merged, Key::AppName).unwrap_or_else(program_name),
        sources,
    }
}

/// What both tiers have in common.
fn shared(merged: &Merged) -> Settings {
    Settings {
        connection_timeout: time(merged, Key::ConnectionTimeout),
        max_lifetime: limit(merged, Key::MaxLifetime),
        idle_timeout: limit(merged, Key::IdleTimeout),
        wait_mode: match merged.get(Key::WaitMode).value {
            Some(Value::WaitMode(mode)) => mode,
            _ => WaitMode::default(),
        },
        pre_ping: match merged.get(Key::PrePing).value {
            Some(Value::PrePing(policy)) => policy,
            _ => PrePing::default(),
        },
        ..Settings::default()
    }
}

/// Base size and overflow of the automation tier, also where a ceiling is given instead.
fn sizes(merged: &Merged, faults: &mut Faults) -> (Sourced<u32>, Sourced<u32>) {
    let sourced = |key| Sourced::new(count(merged, key), merged.get(key).source.clone());
    let (base, overflow) = (sourced(Key::BaseSize), sourced(Key::MaxOverflow));
    let ceiling = match merged.get(Key::MaxSize) {
        Sourced { value: Some(Value::Count(ceiling)), source } => Sourced::new(*ceiling, source.clone()),
        _ => return (base, overflow),
    };
    let rank = ceiling.source.rank();
    if base.source.rank() < rank || overflow.source.rank() < rank {
        return (base, overflow);
    }
    let from_ceiling = |value| Sourced::new(value, ceiling.source.clone());
    match (base.source.rank() == rank, overflow.source.rank() == rank) {
        (false, false) => (from_ceiling(ceiling.value), from_ceiling(0)),
        (true, false) if base.value <= ceiling.value => {
            let rest = ceiling.value - base.value;
            (base, from_ceiling(rest))
        }
        (false, true) if overflow.value <= ceiling.value => {
            let rest = ceiling.value - overflow.value;
            (from_ceiling(rest), overflow)
        }
        (true, true) if base.value.checked_add(overflow.value) == Some(ceiling.value) => (base, overflow),
        (with_base, with_overflow) => {
            let mut parts = vec![];
            for (is_given, key, size) in
                [(with_base, Key::BaseSize, &base), (with_overflow, Key::MaxOverflow, &overflow)]
            {
                if is_given {
                    parts.push(format!("{} = {}", size.source.spelled(key.setting().name), size.value));
                }
            }
            let rule = format!("contradicts {}; it is their sum, or stands alone", parts.join(" and "));
            faults.push(ceiling.source.spelled("max_size"), ceiling.value, rule);
            (base, overflow)
        }
    }
}

// The table's tests hold that default and spellings of a setting have one kind, and `Overrides` is typed.

fn count(merged: &Merged, key: Key) -> u32 {
    match &merged.get(key).value {
        Some(Value::Count(count)) => *count,
        other => unreachable!("BUG: {key:?} is {other:?}"),
    }
}

fn time(merged: &Merged, key: Key) -> Duration {
    match &merged.get(key).value {
        Some(Value::Time(time)) => *time,
        other => unreachable!("BUG: {key:?} is {other:?}"),
    }
}

/// A time for which zero means that there is no limit.
fn limit(merged: &Merged, key: Key) -> Option<Duration> {
    Some(time(merged, key)).filter(|time| !time.is_zero())
}

/// A time that need not be given.
fn given(merged: &Merged, key: Key) -> Option<Duration> {
    match merged.get(key).value {
        Some(Value::Time(time)) => Some(time),
        _ => None,
    }
}

fn text(merged: &Merged, key: Key) -> Option<String> {
    match &merged.get(key).value {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

/// The file name of the program, cut to what fits.
fn program_name() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
    let printable = name.chars().filter(|c| c.is_ascii_graphic()).take(MAX_APP_NAME).collect::<String>();
    if printable.is_empty() { "tierpool".to_owned() } else { printable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_not_utf8_is_one_fault() {
        for broken in ["DATABASE_URL", "POSTGRES_HOST", "PGHOST"] {
            let lookup = |name: &str| if name == broken { Err(NotUtf8) } else { Ok(None) };
            let faults = PgSettings::load_from(&Overrides::default(), &lookup).unwrap_err();
            assert_eq!(faults.to_string(), format!("{broken} is not valid UTF-8: must be UTF-8 text"));
        }
        let lookup = |name: &str| match name {
            "DB_POOL_SIZE" => Err(NotUtf8),
            "PGHOST" => Ok(Some("h".to_owned())),
            "DB_MAX_OVERFLOW" => Ok(Some("30".to_owned())),
            _ => Ok(None),
        };
        let faults = PgSettings::load_from(&Overrides::default(), &lookup).unwrap_err();
        assert_eq!(faults.to_string(), "DB_POOL_SIZE is not valid UTF-8: must be UTF-8 text");
    }
}
