//! Lays the sources over each other: builder over environment over URL over profile over default.

use super::server::address::Server;
use super::server::locate::PoolParams;
use super::table::env::{Env, Found};
use super::table::overrides::Overrides;
use super::table::pgbouncer::{PgBouncer, session_pooler};
use super::table::profiles::{self, Profile};
use super::table::rows::{Fallback, Key, ROWS, Spelling, settings};
use super::table::source::{Source, Sourced};
use super::table::value::{Value, shown};
use crate::config::faults::Faults;

/// The winning value of each setting; `None` where the default is no value.
pub(super) struct Merged {
    values: Vec<Sourced<Option<Value>>>,
    /// Settings with a value that could not be read. The default stands in for it, and rules between it and others
    /// are not checked, since they would tell of a value that nobody gave.
    pub unreadable: Vec<Key>,
}

/// The sources that a person writes to, and the faults found in them.
struct Explicit<'a> {
    overrides: &'a Overrides,
    env: &'a Env<'a>,
    url: &'a PoolParams,
    faults: &'a mut Faults,
    unreadable: Vec<Key>,
}

/// What the environment variables of one setting gave.
enum InEnvironment {
    /// None is set.
    Nothing,
    /// Something unusable, which is among the faults by now.
    Faulty,
    /// A value.
    Value(Sourced<Option<Value>>),
}

impl Merged {
    /// Merges all settings but the server, which is found before.
    pub(super) fn new(
        overrides: &Overrides,
        env: &Env<'_>,
        url: &PoolParams,
        server: Option<&Server>,
        faults: &mut Faults,
    ) -> Merged {
        let mut explicit = Explicit { overrides, env, url, faults, unreadable: vec![] };
        let profile = explicit.profile();
        let pgbouncer = explicit.pgbouncer(server);
        let behind = match &pgbouncer.value {
            Some(Value::PgBouncer(mode)) => Some((*mode, &pgbouncer.source)),
            _ => None,
        };
        let mut values = Vec::with_capacity(ROWS);
        for setting in settings() {
            values.push(match setting.key {
                Key::Server => Sourced::new(None, Source::Default),
                Key::Profile => match profile.as_ref() {
                    Some(profile) => {
                        Sourced::new(Some(Value::Text(profile.value.name.to_owned())), profile.source.clone())
                    }
                    None => Sourced::new(None, Source::Default),
                },
                Key::Pgbouncer => pgbouncer.clone(),
                key => match key {
                    Key::StatementTimeout => explicit.statement_timeout(server),
                    key => explicit.get(key),
                }
                .unwrap_or_else(|| implicit(key, profile.as_ref().map(|profile| profile.value), behind)),
            });
        }
        Merged { values, unreadable: explicit.unreadable }
    }

    pub(super) fn get(&self, key: Key) -> &Sourced<Option<Value>> {
        &self.values[key as usize]
    }
}

impl Explicit<'_> {
    /// The value that a person gave, if one did. A value that cannot be read counts as not given.
    fn get(&mut self, key: Key) -> Option<Sourced<Option<Value>>> {
        let setting = key.setting();
        if let Some(value) = self.overrides.value(key) {
            return Some(Sourced::new(Some(value), Source::Builder { method: setting.name }));
        }
        match self.in_environment(key) {
            InEnvironment::Nothing => {}
            InEnvironment::Faulty => {
                self.unreadable.push(key);
                return None;
            }
            InEnvironment::Value(value) => return Some(value),
        }
        let url = self.url;
        let (spelling, text) =
            setting.url.iter().find_map(|spelling| Some((spelling, url.get(spelling.name)?)))?;
        self.read(key, *spelling, text, Source::Url { parameter: spelling.name })
    }

    /// The value of the first variable that is set. All of them are read: two that disagree are a fault, since whoever
    /// set one of them would not get it.
    fn in_environment(&mut self, key: Key) -> InEnvironment {
        let mut first: Option<Sourced<Option<Value>>> = None;
        let mut is_faulty = false;
        for spelling in key.setting().env {
            let text = match self.env.get(spelling.name, self.faults) {
                Found::Nothing => continue,
                Found::Faulty => {
                    is_faulty = true;
                    continue;
                }
                Found::Text(text) => text,
            };
            let value = self.read(key, *spelling, &text, Source::Environment { variable: spelling.name });
            match (&first, value) {
                (_, None) => is_faulty = true,
                (None, value) => first = value,
                (Some(first), Some(other)) if first.value != other.value => {
                    let rule = "leave out one of the two, or have them agree";
                    self.said_twice(key, first, (&other, &other.source.spelled(key.setting().name)), rule);
                    is_faulty = true;
                }
                (Some(_), Some(_)) => {}
            }
        }
        match first {
            _ if is_faulty => InEnvironment::Faulty,
            Some(value) => InEnvironment::Value(value),
            None => InEnvironment::Nothing,
        }
    }

    fn read(
        &mut self,
        key: Key,
        spelling: Spelling,
        text: &str,
        source: Source,
    ) -> Option<Sourced<Option<Value>>> {
        let value = spelling.unit.parse(text);
        if value.is_none() {
            self.unreadable.push(key);
            self.faults.push(source.spelled(key.setting().name), shown(text.trim()), spelling.unit.rule());
        }
        value.map(|value| Sourced::new(Some(value), source))
    }

    /// Tells of a setting that was given in two places.
    fn said_twice(
        &mut self,
        key: Key,
        first: &Sourced<Option<Value>>,
        (other, spelled): (&Sourced<Option<Value>>, &str),
        rule: &str,
    ) {
        let name = key.setting().name;
        let shown = |sourced: &Sourced<Option<Value>>| {
            sourced.value.as_ref().map_or_else(String::new, Value::to_string)
        };
        self.faults.push(
            format!("{} + {spelled}", first.source.spelled(name)),
            format!("{} and {}", shown(first), shown(other)),
            format!("{name} must be said once: {rule}"),
        );
    }

    /// The limit of a statement that a person gave: as a setting, or in the start-up options of the connection string.
    fn statement_timeout(&mut self, server: Option<&Server>) -> Option<Sourced<Option<Value>>> {
        let given = self.get(Key::StatementTimeout);
        let in_options = server.and_then(Server::statement_timeout).map(|limit| {
            let source = limit.source.clone();
            Sourced::new(Some(Value::Time(limit.value)), source)
        });
        let (Some(setting), Some(options)) = (&given, &in_options) else { return given.or(in_options) };
        let spelled = options.source.spelled("options");
        self.said_twice(Key::StatementTimeout, setting, (options, &spelled), "leave out one of the two");
        given
    }

    /// The profile asked for, if one was.
    fn profile(&mut self) -> Option<Sourced<&'static Profile>> {
        let Sourced { value, source } = self.get(Key::Profile)?;
        let Some(Value::Text(name)) = value else { return None };
        let found = Profile::named(&name);
        if found.is_none() {
            self.unreadable.extend([Key::Profile, Key::BaseSize, Key::MaxOverflow, Key::MinSize]);
            let rule = format!("must be one of {}", profiles::names());
            self.faults.push(source.spelled("profile"), shown(&name), rule);
        }
        found.map(|profile| Sourced::new(profile, source))
    }

    /// Whether PgBouncer is in between: said, or seen by port or host, or not known before a connection is open.
    fn pgbouncer(&mut self, server: Option<&Server>) -> Sourced<Option<Value>> {
        if let Some(said) = self.get(Key::Pgbouncer) {
            return said;
        }
        let detected = |mode, from| Sourced::new(Some(Value::PgBouncer(mode)), Source::Detected { from });
        let port = server.and_then(Server::pgbouncer_port);
        let host = server.and_then(|server| session_pooler(server.config()));
        match (port, host) {
            (Some(port), _) => detected(PgBouncer::Transaction, format!("port {port}")),
            (None, Some(host)) => detected(PgBouncer::Session, format!("host {host}")),
            (None, None) => Sourced::new(None, Source::Default),
        }
    }
}

/// The value where no person gave one: by the profile, by what was detected, by the table.
fn implicit(
    key: Key,
    profile: Option<&'static Profile>,
    behind: Option<(PgBouncer, &Source)>,
) -> Sourced<Option<Value>> {
    let detected = behind.and_then(|(mode, source)| {
        let from = match source {
            Source::Detected { from } => from.clone(),
            other => other.spelled("pgbouncer"),
        };
        Some(Sourced::new(Some(profiles::behind_pgbouncer(key, mode)?), Source::Detected { from }))
    });
    let named = profile.and_then(|profile| {
        let value = profile.value(key)?.clone();
        Some(Sourced::new(Some(value), Source::Profile { name: profile.name }))
    });
    // A larger cache of a profile does not make cached statements hold.
    let stronger =
        if key == Key::StatementCacheSize { detected.clone().or(named) } else { named.or(detected) };
    if let Some(value) = stronger {
        return value;
    }
    match &key.setting().default {
        Fallback::Value(value) => Sourced::new(Some(value.clone()), Source::Default),
        Fallback::Words(_) => Sourced::new(None, Source::Default),
    }
}
