//! A fleet that the settings name: whether the server can hold its locks, whether the roles have its limits, and how
//! soon the server notices that a member is gone.

use std::time::Duration;

use tierpool::PgError;
use tierpool::config::{PgBouncer, PgSettings};
use tierpool::fleet::core::Budget;
use tierpool::fleet::{Survey, try_locks};
use tierpool::postgres::{PgConnection, PgManager, PgOptions};

use super::check::{Check, State, time};
use super::look::{PATIENCE, nothing, within};
use crate::fleet::{Limit, Limits, NO_ROLE, identifier};
use crate::output::counted;

const FLEET: &str = "fleet";
const LOCKS: &str = "fleet's locks";
const ROLE: &str = "role limit";
const PEOPLE: &str = "people's limit";
const CLIENTS: &str = "dead clients";
const HOSTS: &str = "dead hosts";
const ANSWERED: &str = "hosts dead amid an answer";

/// The longest that the server may take to notice that a client is gone while a statement of its runs.
const CHECKED: Duration = Duration::from_secs(10);

/// The longest until it takes a host for dead that does not answer.
const ALIVE: Duration = Duration::from_secs(60);

const NOTICED: &str = "
    SELECT
        (SELECT CAST(setting AS int8) FROM pg_catalog.pg_settings WHERE name = 'client_connection_check_interval'),
        CASE WHEN pg_catalog.inet_client_addr() IS NOT NULL THEN
            (SELECT CAST(setting AS int8) FROM pg_catalog.pg_settings WHERE name = 'tcp_keepalives_idle')
            + (SELECT CAST(setting AS int8) FROM pg_catalog.pg_settings WHERE name = 'tcp_keepalives_interval')
            * (SELECT CAST(setting AS int8) FROM pg_catalog.pg_settings WHERE name = 'tcp_keepalives_count')
        END,
        CASE WHEN pg_catalog.inet_client_addr() IS NOT NULL THEN
            (SELECT CAST(setting AS int8) FROM pg_catalog.pg_settings WHERE name = 'tcp_user_timeout')
        END";

/// A fleet as it would be on this server.
#[derive(Debug)]
pub struct Fleet {
    name: String,
    budget: Budget,
    pooler: PgBouncer,
    /// Not asked behind a pooler that keeps no sessions.
    seen: Option<Result<Seen, String>>,
}

#[derive(Debug)]
struct Seen {
    /// Why they cannot be had, where they cannot.
    locks: Result<Option<String>, String>,
    survey: Result<Survey, String>,
    limits: Result<Limits, String>,
    noticed: Result<Noticed, String>,
}

/// After how long the server notices an end; zero where it does not.
#[derive(Clone, Copy, Debug)]
struct Noticed {
    /// Of a client while its statement runs; `None` before PostgreSQL 14.
    client: Option<Duration>,
    /// Of a host; `None` over a Unix socket.
    host: Option<Duration>,
    /// The same while an answer to it is not acknowledged, for which keepalives rest; `None` where there is no such
    /// setting too.
    answered: Option<Duration>,
}

impl Fleet {
    /// Opens two sessions beside all others, neither of which is in the fleet, and looks.
    pub fn look(settings: &PgSettings, budget: Budget, pooler: PgBouncer, people: Option<&str>) -> Fleet {
        let name = settings.fleet.clone().unwrap_or_default();
        let keeps_sessions = pooler != PgBouncer::Transaction;
        let seen = keeps_sessions.then(|| seen(settings, name.clone(), pooler, people.map(str::to_owned)));
        Fleet { name, budget, pooler, seen }
    }

    /// How many sessions on the server are the fleet's.
    pub fn sessions(&self) -> u32 {
        match &self.seen {
            Some(Ok(Seen { survey: Ok(survey), .. })) => {
                u32::try_from(survey.sessions.len()).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }

    /// What is looked at of the fleet itself.
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = vec![self.itself()];
        match &self.seen {
            None => {}
            Some(Err(why)) => checks.push(unknown(LOCKS, why)),
            Some(Ok(seen)) => {
                checks.push(of_locks(&seen.locks));
                // Behind a pooler its host is the server's client.
                if self.pooler == PgBouncer::Off {
                    match &seen.noticed {
                        Ok(noticed) => checks.extend(of_ends(*noticed)),
                        Err(why) => checks.push(unknown(CLIENTS, why)),
                    }
                }
            }
        }
        checks
    }

    fn itself(&self) -> Check {
        let (budget, name) = (self.budget, self.name.escape_debug());
        let parts = format!(
            "{name}: {} for automation, {} for people, {} slots",
            budget.automation(),
            budget.reserve(),
            budget.slots()
        );
        if self.pooler == PgBouncer::Transaction {
            let found =
                format!("{parts}; behind a PgBouncer in transaction mode, where no session keeps a lock");
            let todo = "leave DB_POOL_FLEET out, and have the PgBouncer hold the budget: tierpool fleet plan prints \
                        its pgbouncer.ini; or connect to the server itself";
            return Check::bad(FLEET, State::Fail, found, todo);
        }
        let Some(Ok(Seen { survey: Ok(survey), .. })) = &self.seen else { return Check::ok(FLEET, parts) };
        let programs = survey.programs();
        let found = format!("{parts}, {} in it", counted(programs.into(), "program"));
        if let Some((other, _)) = survey.budgets.iter().find(|(other, _)| *other != budget) {
            let found = format!(
                "{found}; some reckon with {}, {} of them in reserve",
                other.total(),
                other.reserve()
            );
            let todo =
                "give all programs of the fleet the same DB_TOTAL_CONNECTIONS and DB_RESERVED_CONNECTIONS";
            return Check::bad(FLEET, State::Fail, found, todo);
        }
        if programs > budget.slots() {
            let todo = "put a PgBouncer in front, since some programs get none: tierpool fleet plan prints its \
                        pgbouncer.ini";
            return Check::bad(FLEET, State::Fail, found, todo)
                .allowed(counted(budget.slots().into(), "program"));
        }
        Check::ok(FLEET, found)
    }

    /// The limits of the roles, which the server itself holds.
    pub fn of_roles(&self) -> Vec<Check> {
        let limits = match &self.seen {
            // The server's clients are the pooler's.
            None => return Vec::new(),
            Some(Err(why)) => return vec![unknown(ROLE, why)],
            Some(Ok(Seen { limits: Err(why), .. })) => return vec![unknown(ROLE, why)],
            Some(Ok(Seen { limits: Ok(limits), .. })) => limits,
        };
        let budget = self.budget;
        let mut checks =
            vec![of_role(ROLE, &limits.batch, "automation", budget.automation(), budget.slots())];
        // A limit of 0 would keep people out.
        if let Some(people) = limits.people.as_ref().filter(|_| budget.reserve() > 0) {
            checks.push(of_role(PEOPLE, people, "people", budget.reserve(), budget.reserve()));
        }
        checks
    }
}

fn unknown(name: &'static str, why: &str) -> Check {
    let todo = match why.starts_with(NO_ROLE) {
        true => "name a role that is there",
        false => "run it again, and look at the server's log and load",
    };
    Check::bad(name, State::Unknown, format!("not known: {why}"), todo)
}

fn seen(
    settings: &PgSettings,
    name: String,
    pooler: PgBouncer,
    people: Option<String>,
) -> Result<Seen, String> {
    let mut options = PgOptions::default();
    options.connect_timeout = Some(PATIENCE);
    options.pgbouncer = Some(pooler);
    let manager = PgManager::with_tls(settings.connect_config("adhoc"), options, settings.server.tls());
    let manager = manager.map_err(|error| error.to_string())?;
    within(3 * PATIENCE, move || {
        let [mut first, mut second] = [manager.connect_within(PATIENCE)?, manager.connect_within(PATIENCE)?];
        let told = |error: PgError| error.to_string();
        Ok(Seen {
            locks: try_locks(&mut first, &mut second, PATIENCE).map_err(told),
            survey: Survey::of(&mut first, &name, PATIENCE).map_err(told),
            limits: Limits::ask(&mut first, None, people.as_deref()).map_err(told),
            noticed: noticed(&mut first).map_err(told),
        })
    })
}

fn noticed(conn: &mut PgConnection) -> Result<Noticed, PgError> {
    let rows = conn.query_typed(NOTICED, &[])?;
    let row = rows.first().ok_or_else(nothing)?;
    let client = row.try_get::<_, Option<i64>>(0)?.and_then(|ms| u64::try_from(ms).ok());
    let host = row.try_get::<_, Option<i64>>(1)?.and_then(|seconds| u64::try_from(seconds).ok());
    let answered = row.try_get::<_, Option<i64>>(2)?.and_then(|ms| u64::try_from(ms).ok());
    let [client, answered] = [client, answered].map(|ms| ms.map(Duration::from_millis));
    Ok(Noticed { client, host: host.map(Duration::from_secs), answered })
}

fn of_locks(locks: &Result<Option<String>, String>) -> Check {
    match locks {
        Ok(None) => Check::ok(LOCKS, "kept from a second session, and shown to this role"),
        Ok(Some(why)) => {
            let todo = "use a server whose advisory locks are real, or let the role use them and see pg_locks: GRANT \
                        EXECUTE ON FUNCTION ... , GRANT SELECT ON pg_catalog.pg_locks";
            Check::bad(LOCKS, State::Fail, why.clone(), todo)
        }
        Err(why) => unknown(LOCKS, why),
    }
}

/// A limit beside what the role may have, and what it has to have.
fn of_role(name: &'static str, limit: &Limit, whose: &str, most: u32, least: u32) -> Check {
    let Limit { role, most: found, is_superuser } = limit;
    let sql = format!("ALTER ROLE {} CONNECTION LIMIT {most};", identifier(role));
    if *is_superuser {
        let found = format!("{role} is a superuser, whom no limit binds");
        return Check::bad(name, State::Warn, found, "connect as a role of the application's own");
    }
    let told = match found {
        None => format!("none for role {role}, so the server itself does not hold the part of {whose}"),
        Some(found) => format!("{found} for role {role}"),
    };
    let state = match found {
        Some(found) if found == &most => {
            return Check::ok(name, told).allowed(format!("{most}, the part of {whose}"));
        }
        Some(found) if *found < least => State::Fail,
        _ => State::Warn,
    };
    let why = match (state, found) {
        (State::Fail, _) => ": what is beyond it is refused",
        (_, Some(found)) if *found < most => ": programs that ask for a first connection are refused",
        _ => "",
    };
    Check::bad(name, state, told + why, sql).allowed(format!("{most}, the part of {whose}"))
}

/// After what time the server ends the session of a client that is gone.
fn of_ends(Noticed { client, host, answered }: Noticed) -> Vec<Check> {
    let check = |name, limit: Option<Duration>, most: Duration, setting: &str, todo: &str| {
        let limit = limit?;
        let found = format!("{setting}: {}", if limit.is_zero() { "off".to_owned() } else { time(limit) });
        let is_soon = !limit.is_zero() && limit <= most;
        let check = match is_soon {
            true => Check::ok(name, found),
            false => {
                Check::bad(name, State::Warn, found, format!("{todo}: tierpool fleet sql prints the lines"))
            }
        };
        Some(check.allowed(format!("up to {}", time(most))))
    };
    let todo = "have slots come back sooner, by ALTER ROLE ... SET";
    let clients = check(CLIENTS, client, CHECKED, "client_connection_check_interval", todo);
    let hosts = check(HOSTS, host, ALIVE, "tcp_keepalives_idle, _interval and _count together", todo);
    let answers = check(ANSWERED, answered, ALIVE, "tcp_user_timeout", todo);
    clients.into_iter().chain(hosts).chain(answers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(most: Option<u32>) -> Limit {
        Limit { role: "batch".into(), most, is_superuser: false }
    }

    #[test]
    fn a_limit_is_the_part_itself_and_below_the_slots_it_is_a_fault() {
        let check = |most| of_role(ROLE, &limit(most), "automation", 55, 52);
        let states = [None, Some(56), Some(55), Some(54), Some(52), Some(51)].map(|most| check(most).state);
        assert_eq!(states, [State::Warn, State::Warn, State::Ok, State::Warn, State::Warn, State::Fail]);
        assert_eq!(check(None).todo.unwrap(), "ALTER ROLE \"batch\" CONNECTION LIMIT 55;");
        let superuser = Limit { is_superuser: true, ..limit(Some(55)) };
        assert_eq!(of_role(ROLE, &superuser, "automation", 55, 52).state, State::Warn);
    }

    #[test]
    fn what_is_off_or_late_is_a_warning_and_what_is_not_there_is_not_looked_at() {
        let states = |client: Option<u64>, host: Option<u64>, answered: Option<u64>| -> Vec<State> {
            let [client, host, answered] =
                [client, host, answered].map(|limit| limit.map(Duration::from_secs));
            of_ends(Noticed { client, host, answered }).iter().map(|check| check.state).collect()
        };
        assert_eq!(states(Some(1), Some(45), Some(45)), [State::Ok, State::Ok, State::Ok]);
        assert_eq!(states(Some(0), Some(7875), Some(0)), [State::Warn, State::Warn, State::Warn]);
        assert_eq!(states(Some(11), None, None), [State::Warn]);
        assert_eq!(states(None, Some(60), Some(61)), [State::Ok, State::Warn]);
    }
}
