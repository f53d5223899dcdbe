//! Whether the server takes as many connections as the settings promise.

use tierpool::config::PgSettings;
use tierpool::postgres::{DatabaseLimit, RoleLimit, ServerActivity, ServerLimits};

use super::check::{Check, State};

/// The connections that the pool can come to have on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    pub connections: u32,
    /// That many, and not only as many as a pooler that tells nothing lets through.
    pub is_certain: bool,
}

const TO_CONNECTIONS: &str = "DB_TOTAL_CONNECTIONS (or the sizes)";

/// The limit that binds the role, where one does.
pub fn of_own_role(activity: &ServerActivity) -> Option<u32> {
    let role = &activity.automation.role;
    role.limit.filter(|_| !role.is_superuser)
}

/// Whether the role can say the budget, where the settings leave it to that; by its limit they were read anew.
pub fn budget(activity: &ServerActivity, settings: &PgSettings) -> Option<Check> {
    const NAME: &str = "budget";
    let is_left = settings.total_from_role;
    let role = &activity.automation.role.name;
    match of_own_role(activity) {
        None if is_left => Some(Check::bad(
            NAME,
            State::Fail,
            format!("DB_TOTAL_CONNECTIONS=role, and nothing limits role {role}"),
            "ALTER ROLE ... CONNECTION LIMIT, or say a number",
        )),
        Some(limit) if is_left => Some(Check::bad(
            NAME,
            State::Fail,
            format!(
                "DB_TOTAL_CONNECTIONS=role, and the other settings do not go with the {limit} of role {role}"
            ),
            "raise the role's CONNECTION LIMIT, or lower the sizes and the reserve",
        )),
        _ => None,
    }
}

/// The limits of server, role and database, each by itself. That of the role is what a fleet has instead, if so.
pub fn checks(activity: &ServerActivity, demand: Demand, of_fleet: Option<Vec<Check>>) -> Vec<Check> {
    let (limits, role) = (&activity.limits, &activity.automation.role);
    let mut checks = vec![of_server(limits, role, demand)];
    checks.extend(of_fleet.unwrap_or_else(|| vec![of_role(role, demand)]));
    checks.push(of_database(&limits.database, role, demand));
    checks
}

fn of_server(limits: &ServerLimits, role: &RoleLimit, demand: Demand) -> Check {
    let (max, reserved) = (limits.max_connections, limits.kept_from(role));
    let allowed = max.saturating_sub(reserved);
    let reckoning = format!("{max}, less {reserved} reserved by the server");
    compared("max_connections", demand, allowed, &reckoning, || {
        let more = demand.connections - allowed;
        format!("raise max_connections by {more} at least")
    })
}

fn of_role(role: &RoleLimit, demand: Demand) -> Check {
    const NAME: &str = "role limit";
    if role.is_superuser {
        let found = format!("{} is a superuser: no limit and no reserve holds for it", role.name);
        let todo = "connect as a role of the application's own, so that a full server still lets people in";
        return Check::bad(NAME, State::Warn, found, todo);
    }
    match role.limit {
        None => Check::ok(NAME, format!("none for role {}", role.name)),
        Some(limit) => {
            let reckoning = format!("CONNECTION LIMIT of role {}", role.name);
            let todo = || format!("ALTER ROLE ... CONNECTION LIMIT {}", demand.connections);
            compared(NAME, demand, limit, &reckoning, todo)
        }
    }
}

fn of_database(database: &DatabaseLimit, role: &RoleLimit, demand: Demand) -> Check {
    const NAME: &str = "database limit";
    match database.limit.filter(|_| !role.is_superuser) {
        None => Check::ok(NAME, format!("none for database {}", database.name)),
        Some(limit) => {
            let reckoning = format!("CONNECTION LIMIT of database {}", database.name);
            let todo = || format!("ALTER DATABASE ... CONNECTION LIMIT {}", demand.connections);
            compared(NAME, demand, limit, &reckoning, todo)
        }
    }
}

/// A demand beside what is allowed, and how that comes about; `raise` is called where it is less.
fn compared(
    name: &'static str,
    demand: Demand,
    allowed: u32,
    reckoning: &str,
    raise: impl FnOnce() -> String,
) -> Check {
    let Demand { connections, is_certain } = demand;
    let found = wanted(connections, is_certain);
    let check = if connections <= allowed {
        Check::ok(name, found)
    } else {
        let state = if is_certain { State::Fail } else { State::Unknown };
        let todo = format!("{}, or lower {TO_CONNECTIONS} to {allowed} at most", raise());
        Check::bad(name, state, found, todo)
    };
    check.allowed(format!("{allowed} ({reckoning})"))
}

fn wanted(connections: u32, is_certain: bool) -> String {
    let most = if is_certain { "" } else { "at most " };
    format!("{most}{connections} connections wanted")
}

/// Whether other clients leave the room that the limits would allow. Sessions of the fleet are not those of others.
pub fn room(activity: &ServerActivity, settings: &PgSettings, is_named: bool, in_fleet: u32) -> Check {
    const NAME: &str = "room beside others";
    let (limits, role) = (&activity.limits, &activity.automation.role);
    let budget = settings.total_connections;
    // Sessions of the application's own name are its own, up to its budget: beyond, they are another process's.
    let named = activity.automation.total.open.saturating_add(activity.adhoc.total.open);
    let own = named.max(in_fleet).min(budget);
    let usable = own.saturating_add(activity.automation.room);
    let by_limit = |limit: Option<u32>| limit.filter(|_| !role.is_superuser).unwrap_or(u32::MAX);
    // What the limits themselves refuse has been told of there.
    let promised = limits
        .max_connections
        .saturating_sub(limits.kept_from(role))
        .min(by_limit(role.limit))
        .min(by_limit(limits.database.limit))
        .min(budget);
    let others = limits.in_use.saturating_sub(own);
    let found =
        format!("{budget} connections wanted, {usable} can be had beside {others} sessions of others");
    if usable >= promised {
        return Check::ok(NAME, found);
    }
    let unnamed = if is_named {
        ""
    } else {
        ". The application's own sessions count as others', as the settings do not name it (DB_POOL_NAME, PGAPPNAME)"
    };
    let todo = format!(
        "end or limit other clients' sessions, raise max_connections by {} at least, or lower {TO_CONNECTIONS} to \
         {usable} at most{unnamed}",
        promised - usable
    );
    Check::bad(NAME, State::Fail, found, todo).allowed(format!("at least {promised}"))
}
