//! A budget that the server's limits of the roles give.

use std::time::Duration;

use log::Level;

use crate::clock::Deadline;
use crate::config::{Faults, Key, PgBouncer, PgSettings};
use crate::error::Error;
use crate::lines::say;
use crate::pool::Pool;
use crate::postgres::driver::PgDriver;
use crate::postgres::open::PgManager;
use crate::text::harmless;

/// The role of the session that asks.
const ASK: &str =
    "SELECT rolname, rolconnlimit, rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user";

/// A role, as its server knows it.
struct Role {
    name: String,
    /// Its `CONNECTION LIMIT`, and why there is none that binds it.
    limit: Result<u32, &'static str>,
}

/// The settings with the budget that the limits of the tiers' roles come to: their sum, and the ad-hoc role's limit as
/// the reserve; or the one limit where both tiers have one role. Asks on a connection of each, within `limit`.
pub(super) fn resolved(
    settings: &PgSettings,
    [automation, adhoc]: [PgManager; 2],
    is_apart: bool,
    limit: Duration,
) -> Result<PgSettings, Error> {
    let end = Deadline::of(limit);
    let is_beside = automation.leads_where(&adhoc);
    let of_automation = ask(settings, automation, end)?;
    let of_adhoc = is_apart.then(|| ask(settings, adhoc, end)).transpose()?;
    // Of one name on another server there are two.
    let of_adhoc = of_adhoc.filter(|role| !is_beside || role.name != of_automation.name);
    let mut faults = Faults::new();
    let total = settings.source(Key::TotalConnections).spelled("total_connections");
    let mut limit_of = |role: &Role| match role.limit {
        Ok(limit) => limit,
        Err(why) => {
            let rule = "say a number, or have the server limit it: ALTER ROLE … CONNECTION LIMIT …";
            faults.push(&total, format!("role, and role {} {why}", role.name), rule);
            0
        }
    };
    let own = limit_of(&of_automation);
    let reserve = of_adhoc.as_ref().map(&mut limit_of);
    if !faults.is_empty() {
        return Err(Error::invalid(faults));
    }
    let sum = own.saturating_add(reserve.unwrap_or(0));
    // Ahead of what may not fit into it.
    let told: Vec<_> = [Some((&of_automation, own)), of_adhoc.as_ref().zip(reserve)]
        .into_iter()
        .flatten()
        .map(|(role, limit)| format!("role {} may have {limit}", role.name))
        .collect();
    let reckoning = told.join(", ");
    say!(
        Level::Info,
        "tierpool::settings",
        [budget = sum, reckoning = reckoning],
        "the budget is {sum} connections: {reckoning}"
    );
    let mut found = settings.with_total_of_role(sum, reserve);
    if let (Some(role), Some(limit)) = (&of_adhoc, reserve)
        && found.as_ref().map_or(settings.reserved, |found| found.reserved) != limit
        && settings.source(Key::Reserved).is_explicit()
    {
        let mut faults = found.err().unwrap_or_default();
        let reserved = settings.source(Key::Reserved).spelled("reserved");
        let rule = format!("must be {limit}, the limit of role {}, or left out", role.name);
        faults.push(reserved, settings.reserved, rule);
        found = Err(faults);
    }
    found.map_err(Error::invalid)
}

/// Refuses settings whose budget the server would have to be asked for.
pub(super) fn require_number(settings: &PgSettings) -> Result<(), Error> {
    if !settings.total_from_role {
        return Ok(());
    }
    Err(fault(settings, "role", "must be a number where the server is not asked: use `build`"))
}

/// A fault of the budget.
fn fault(settings: &PgSettings, found: &str, rule: &str) -> Error {
    let mut faults = Faults::new();
    faults.push(settings.source(Key::TotalConnections).spelled("total_connections"), found, rule);
    Error::invalid(faults)
}

/// Asks who somebody is who logs in by this manager. A server that is still starting is waited for, as by any pool.
fn ask(settings: &PgSettings, manager: PgManager, end: Deadline) -> Result<Role, Error> {
    let pool = Pool::builder()
        .name(&settings.automation.name)
        .max_size(1)
        .driver(Box::new(PgDriver))
        .build_unchecked(manager);
    let mut conn = pool.get_timeout(end.left())?;
    if conn.pgbouncer() != PgBouncer::Off {
        let rule = "must be a number behind a PgBouncer, whose own limits hold there";
        return Err(fault(settings, "role", rule));
    }
    let rows = conn.ask(ASK, end.left());
    let rows = rows.map_err(|error| {
        fault(settings, "role", &format!("must be a number, as the server said: {error}"))
    })?;
    let row = rows.first();
    let text = |column: usize| row.and_then(|row| row.try_get(column).ok().flatten()).unwrap_or_default();
    let limit = match text(1).parse::<i64>().map(u32::try_from) {
        _ if text(2) == "t" => Err("is a superuser, whom no limit binds"),
        Ok(Ok(limit)) => Ok(limit),
        _ => Err("has no limit of connections"),
    };
    Ok(Role { name: harmless(text(0)), limit })
}
