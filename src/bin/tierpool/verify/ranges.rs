//! The settings by themselves: what is hardly meant, and what is outside of the range that is recommended.

use std::time::Duration;

use tierpool::config::{Fallback, Key, PgBouncer, PgSettings, Profile, Value, profiles};

use super::check::{Check, State, time};

const SETTINGS: &str = "settings";
const RANGE: &str = "recommended";

/// The reserve with which a person and a script of theirs have a connection each, and some are left.
const RESERVE: u32 = 5;

/// What is compared with the profiles, all of which were made for a kind of deployment: what none of them has is
/// seldom right.
const COMPARED: [Key; 5] = [
    Key::ConnectionTimeout,
    Key::MaxLifetime,
    Key::StatementTimeout,
    Key::ConnectTimeout,
    Key::StatementCacheSize,
];

/// The checks for which no server is asked. None of them fails: settings that cannot be used are no settings.
pub fn checks(settings: &PgSettings) -> Vec<Check> {
    let warned = settings.warnings();
    let mut checks: Vec<_> = warned
        .into_iter()
        .map(|warning| {
            Check::bad(SETTINGS, State::Warn, warning, "set one of the two otherwise, if it is not meant")
        })
        .collect();
    if checks.is_empty() {
        checks.push(Check::ok(SETTINGS, "can be used, and nothing in them is hardly meant"));
    }
    let outside = outside(settings);
    if outside.is_empty() {
        checks.push(Check::ok(RANGE, "sizes and times are in the ranges of the profiles"));
    }
    checks.extend(outside);
    checks
}

fn outside(settings: &PgSettings) -> Vec<Check> {
    let ceiling = settings.automation.ceiling();
    let mut outside = Vec::new();
    // The default profile was not chosen by anybody, and any size is right for somebody.
    if let Some(profile) = chosen(settings) {
        let wanted = [Key::BaseSize, Key::MaxOverflow].map(|key| match profile.value(key) {
            Some(Value::Count(count)) => *count,
            _ => 0,
        });
        let wanted = wanted.iter().sum::<u32>();
        if ceiling < wanted {
            let found = format!("the ceiling of automation is {ceiling}, with the profile {}", profile.name);
            let todo = format!("set {} to {wanted}, or choose another profile", variables(Key::MaxSize));
            outside.push(Check::bad(RANGE, State::Warn, found, todo).allowed(format!("at least {wanted}")));
        }
    }
    if settings.reserved < RESERVE {
        let found = format!("{} reserved for people", settings.reserved);
        let todo = format!("set {} to {RESERVE}", variables(Key::Reserved));
        outside.push(Check::bad(RANGE, State::Warn, found, todo).allowed(format!("at least {RESERVE}")));
    }
    outside.extend(COMPARED.into_iter().filter_map(|key| compared(settings, key)));
    outside
}

/// The profile that was asked for by name.
fn chosen(settings: &PgSettings) -> Option<&'static Profile> {
    settings.source(Key::Profile).is_explicit().then(|| Profile::named(&settings.profile)).flatten()
}

/// A figure that times and sizes have in common, and the same in words.
type Figure = (u128, String);

fn figure(value: &Value) -> Option<Figure> {
    match value {
        Value::Count(count) => Some((u128::from(*count), count.to_string())),
        Value::Time(limit) => Some((limit.as_nanos(), time(*limit))),
        _ => None,
    }
}

fn compared(settings: &PgSettings, key: Key) -> Option<Check> {
    let tier = &settings.automation;
    let limit = |limit: Option<Duration>| Some(Value::Time(limit.unwrap_or_default()));
    let value = match key {
        Key::ConnectionTimeout => limit(Some(tier.connection_timeout)),
        Key::MaxLifetime => limit(tier.max_lifetime),
        Key::StatementTimeout => limit(settings.automation_statement_timeout),
        Key::ConnectTimeout => limit(Some(settings.connect_timeout)),
        // There it is off, and has to be where statements are not kept track of.
        Key::StatementCacheSize if settings.pgbouncer == Some(PgBouncer::Transaction) => None,
        Key::StatementCacheSize => Some(Value::Count(settings.statement_cache_size)),
        _ => unreachable!("BUG: {key:?} is not compared"),
    };
    let (found, told) = figure(&value?)?;
    let (least, most) = range(key)?;
    if (least.0..=most.0).contains(&found) {
        return None;
    }
    let is_time = key != Key::StatementCacheSize;
    let told = if found == 0 && is_time { "no limit".to_owned() } else { told };
    let found = format!("{} is {told}", key.setting().name);
    let todo = format!("set {} within that, unless there is a reason", variables(key));
    Some(Check::bad(RANGE, State::Warn, found, todo).allowed(format!("{} to {}", least.1, most.1)))
}

/// The least and the most that a profile or the default has.
fn range(key: Key) -> Option<(Figure, Figure)> {
    let default = match &key.setting().default {
        Fallback::Value(value) => Some(value),
        _ => None,
    };
    let of_profiles = profiles().iter().filter_map(|profile| profile.value(key));
    let figures: Vec<_> = of_profiles.chain(default).filter_map(figure).collect();
    Some((figures.iter().min()?.clone(), figures.iter().max()?.clone()))
}

fn variables(key: Key) -> String {
    let names: Vec<_> = key.setting().env.iter().map(|spelling| spelling.name).collect();
    names.join(" or ")
}

#[cfg(test)]
mod tests {
    use tierpool::config::Overrides;

    use super::*;

    fn checked(variables: &[(&str, &str)]) -> Vec<Check> {
        let env = |name: &str| match name {
            "DATABASE_URL" => Some("postgresql://app:hush@db.example/news".to_owned()),
            name => variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned()),
        };
        let settings =
            PgSettings::load(&Overrides::default(), env).unwrap_or_else(|faults| panic!("{faults}"));
        checks(&settings)
    }

    fn warned(variables: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        let warnings = checked(variables).into_iter().filter(|check| check.state == State::Warn);
        warnings.map(|check| (check.found, check.allowed)).collect()
    }

    #[test]
    fn the_defaults_and_every_profile_are_in_range() {
        assert_eq!(warned(&[]), []);
        for profile in profiles() {
            assert_eq!(warned(&[("DB_POOL_PROFILE", profile.name)]), [], "{}", profile.name);
        }
        assert!(checked(&[]).iter().all(|check| check.state == State::Ok));
    }

    #[test]
    fn at_peak_the_limit_is_at_least_fifty() {
        let told = warned(&[("DB_POOL_PROFILE", "peak"), ("DB_CONNECTION_LIMIT", "20")]);
        let found = "the ceiling of automation is 20, with the profile peak".to_owned();
        assert_eq!(told, [(found, Some("at least 50".to_owned()))]);
        assert_eq!(warned(&[("DB_CONNECTION_LIMIT", "20")]), [], "nobody chose a profile");
    }

    #[test]
    fn what_no_profile_has_is_told_with_the_range() {
        let told = |variable: &str, value: &str| {
            let told = warned(&[(variable, value)]);
            let [(found, Some(allowed))] = &told[..] else { panic!("{told:?}") };
            format!("{found}: {allowed}")
        };
        assert_eq!(told("DB_POOL_RECYCLE", "7200"), "max_lifetime is 7200 s: 300 s to 3600 s");
        assert_eq!(told("DB_STATEMENT_TIMEOUT", "0"), "statement_timeout is no limit: 5 s to 60 s");
        assert_eq!(told("DB_STATEMENT_CACHE_SIZE", "0"), "statement_cache_size is 0: 100 to 200");
        assert_eq!(told("DB_RESERVED_CONNECTIONS", "2"), "2 reserved for people: at least 5");
        assert_eq!(warned(&[("USE_PGBOUNCER", "true")]), [], "no statements are kept behind one");
    }

    #[test]
    fn what_is_hardly_meant_is_told_as_the_pool_would() {
        let told = warned(&[("DATABASE_CONNECT_TIMEOUT", "14"), ("DB_POOL_TIMEOUT", "11")]);
        let [(found, None)] = &told[..] else { panic!("{told:?}") };
        assert!(
            found.starts_with("DATABASE_CONNECT_TIMEOUT is 14 s, above DB_POOL_TIMEOUT, 11 s"),
            "{found}"
        );
    }
}
