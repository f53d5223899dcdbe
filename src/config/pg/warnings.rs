//! What is told at start: settings that are allowed together and hardly meant so.

use std::time::Duration;

use super::settings::PgSettings;
use super::table::rows::Key;
use super::table::source::{Overruled, Source};
use super::table::value::Unit;
use crate::config::policy::WaitMode;

/// What is in milliseconds, and in seconds in other pools: less than a second is hardly meant.
const MILLISECONDS: [Key; 2] = [Key::StatementTimeout, Key::SocketTimeout];

/// What is in seconds, and in milliseconds in other pools, with what is hardly ever exceeded on purpose.
const SECONDS: [(Key, Duration); 3] = [
    (Key::ConnectionTimeout, Duration::from_secs(60 * 60)),
    (Key::MaxLifetime, DAY),
    (Key::IdleTimeout, DAY),
];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl PgSettings {
    /// Returns what hardly anybody means who sets it, a line each. A pool is built all the same, and its log has them
    /// as warnings.
    ///
    /// | told | because |
    /// | --- | --- |
    /// | the limit of opening a connection is above that of a checkout | callers give up first |
    /// | a ceiling beside a base size or overflow of a stronger source | the ceiling has no effect |
    /// | a statement or socket timeout below a second, in milliseconds | it is a number of seconds in other pools |
    /// | a checkout above an hour, a lifetime or idle time above a day, in seconds | a number of milliseconds there |
    ///
    /// ```
    /// # use tierpool::config::{Overrides, PgSettings};
    /// let mut overrides = Overrides::default();
    /// overrides.url = Some("postgresql://db.example/news?pool_timeout=5&connect_timeout=15".into());
    /// let settings = PgSettings::load(&overrides, |_| None).unwrap();
    /// let told = "URL parameter connect_timeout is 15 s, above URL parameter pool_timeout, 5 s";
    /// assert!(settings.warnings()[0].starts_with(told));
    /// ```
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = vec![];
        let (connect, checkout) = (self.connect_timeout, self.automation.connection_timeout);
        let is_above = connect.is_zero() || connect > checkout;
        if is_above && self.automation.wait_mode == WaitMode::Timed {
            let [opening, waiting] = [Key::ConnectTimeout, Key::ConnectionTimeout]
                .map(|key| (self.spelled(key), self.value_text(key)));
            warnings.push(format!(
                "{} is {}, above {}, {}: callers give up before a slow opening does; what it opens is kept",
                opening.0, opening.1, waiting.0, waiting.1
            ));
        }
        warnings.extend(self.ceiling_without_effect());
        warnings.extend(MILLISECONDS.iter().filter_map(|key| self.too_short(*key)));
        warnings.extend(SECONDS.iter().filter_map(|(key, longest)| self.too_long(*key, *longest)));
        warnings
    }

    fn ceiling_without_effect(&self) -> Option<String> {
        let Overruled { setting, value, by } = self.overruled.as_ref()?;
        let ceiling = self.automation.ceiling();
        Some(format!(
            "{setting} is {value}, and {by} overrules it: the ceiling is {ceiling}; set the limit where {by} is set, \
             or leave out one of the two"
        ))
    }

    fn too_short(&self, key: Key) -> Option<String> {
        let time = self.time_of(key, Unit::Milliseconds)?;
        let told = || format!("{} is {}", self.spelled(key), self.value_text(key));
        (!time.is_zero() && time < Duration::from_secs(1))
            .then(|| format!("{}: it is in milliseconds here, and in seconds in some other pools", told()))
    }

    fn too_long(&self, key: Key, longest: Duration) -> Option<String> {
        let time = self.time_of(key, Unit::Seconds)?;
        let hours = time.as_secs() / 3600;
        let over = if hours < 48 { format!("{hours} h") } else { format!("{} days", hours / 24) };
        (time > longest).then(|| {
            format!(
                "{} is {}, over {over}: it is in seconds here, and in milliseconds in some other pools",
                self.spelled(key),
                self.value_text(key)
            )
        })
    }

    /// The time of a setting where it came as a bare number of this unit.
    fn time_of(&self, key: Key, unit: Unit) -> Option<Duration> {
        let tier = &self.automation;
        let (name, spellings) = match self.source(key) {
            Source::Environment { variable } => (variable, key.setting().env),
            Source::Url { parameter } => (parameter, key.setting().url),
            _ => return None,
        };
        if !spellings.iter().any(|spelling| spelling.name == *name && spelling.unit == unit) {
            return None;
        }
        match key {
            Key::StatementTimeout => self.automation_statement_timeout,
            Key::SocketTimeout => self.socket_timeout,
            Key::ConnectionTimeout => Some(tier.connection_timeout),
            Key::MaxLifetime => tier.max_lifetime,
            Key::IdleTimeout => tier.idle_timeout,
            _ => None,
        }
    }
}
