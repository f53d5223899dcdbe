//! Loads the settings: from overrides, environment and connection string to settings, or to all their faults.

use super::merge::Merged;
use super::server::address::Server;
use super::server::locate;
use super::settings::PgSettings;
use super::sizes::Sizes;
use super::table::env::{self, Env, NotUtf8};
use super::table::overrides::Overrides;
use super::table::rows::{Key, settings};
use super::table::source::{Source, Sourced};
use super::table::value::Value;
use crate::config::faults::Faults;
use crate::config::policy::WaitMode;

impl PgSettings {
    /// Loads the settings from `overrides`, the environment given as a function, and the connection string found.
    ///
    /// A variable that is empty or blank counts as not set. Several variables for one setting may be set where they
    /// agree; those for the server excepted, of which the first that is set wins.
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
        let settings = build(&merged, server.unwrap_or_else(Server::stand_in), &mut faults);
        faults.extend(settings.check_except(&merged.unreadable));
        debug_assert!(is_found || !faults.is_empty(), "BUG: no server and no fault");
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }
}

fn build(merged: &Merged, server: Server, faults: &mut Faults) -> PgSettings {
    let mut built = PgSettings::of_server(server);
    let Sizes { base, overflow, total, ceiling, overruled } = Sizes::of(merged, faults);
    built.set(Key::MaxSize, Sourced::new(None, ceiling));
    built.overruled = overruled;
    let sizes = [(Key::TotalConnections, total), (Key::BaseSize, base), (Key::MaxOverflow, overflow)];
    for setting in settings().iter().filter(|setting| setting.key != Key::Server) {
        let size = sizes.iter().find(|(of, _)| *of == setting.key);
        match (setting.key, size) {
            (key, Some((_, size))) => {
                built.set(key, Sourced::new(Some(Value::Count(size.value)), size.source.clone()));
            }
            // Its parts say what it is, and its source is told above.
            (Key::MaxSize, None) => {}
            (key, None) => built.set(key, merged.get(key).clone()),
        }
    }
    let total = merged.get(Key::TotalConnections);
    if total.value == Some(Value::OfRole) {
        built.total_from_role = true;
        let so_far = Some(Value::Count(built.total_connections));
        built.set(Key::TotalConnections, Sourced::new(so_far, total.source.clone()));
    }
    if let (None, Some(service)) = (&merged.get(Key::AppName).value, built.service()) {
        let follows = Source::Follows { of: built.spelled(Key::Name) };
        built.set(Key::AppName, Sourced::new(Some(Value::Text(service.to_owned())), follows));
    }
    if let Some(mode) = timed_wait(merged) {
        built.set(Key::WaitMode, mode);
    }
    built
}

/// The wait mode `wait` beside a timeout that somebody set, which it then keeps to, as with Oracle. A program that says
/// `WaitMode::Forever` means it.
fn timed_wait(merged: &Merged) -> Option<Sourced<Option<Value>>> {
    let Sourced { value: Some(Value::WaitMode(WaitMode::Forever)), source } = merged.get(Key::WaitMode)
    else {
        return None;
    };
    let timeout = &merged.get(Key::ConnectionTimeout).source;
    let is_set = !matches!(timeout, Source::Default | Source::Detected { .. });
    let is_text = !matches!(source, Source::Builder { .. });
    (is_set && is_text).then(|| Sourced::new(Some(Value::WaitMode(WaitMode::Timed)), source.clone()))
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
