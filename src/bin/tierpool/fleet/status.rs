//! Looks at a fleet from outside: by the server's locks, and by the limits of the roles.

use std::thread;
use std::time::Duration;

use tierpool::config::{Overrides, PgSettings};
use tierpool::fleet::core::Budget;
use tierpool::fleet::{Survey, SurveyedSession};
use tierpool::postgres::PgConnection;
use tierpool::{PgPool, Tier};

use super::options::StatusOptions;
use super::picture::{Limits, Picture};
use super::show;
use crate::config::unusable;
use crate::environment::Environment;
use crate::outcome::{Code, Failure, end_at_interrupt};
use crate::output::{self, Looks, Reader};
use crate::seen::server::{self, OWN_NAME};

/// The longest that a connection or an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints it once, or until somebody has seen enough.
pub fn run(options: &StatusOptions) -> Result<Code, Failure> {
    Environment::read()?;
    let settings = PgSettings::from_env(&Overrides::default()).map_err(|faults| unusable(&faults))?;
    tierpool::fleet::budget(&settings).map_err(|faults| unusable(&faults))?;
    let name = options.fleet.clone().or_else(|| settings.fleet.clone());
    let name = name.ok_or_else(|| {
        Failure::new("no fleet is named: set DB_POOL_FLEET, or say --fleet NAME as the programs have it")
    })?;
    // The settings are those of a program of the fleet, where they name it.
    let is_named = settings.fleet.as_ref() == Some(&name) && !settings.total_from_role;
    let ours =
        is_named.then(|| Budget::new(settings.total_connections, settings.reserved)).and_then(Result::ok);
    end_at_interrupt()?;
    let pool = server::outside_fleet(OWN_NAME)?;
    let looks = Looks { in_json: options.json, again: options.watch.is_some() };
    let mut is_first = true;
    loop {
        let looked = look(&pool, &name, ours, options.adhoc_role.as_deref());
        let picture = match (looked, options.watch) {
            (Ok(picture), _) => picture,
            // A server that goes away comes back, as a rule.
            (Err(failure), Some(seconds)) if !is_first => {
                output::complain(&failure);
                thread::sleep(Duration::from_secs(seconds));
                continue;
            }
            (Err(failure), _) => return Err(failure),
        };
        is_first = false;
        let reader = looks.print(|| show::text(&picture), || show::json(&picture))?;
        let (Some(seconds), Reader::There) = (options.watch, reader) else { return Ok(picture.code()) };
        thread::sleep(Duration::from_secs(seconds));
    }
}

/// One look: at most twice [`PATIENCE`], over TCP.
fn look(pool: &PgPool, name: &str, ours: Option<Budget>, people: Option<&str>) -> Result<Picture, Failure> {
    let mut conn = pool
        .tier(Tier::Adhoc)
        .get_timeout(PATIENCE)
        .map_err(|error| Failure::new(format_args!("{error:#}")))?;
    let conn: &mut PgConnection = &mut conn;
    if conn.is_transaction_pooled() {
        return Err(Failure::new(
            "a PgBouncer in transaction mode is in between, where there is no fleet: its limits count \
             (tierpool verify)",
        ));
    }
    let survey = Survey::of(conn, name, PATIENCE)?;
    // Of programs that are there, their own role; else that of the settings.
    let is_of_batch = |session: &&SurveyedSession| session.reserve_slot.is_none() && !session.role.is_empty();
    let batch = survey.sessions.iter().find(is_of_batch).map(|session| session.role.clone());
    let limits = Limits::ask(conn, batch.as_deref(), people).map_err(|error| error.to_string());
    Ok(Picture { survey, ours, limits })
}
