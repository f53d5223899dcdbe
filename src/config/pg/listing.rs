//! Lists the settings in force with their sources, for the log line at start and for the tool.

use std::fmt;
use std::time::Duration;

use super::settings::PgSettings;
use super::table::rows::{Key, Setting, settings};
use super::table::source::Source;
use super::table::value::Value;
use crate::text::harmless;

/// One setting in force.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Effective {
    /// Its row in the table.
    pub setting: &'static Setting,
    /// Its value as text; without a password.
    pub value: String,
    /// Where the value came from.
    pub source: Source,
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.setting.name, self.value, self.source)
    }
}

impl PgSettings {
    /// Lists every setting of the table with its value and source, in table order and without secrets.
    ///
    /// ```
    /// # use tierpool::config::{Overrides, PgSettings};
    /// let mut overrides = Overrides::default();
    /// overrides.url = Some("postgresql://scraper:hush@db.example/news".into());
    /// let settings = PgSettings::load(&overrides, |_| None).unwrap();
    /// let lines: Vec<_> = settings.effective().iter().map(ToString::to_string).collect();
    /// assert_eq!(lines[0], "url = postgresql://scraper@db.example:5432/news (builder url)");
    /// assert_eq!(lines[1], "total_connections = 60 (default)");
    /// ```
    pub fn effective(&self) -> Vec<Effective> {
        let row = |setting: &'static Setting| Effective {
            setting,
            value: harmless(self.value_text(setting.key)),
            source: self.source(setting.key).clone(),
        };
        settings().iter().map(row).collect()
    }

    pub(super) fn value_text(&self, key: Key) -> String {
        let tier = &self.automation;
        let value = match key {
            Key::Server => return self.server.to_string(),
            Key::TotalConnections if self.total_from_role => {
                return "what the server allows the role, asked at the start".to_owned();
            }
            Key::TotalConnections => Value::Count(self.total_connections),
            Key::Reserved => Value::Count(self.reserved),
            Key::MinSize => Value::Count(tier.min_size),
            Key::BaseSize => Value::Count(tier.base_size),
            Key::MaxOverflow => Value::Count(tier.max_overflow),
            Key::MaxSize => Value::Count(tier.ceiling()),
            Key::ConnectionTimeout => Value::Time(tier.connection_timeout),
            Key::WaitMode => Value::WaitMode(tier.wait_mode),
            Key::MaxWaiting => return tier.max_waiting.map_or("no limit".to_owned(), |n| n.to_string()),
            Key::MaxLifetime => return limit(tier.max_lifetime, "never"),
            Key::IdleTimeout => return limit(tier.idle_timeout, "never"),
            Key::PrePing => Value::PrePing(tier.pre_ping),
            Key::StatementTimeout => return self.statement_timeouts(),
            Key::SocketTimeout => match self.socket_timeout {
                None => return "the statement timeout plus 5 s".to_owned(),
                Some(time) => return limit(Some(time).filter(|time| !time.is_zero()), "no limit"),
            },
            Key::SlowQuery => return limit(self.slow_query, "never"),
            Key::QueryTimes => Value::Flag(self.query_times),
            Key::Fleet => return self.fleet.clone().unwrap_or_else(|| "none".to_owned()),
            Key::FleetWeight => Value::Count(self.fleet_weight),
            Key::Admin => Value::Flag(self.admin),
            Key::ConnectTimeout => {
                return limit(Some(self.connect_timeout).filter(|time| !time.is_zero()), "no limit");
            }
            Key::FailureThreshold => Value::Count(tier.failure_threshold),
            Key::OpenFor => Value::Time(tier.open_for),
            Key::LeakThreshold => return limit(tier.leak_threshold, "never"),
            Key::StatementCacheSize => Value::Count(self.statement_cache_size),
            Key::Pgbouncer => match self.pgbouncer {
                Some(mode) => Value::PgBouncer(mode),
                None => return "not known before the first connection".to_owned(),
            },
            Key::Profile => Value::Text(self.profile.clone()),
            Key::Name => match self.service() {
                Some(name) => Value::Text(name.to_owned()),
                None => return "none".to_owned(),
            },
            Key::AppName => Value::Text(self.app_name.clone()),
        };
        value.to_string()
    }

    fn statement_timeouts(&self) -> String {
        let automation = limit(self.automation_statement_timeout, "no limit");
        let adhoc = limit(self.adhoc_statement_timeout, "no limit");
        if automation == adhoc { automation } else { format!("{automation}, ad-hoc {adhoc}") }
    }
}

fn limit(time: Option<Duration>, without: &str) -> String {
    time.map_or_else(|| without.to_owned(), |time| Value::Time(time).to_string())
}
