//! The command `verify`: whether configuration and server carry the pool.
//!
//! | module | job |
//! | --- | --- |
//! | `check` | a check with what it found, and the verdict on all |
//! | `ranges` | the settings by themselves, without a server |
//! | `look` | what a connection and its server show |
//! | `opening` | whether a connection can be had, and why not |
//! | `session` | what the connection is like |
//! | `fleet` | whether the server can hold the fleet that the settings name, and its limits |
//! | `limits` | whether the server takes as many as are promised |
//! | `pooler` | a PgBouncer in between, by its console |

mod check;
mod fleet;
mod limits;
mod look;
mod opening;
mod pooler;
mod ranges;
mod session;

use tierpool::config::{Key, Overrides, PgBouncer, PgSettings};

use crate::arguments::VerifyOptions;
use crate::config::{of_faults, unusable};
use crate::environment::Environment;
use crate::outcome::{Code, Failure, end_at_interrupt};
use crate::output;
use crate::seen::server::is_named;
use check::{Budget, Check, Report, State};
use fleet::Fleet;
use look::Seen;
use pooler::Console;

/// Looks at everything, and prints it. Writes nothing, here or on the server.
pub fn run(options: &VerifyOptions) -> Result<Code, Failure> {
    Environment::read()?;
    let mut overrides = Overrides::default();
    overrides.profile = options.profile.clone();
    let loaded = PgSettings::from_env(&overrides);
    let loaded = loaded.and_then(|settings| Ok((tierpool::fleet::budget(&settings)?, settings)));
    let (budget, settings) = match loaded {
        Ok(loaded) => loaded,
        Err(faults) if options.json => {
            output::print_json(&serde_json::json!({ "faults": of_faults(&faults) }))?;
            return Ok(Code::Untold);
        }
        Err(faults) => return Err(unusable(&faults)),
    };
    end_at_interrupt()?;
    // A mode that is said wrongly would have the look set limits that reach others.
    let console = (settings.pgbouncer == Some(PgBouncer::Session)).then(|| console_of(&settings));
    let is_sure = console.as_ref().is_none_or(|told| told.as_ref().is_ok_and(Console::keeps_sessions));
    let report = match look::look(&settings, options.profile.as_deref(), is_sure)? {
        Ok(seen) => {
            let is_found = settings.pgbouncer.is_none();
            let settings = found(settings, overrides, &seen);
            let budget = tierpool::fleet::budget(&settings).unwrap_or(budget);
            let mut checks = ranges::checks(&settings);
            let console = console.or_else(|| (seen.pooler != PgBouncer::Off).then(|| console_of(&settings)));
            let fleet = budget
                .map(|budget| Fleet::look(&settings, budget, seen.pooler, options.adhoc_role.as_deref()));
            checks.extend(of_server(&settings, is_found, &seen, console.as_ref(), fleet.as_ref()));
            report(&settings, checks)
        }
        Err(refusal) => {
            let mut checks = ranges::checks(&settings);
            checks.push(opening::refused(&refusal));
            report(&settings, checks)
        }
    };
    if options.json {
        output::print_json(&report.json())?
    } else {
        output::print(report.text())?
    };
    Ok(report.code())
}

/// The settings that hold with what was found, as the pool takes them over: behind a pooler, and with a budget that the
/// role's limit is. Where they would have faults with it, it keeps its own.
fn found(settings: PgSettings, mut overrides: Overrides, seen: &Seen) -> PgSettings {
    if settings.pgbouncer.is_none() && seen.pooler != PgBouncer::Off {
        overrides.pgbouncer = Some(seen.pooler);
    }
    if settings.total_from_role {
        overrides.total_connections = seen.activity.as_ref().ok().and_then(limits::of_own_role);
    }
    PgSettings::from_env(&overrides).unwrap_or(settings)
}

fn report(settings: &PgSettings, checks: Vec<Check>) -> Report {
    let url = settings.effective().into_iter().find(|row| row.setting.key == Key::Server);
    Report {
        server: url.map(|row| row.value).unwrap_or_default(),
        profile: settings.profile.clone(),
        budget: Budget {
            total: settings.total_connections,
            base_size: settings.automation.base_size,
            overflow: settings.automation.max_overflow,
            reserved: settings.reserved,
        },
        checks,
    }
}

/// What the pooler's console tells of this user's database.
fn console_of(settings: &PgSettings) -> Result<Console, String> {
    let config = settings.server.config();
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default().to_owned();
    pooler::ask(settings, database)
}

/// A pooler may be found, or said by the settings.
fn of_server(
    settings: &PgSettings,
    is_found: bool,
    seen: &Seen,
    console: Option<&Result<Console, String>>,
    fleet: Option<&Fleet>,
) -> Vec<Check> {
    let mut checks = vec![opening::opened(seen)];
    let facts = match &seen.facts {
        Ok(facts) => facts,
        Err(why) => {
            let found = format!("the server does not answer what is asked of it: {why}");
            let todo = "run it again, and look at the server's log and load";
            checks.push(Check::bad("server", State::Unknown, found, todo));
            return checks;
        }
    };
    checks.push(session::version(facts));
    checks.push(session::kind(facts, settings.server.session_attrs()));
    checks.push(session::tls(facts, seen.pooler, &settings.server));
    checks.push(session::statement_timeout(seen, facts, settings));
    checks.push(session::short_limits(facts));
    checks.extend(session::idle_session_timeout(facts, seen.pooler, settings.automation.keepalive));
    checks.extend(pooler::checks(settings, seen.pooler, is_found, console));
    checks.extend(fleet.iter().flat_map(|fleet| fleet.checks()));
    let told = console.and_then(|console| console.as_ref().ok());
    match &seen.activity {
        Ok(activity) => {
            let demand = pooler::demand(settings, seen.pooler, told);
            checks.extend(limits::budget(activity, settings));
            checks.extend(limits::checks(activity, demand, fleet.map(Fleet::of_roles)));
            // The sessions of a pooler belong to whoever it served last.
            if seen.pooler == PgBouncer::Off {
                checks.push(limits::room(
                    activity,
                    settings,
                    is_named(settings),
                    fleet.map_or(0, Fleet::sessions),
                ));
            }
        }
        Err(why) => {
            let found = format!("the server does not tell its limits: {why}");
            checks.push(Check::bad("limits", State::Unknown, found, "run it again, as a role that may look"));
        }
    }
    checks
}
