//! Settings made of others: for a tier with a server of its own, and for a pool that found a pooler.

use std::cell::Cell;

use log::Level;

use crate::config::{
    ConnectionString, Faults, Key, Overrides, PgBouncer, PgSettings, Settings, Source, TlsMode,
    settings as rows,
};
use crate::error::Error;
use crate::lines::{Origin, say};
use crate::pool::Builder;
use crate::postgres::open::PgManager;
use crate::text::Limit;
use crate::tiers::TieredPool;

/// The settings with the server of another connection string.
pub(super) fn own_server(url: &ConnectionString, settings: &PgSettings) -> Result<PgSettings, Faults> {
    let overrides = Overrides { url: Some(url.clone()), ..Overrides::default() };
    let demanded = settings.server.tls();
    // A variable is asked for only where the string does not say it, the mode first. A string with a mode of its own
    // has said what it trusts.
    let says_mode = Cell::new(true);
    let passfile = || settings.server.passfile().map(|path| path.display().to_string());
    let mut own = PgSettings::load(&overrides, |variable| match variable {
        "PGPASSFILE" => passfile(),
        "USER" => settings.server.os_user().map(str::to_owned),
        "PGSSLMODE" if demanded.mode > TlsMode::Prefer => {
            says_mode.set(false);
            Some(demanded.mode.as_str().to_owned())
        }
        "PGSSLROOTCERT" if !says_mode.get() => {
            demanded.root_cert.as_ref().map(|path| path.display().to_string())
        }
        _ => None,
    })
    .map_err(|faults| told_of_adhoc(&faults))?;
    let idle = without_effect(&own);
    if !idle.is_empty() {
        return Err(told_of_adhoc(&idle));
    }
    match own.server.statement_timeout() {
        Some(limit) if is_setting(settings.source(Key::StatementTimeout)) => {
            let setting = settings.source(Key::StatementTimeout).spelled("statement_timeout");
            let mut faults = Faults::new();
            faults.push(
                format!("{setting} + adhoc_url, {}", limit.source.spelled("options")),
                format!(
                    "{} and {}",
                    Limit(settings.adhoc_statement_timeout.unwrap_or_default()),
                    Limit(limit.value)
                ),
                "statement_timeout must be said once: leave out one of the two",
            );
            return Err(faults);
        }
        // The string's own, which was loaded with it.
        Some(_) => {}
        None => own.adhoc_statement_timeout = settings.adhoc_statement_timeout,
    }
    // By which the server's figures tell both tiers from others.
    own.app_name = settings.app_name.clone();
    own.connect_timeout = settings.connect_timeout;
    own.statement_cache_size = cache_size(&own, settings);
    own.socket_timeout = settings.socket_timeout;
    own.slow_query = settings.slow_query;
    own.query_times = settings.query_times;
    Ok(own)
}

/// The parameters of the string that cannot count: those of the pool, but for what is in front of this server, and for
/// what is meant to give way to any other.
fn without_effect(own: &PgSettings) -> Faults {
    let mut faults = Faults::new();
    for row in rows().iter().filter(|row| row.key != Key::Pgbouncer) {
        if let Source::Url { parameter } = own.source(row.key)
            && row.url.iter().any(|spelling| spelling.name == *parameter)
            && *parameter != "fallback_application_name"
        {
            let rule = "without effect here: set it on the builder or in the pool's own connection string";
            faults.push(format!("URL parameter {parameter}"), "set", rule);
        }
    }
    faults
}

/// The settings of the ad-hoc tier's pool. When nobody said when connections are validated, that is by how the tier's
/// own server is reached, where it has one.
pub(super) fn of_adhoc_tier(own: Option<&PgSettings>, settings: &PgSettings) -> Settings {
    let mut adhoc = settings.adhoc_completed();
    let is_default = settings.source(Key::PrePing) == &Source::Default
        && settings.adhoc.pre_ping == settings.default_pre_ping();
    if let (Some(own), true) = (own, is_default) {
        adhoc.pre_ping = own.default_pre_ping();
    }
    adhoc
}

/// The faults with the name that the string has here: both tiers may have one of the same kind.
fn told_of_adhoc(found: &Faults) -> Faults {
    let mut faults = Faults::new();
    for fault in found {
        let setting = match fault.setting.as_str() {
            "url" => "adhoc_url".to_owned(),
            of_url => format!("adhoc_url, {of_url}"),
        };
        faults.push(setting, &fault.found, &fault.rule);
    }
    faults
}

/// The size of the statement cache for a server of the tier's own. A size that somebody set for a server without a
/// pooler would fail behind one in transaction mode; one that is off because of the pooler need not be off without.
fn cache_size(own: &PgSettings, settings: &PgSettings) -> u32 {
    let is_transaction = |settings: &PgSettings| settings.pgbouncer == Some(PgBouncer::Transaction);
    let source = settings.source(Key::StatementCacheSize);
    match (is_transaction(settings), is_transaction(own)) {
        (false, true) => 0,
        (true, false) if matches!(source, Source::Detected { .. }) => own.statement_cache_size,
        _ => settings.statement_cache_size,
    }
}

/// Of what a pooler gives other defaults for: what the program has set on a tier's builder.
#[derive(Clone, Copy, Debug)]
pub(super) struct SetOnTier {
    sizes: bool,
    connection_timeout: bool,
    max_lifetime: bool,
}

impl SetOnTier {
    pub fn of(builder: &Builder<PgManager>) -> Self {
        let is_set = |setting| builder.is_set(setting);
        SetOnTier {
            sizes: ["max_size", "base_size", "max_overflow"].into_iter().any(is_set),
            connection_timeout: is_set("connection_timeout"),
            max_lifetime: is_set("max_lifetime"),
        }
    }
}

/// Has a pool that is there already take the defaults for a pooler that its first connection found. What the
/// program set on a tier's builder stays, also where it is just the default, and so does an ad-hoc tier that leads
/// elsewhere.
pub(super) fn adapt(
    pool: &TieredPool<PgManager>,
    built: &PgSettings,
    mode: PgBouncer,
    set: [SetOnTier; 2],
    adhoc_is_elsewhere: bool,
) -> Result<(), Error> {
    let (found, faults) = built.behind_found(mode);
    tell_what_stays(&faults, &built.automation);
    let [of_automation, of_adhoc] = set;
    // Settings that are put in force have every idle connection looked at anew, also where they are the same.
    if differ(built, &found) {
        pool.reconfigure(|tiers| {
            take_over(&mut tiers.automation, of_automation, &built.automation, &found.automation);
            if !adhoc_is_elsewhere {
                take_over(&mut tiers.adhoc, of_adhoc, &built.adhoc, &found.adhoc);
            }
            // A budget that follows the sizes does so where these were taken over.
            if found.total_connections == tiers.automation.ceiling() + tiers.adhoc.ceiling() {
                tiers.total_connections = found.total_connections;
            }
        })?;
    }
    for setting in found.effective().iter().zip(built.effective()).filter(|(now, before)| **now != *before) {
        say!(Level::Info, "tierpool::settings", [], "{}", setting.0);
    }
    Ok(())
}

/// Whether what was found gives a tier or the budget other settings than those that the pool was built with.
fn differ(built: &PgSettings, found: &PgSettings) -> bool {
    built.automation != found.automation
        || built.adhoc != found.adhoc
        || built.total_connections != found.total_connections
}

/// Has one tier take the defaults for a pooler, but for what was set on its builder.
fn take_over(settings: &mut Settings, set: SetOnTier, built: &Settings, found: &Settings) {
    if built == found {
        return;
    }
    if !set.sizes {
        let mut resized = settings.clone();
        resized.base_size = found.base_size;
        resized.max_overflow = found.max_overflow;
        let faults = resized.check();
        tell_what_stays(&faults, settings);
        if faults.is_empty() {
            *settings = resized;
        }
    }
    if !set.connection_timeout {
        settings.connection_timeout = found.connection_timeout;
    }
    if !set.max_lifetime {
        settings.max_lifetime = found.max_lifetime;
    }
}

/// Tells why a pool keeps its sizes behind a pooler, where the sizes for one would have faults.
fn tell_what_stays(faults: &Faults, settings: &Settings) {
    if !faults.is_empty() {
        say!(
            Level::Warn,
            Origin::pool(&settings.name, None).at("tierpool::settings"),
            [
                base_size = settings.base_size,
                max_overflow = settings.max_overflow,
                faults = faults.to_string()
            ],
            "pool `{}` is behind a PgBouncer, but cannot have the sizes for one: {faults}; base size and overflow stay \
             {} + {}: set them, or say pgbouncer=session if that is its mode",
            settings.name,
            settings.base_size,
            settings.max_overflow
        );
    }
}

/// Whether a statement timeout was set for the pool, and not by the `options` of one of its connection strings, which
/// speak for that server alone.
fn is_setting(source: &Source) -> bool {
    let of_options = matches!(
        source,
        Source::Url { parameter: "options" } | Source::Environment { variable: "PGOPTIONS" }
    );
    source.is_explicit() && !of_options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> PgSettings {
        let overrides = Overrides { url: Some(url.into()), ..Overrides::default() };
        PgSettings::load(&overrides, |_| None).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn own(url: &str, of_pool: &str) -> PgSettings {
        own_server(&url.into(), &settings(of_pool)).unwrap_or_else(|faults| panic!("{faults}"))
    }

    #[test]
    fn what_was_found_changes_settings_where_it_is_a_pooler_that_they_do_not_know_of() {
        let is_changed = |query: &str, mode| {
            let built = settings(&format!("postgresql://db.example/news?{query}"));
            differ(&built, &built.behind_found(mode).0)
        };
        assert!(!is_changed("", PgBouncer::Off));
        assert!(is_changed("", PgBouncer::Transaction));
        assert!(!is_changed("pgbouncer=transaction", PgBouncer::Transaction), "it was built for one");
    }

    #[test]
    fn faults_say_which_of_the_two_strings_they_are_in() {
        let of_pool = settings("postgresql://db.example/news");
        let told = |url: &str| own_server(&url.into(), &of_pool).unwrap_err().to_string();
        assert!(told("news").starts_with("adhoc_url is [redacted]: must be a URL"), "{}", told("news"));
        let told = told("postgresql://db.example/news?pgbouncer=maybe");
        assert!(told.starts_with("adhoc_url, URL parameter pgbouncer is maybe: must be true"), "{told}");
    }

    #[test]
    fn what_cannot_count_in_the_string_is_a_fault() {
        let of_pool = settings("postgresql://db.example/news");
        let told = |query: &str| {
            let url = format!("postgresql://db.example/news?{query}");
            own_server(&url.as_str().into(), &of_pool).map(drop).map_err(|faults| faults.to_string())
        };
        let faults = told("statement_timeout=1234&connect_timeout=5&application_name=people").unwrap_err();
        for parameter in ["statement_timeout", "connect_timeout", "application_name"] {
            let fault = format!("adhoc_url, URL parameter {parameter} is set: without effect here");
            assert!(faults.contains(&fault), "{faults}");
        }
        for counts in ["pgbouncer=session", "options=-c%20statement_timeout%3D5s", "keepalives_idle=7"] {
            assert_eq!(told(counts), Ok(()));
        }
        assert_eq!(told("fallback_application_name=spare"), Ok(()), "it gives way to any other");
        assert_eq!(own("host=h fallback_application_name=spare", "host=h application_name=x").app_name, "x");
    }

    #[test]
    fn statements_are_cached_by_what_is_in_front_of_the_own_server() {
        let (direct, pooled) = ("postgresql://db.example/news", "postgresql://db.example:6432/news");
        let size = |url: &str, of_pool: &str| own(url, of_pool).statement_cache_size;
        assert_eq!((size(pooled, direct), size(direct, pooled)), (0, 100));
        let set = |url: &str| format!("{url}?statement_cache_size=7");
        assert_eq!((size(pooled, &set(direct)), size(direct, &set(direct))), (0, 7));
        assert_eq!((size(direct, &set(pooled)), size(pooled, &set(pooled))), (7, 7));
    }

    #[test]
    fn r2d2s_choices_are_the_programs_own_and_stay_behind_a_pooler() {
        let set = |builder| {
            let SetOnTier { sizes, max_lifetime, connection_timeout } = SetOnTier::of(&builder);
            [sizes, max_lifetime, connection_timeout]
        };
        assert_eq!(set(Builder::new()), [false; 3]);
        assert_eq!(set(Builder::new().like_r2d2()), [false, true, true]);
        assert_eq!(set(Builder::new().like_r2d2().max_size(4)), [true; 3]);
    }

    #[cfg(unix)]
    #[test]
    fn a_string_without_a_user_finds_the_line_of_whoever_runs_the_program() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwords");
        std::fs::write(&file, "other.example:*:nightly:nightly:hush\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let of_pool = |env: &[(&str, &str)]| {
            let overrides =
                Overrides { url: Some("postgresql://app@db.example/news".into()), ..Overrides::default() };
            let file = ("PGPASSFILE", file.to_str().unwrap());
            let all = [env, &[file]].concat();
            let get = |name: &str| Some(all.iter().find(|(of, _)| *of == name)?.1.to_owned());
            PgSettings::load(&overrides, get).unwrap_or_else(|faults| panic!("{faults}"))
        };
        let password = |env: &[(&str, &str)]| {
            let own = own_server(&"postgresql://other.example".into(), &of_pool(env)).unwrap();
            own.server.config().get_password().map(<[u8]>::to_vec)
        };
        for variable in ["USER", "LOGNAME"] {
            assert_eq!(password(&[(variable, "nightly")]).as_deref(), Some(&b"hush"[..]), "{variable}");
        }
        assert_eq!(password(&[]), None);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn authorities_are_lent_only_where_the_mode_is() {
        let of_pool = "postgresql://db.example/news?sslrootcert=system";
        let lent = own("postgresql://other.example/news", of_pool);
        assert_eq!(
            (lent.server.tls().mode, lent.server.tls().root_cert.is_some()),
            (TlsMode::VerifyFull, true)
        );
        let said = own("postgresql://other.example/news?sslmode=require", of_pool);
        assert_eq!(
            (said.server.tls().mode, said.server.tls().root_cert.is_some()),
            (TlsMode::Require, false)
        );
    }
}
