//! What options and settings say of a fleet, without a server.

use tierpool::config::{ConnectionString, Key, Overrides, PgBouncer, PgSettings, TlsOptions};
use tierpool::fleet::core::Budget;
use tierpool::postgres_crate::config::Host;

use super::options::{BudgetOptions, RoleOptions};
use crate::config::unusable;
use crate::environment::Environment;
use crate::outcome::Failure;

/// The role of the automation where nothing names one.
const AUTOMATION_ROLE: &str = "batch";

/// The fault of settings that name no server, which are settings all the same.
const NO_SERVER: (&str, &str) = ("server", "not set");

/// A budget, and where its parts came from.
#[derive(Clone, Debug)]
pub struct Given {
    pub budget: Budget,
    pub total_from: String,
    pub reserve_from: String,
    /// The roles of automation and people.
    pub roles: Roles,
    /// What the settings say of a pooler in between.
    pub pgbouncer: Option<PgBouncer>,
    pub place: Place,
}

/// Two roles that are not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    pub automation: String,
    pub adhoc: String,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub host: String,
    pub port: u16,
    /// Unknown where the settings name no server.
    pub database: Option<String>,
    /// How many servers the settings name.
    pub hosts: usize,
    /// How the way there is encrypted.
    pub tls: TlsOptions,
}

impl Given {
    /// Reads the settings, over which options win.
    pub fn read(budget: &BudgetOptions, roles: &RoleOptions) -> Result<Given, Failure> {
        Environment::read()?;
        let (settings, has_server) = settings()?;
        if settings.total_from_role && budget.budget.is_none() {
            return Err(Failure::new(
                "DB_TOTAL_CONNECTIONS=role has the server say the budget when a pool is built, and no server is asked \
                 here: say it with --budget (tierpool verify shows it)",
            ));
        }
        let part = |option: Option<u32>, setting: u32, key| match option {
            Some(count) => (count, "said here".to_owned()),
            None => (setting, settings.source(key).to_string()),
        };
        let (total, total_from) = part(budget.budget, settings.total_connections, Key::TotalConnections);
        let (reserve, reserve_from) = part(budget.reserve, settings.reserved, Key::Reserved);
        let budget = Budget::new(total, reserve).map_err(Failure::new)?;
        let user = settings.server.config().get_user().filter(|_| has_server);
        let automation = roles.automation_role.as_deref().or(user).unwrap_or(AUTOMATION_ROLE);
        let roles = Roles { automation: automation.to_owned(), adhoc: roles.adhoc_role.clone() };
        if roles.automation == roles.adhoc {
            return Err(Failure::new(format_args!(
                "{:?} is the role of both: automation and people need a role each, as no limit keeps a role from \
                 itself (--automation-role, --adhoc-role)",
                roles.adhoc
            )));
        }
        let place = if has_server { Place::of(&settings) } else { Place::default() };
        Ok(Given { budget, total_from, reserve_from, roles, pgbouncer: settings.pgbouncer, place })
    }
}

/// The settings, and whether they name a server.
fn settings() -> Result<(PgSettings, bool), Failure> {
    let mut overrides = Overrides::default();
    let faults = match PgSettings::from_env(&overrides) {
        Ok(settings) => return Ok((settings, true)),
        Err(faults) => faults,
    };
    if !faults.iter().any(|fault| (fault.setting.as_str(), fault.found.as_str()) == NO_SERVER) {
        return Err(unusable(&faults));
    }
    overrides.url = Some(ConnectionString::from("postgresql://localhost/app"));
    let settings = PgSettings::from_env(&overrides).map_err(|faults| unusable(&faults))?;
    Ok((settings, false))
}

impl Default for Place {
    fn default() -> Self {
        Place {
            host: "127.0.0.1".to_owned(),
            port: 5432,
            database: None,
            hosts: 0,
            tls: TlsOptions::default(),
        }
    }
}

impl Place {
    /// The first of the servers.
    fn of(settings: &PgSettings) -> Place {
        let config = settings.server.config();
        let host = config.get_hosts().first().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(folder) => folder.to_string_lossy().into_owned(),
        });
        let address = config.get_hostaddrs().first().map(ToString::to_string);
        let known = Place::default();
        Place {
            host: host.or(address).unwrap_or(known.host),
            port: config.get_ports().first().copied().unwrap_or(known.port),
            database: config.get_dbname().or(config.get_user()).map(str::to_owned),
            hosts: config.get_hosts().len().max(config.get_hostaddrs().len()),
            tls: settings.server.tls().clone(),
        }
    }
}
