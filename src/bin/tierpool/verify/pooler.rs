//! A PgBouncer in between, as its own console shows it where our user may look.

use std::collections::HashMap;

use tierpool::PgError;
use tierpool::config::{PgBouncer, PgSettings, TargetSessionAttrs};
use tierpool::postgres::{PgConnection, PgManager, PgOptions};
use tierpool::postgres_crate::{SimpleQueryMessage, SimpleQueryRow, config as driver};

use super::check::{Check, State};
use super::limits::Demand;
use super::look::{PATIENCE, within};

const MODE: &str = "pooler";
const POOL: &str = "pooler's pool";
const CLIENTS: &str = "pooler's clients";

/// The database by which its console is reached.
const CONSOLE: &str = "pgbouncer";

/// What it lends, and to how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Console {
    mode: Mode,
    /// Server connections for one user and database.
    pool: u32,
    /// The same with those for clients that have waited for long.
    with_reserve: u32,
    clients: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Session,
    Transaction,
    Statement,
}

impl Mode {
    fn parse(word: &str) -> Option<Mode> {
        match word {
            "session" => Some(Mode::Session),
            "transaction" => Some(Mode::Transaction),
            "statement" => Some(Mode::Statement),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Mode::Session => "session",
            Mode::Transaction => "transaction",
            Mode::Statement => "statement",
        }
    }
}

/// A row or a list of what its console tells, by name.
type Named = HashMap<String, String>;

impl Console {
    /// By `SHOW CONFIG`, and by the row of the database in `SHOW DATABASES`.
    fn of(config: &Named, database: &Named) -> Option<Console> {
        let number = |of: &Named, name: &str| of.get(name).and_then(|value| value.parse::<u32>().ok());
        let of_config = |name: &str| number(config, name);
        // Zero is none.
        let limit = |number: Option<u32>| number.filter(|limit| *limit > 0).unwrap_or(u32::MAX);
        let size = number(database, "pool_size").or_else(|| of_config("default_pool_size"))?;
        let reserve = ["reserve_pool_size", "reserve_pool"].iter().find_map(|name| number(database, name));
        let reserve = reserve.or_else(|| of_config("reserve_pool_size")).unwrap_or(0);
        let most = limit(number(database, "max_connections"))
            .min(limit(of_config("max_db_connections")))
            .min(limit(of_config("max_user_connections")));
        let (pool, with_reserve) = (size.min(most), size.saturating_add(reserve).min(most));
        let mode = database.get("pool_mode").and_then(|word| Mode::parse(word));
        let mode = mode.or_else(|| config.get("pool_mode").and_then(|word| Mode::parse(word)))?;
        Some(Console { mode, pool, with_reserve, clients: of_config("max_client_conn")? })
    }
}

/// Asks the console, as the user of the settings.
pub fn ask(settings: &PgSettings, database: String) -> Result<Console, String> {
    let mut config = settings.connect_config("adhoc");
    config.dbname(CONSOLE).target_session_attrs(driver::TargetSessionAttrs::Any);
    let mut options = PgOptions::default();
    options.target_session_attrs = Some(TargetSessionAttrs::Any);
    options.connect_timeout = Some(PATIENCE);
    // Nothing is found out of it, nor set: it is no server.
    options.pgbouncer = Some(PgBouncer::Off);
    let manager = PgManager::with_tls(config, options, settings.server.tls());
    let manager = manager.map_err(|error| error.to_string())?;
    within(PATIENCE, move || {
        let mut conn = manager.connect_within(PATIENCE)?;
        let config = shown(&mut conn, "SHOW CONFIG")?;
        let pair = |row: &Named| Some((row.get("key")?.clone(), row.get("value")?.clone()));
        let config = config.iter().filter_map(pair).collect();
        let databases = shown(&mut conn, "SHOW DATABASES")?;
        let row = databases.into_iter().find(|row| row.get("name") == Some(&database));
        Ok(Console::of(&config, &row.unwrap_or_default()))
    })?
    .ok_or_else(|| "its console answers unlike a PgBouncer's".to_owned())
}

fn shown(conn: &mut PgConnection, command: &str) -> Result<Vec<Named>, PgError> {
    let named = |row: SimpleQueryRow| {
        let names = row.columns().iter().enumerate();
        names.filter_map(|(at, column)| Some((column.name().to_owned(), row.get(at)?.to_owned()))).collect()
    };
    let rows = conn.simple_query(command)?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(named(row)),
        _ => None,
    });
    Ok(rows.collect())
}

/// The connections that the pool can come to have on the server.
pub fn demand(settings: &PgSettings, mode: PgBouncer, console: Option<&Console>) -> Demand {
    let budget = settings.total_connections;
    match console {
        Some(console) => Demand { connections: budget.min(console.with_reserve), is_certain: true },
        None => Demand { connections: budget, is_certain: mode != PgBouncer::Transaction },
    }
}

/// What is in between, and whether that has room for the pool.
pub fn checks(
    settings: &PgSettings,
    mode: PgBouncer,
    is_found: bool,
    console: Option<&Result<Console, String>>,
) -> Vec<Check> {
    let Some(console) = console else { return vec![Check::ok(MODE, "none in between")] };
    let by = if is_found { "found" } else { "said by the settings" };
    let found = format!("one in between, {by}; the pool goes by {mode} mode");
    let console = match console {
        Ok(console) => console,
        Err(why) => {
            let todo = "have the user in stats_users of pgbouncer.ini, or compare there: default_pool_size at least \
                        the budget, max_client_conn above it, pool_mode as said here";
            let unknown = format!("its console tells nothing: {why}");
            return vec![Check::ok(MODE, found), Check::bad(POOL, State::Unknown, unknown, todo)];
        }
    };
    vec![
        of_mode(found, mode, console.mode),
        of_pool(settings.total_connections, console),
        of_clients(settings, console),
    ]
}

fn of_mode(found: String, mode: PgBouncer, real: Mode) -> Check {
    let found = format!("{found}, and its pool_mode is {}", real.word());
    let (state, todo) = match (mode, real) {
        (_, Mode::Statement) => (State::Fail, "set pool_mode = transaction: sessions cannot be had as it is"),
        (PgBouncer::Session, Mode::Transaction) => {
            (State::Fail, "say USE_PGBOUNCER=transaction: what is set in a session would reach others")
        }
        (PgBouncer::Transaction, Mode::Session) => (
            State::Warn,
            "say USE_PGBOUNCER=session, for statements that are kept and a timeout that is in force",
        ),
        _ => return Check::ok(MODE, found),
    };
    Check::bad(MODE, state, found, todo)
}

fn of_pool(budget: u32, Console { mode, pool, with_reserve, .. }: &Console) -> Check {
    let found = format!("{pool} server connections for a budget of {budget}");
    if *pool >= budget {
        return Check::ok(POOL, found);
    }
    if *with_reserve >= budget {
        let found = format!("{found}, and {} of the reserve", with_reserve - pool);
        let todo = format!(
            "set pool_size (or default_pool_size) to {budget} at least: what needs the reserve waits for \
             reserve_pool_timeout first"
        );
        return Check::bad(POOL, State::Warn, found, todo).allowed(format!("at least {budget}"));
    }
    let why = match mode {
        Mode::Session => "those beyond cannot be opened",
        _ => "what is beyond waits in the PgBouncer, where nothing is reserved for people",
    };
    let todo = format!(
        "set pool_size (or default_pool_size) to {budget} at least, or lower DB_TOTAL_CONNECTIONS (or the sizes) to \
         {pool} at most: {why}"
    );
    Check::bad(POOL, State::Fail, found, todo).allowed(format!("at least {budget}"))
}

fn of_clients(settings: &PgSettings, Console { clients, .. }: &Console) -> Check {
    let budget = settings.total_connections;
    let found = format!("max_client_conn is {clients}, for a budget of {budget}");
    if *clients >= budget {
        return Check::ok(CLIENTS, found);
    }
    let todo = "raise max_client_conn above the sum of all budgets: what is beyond it is refused";
    Check::bad(CLIENTS, State::Fail, found, todo).allowed(format!("at least {budget}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pairs: &[(&str, &str)]) -> Named {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_row_of_the_database_wins_and_the_tightest_limit_counts() {
        let config = named(&[
            ("pool_mode", "session"),
            ("default_pool_size", "20"),
            ("max_client_conn", "100"),
            ("max_db_connections", "0"),
        ]);
        let of = |database: &[(&str, &str)]| {
            let Console { mode, pool, with_reserve, clients } =
                Console::of(&config, &named(database)).unwrap();
            (mode, pool, with_reserve, clients)
        };
        assert_eq!(of(&[]), (Mode::Session, 20, 20, 100));
        let row = [("pool_size", "30"), ("reserve_pool", "5"), ("pool_mode", "transaction")];
        assert_eq!(of(&row), (Mode::Transaction, 30, 35, 100));
        assert_eq!(of(&[&row[..], &[("max_connections", "12")]].concat()).1, 12);
        assert_eq!(Console::of(&named(&[("pool_mode", "\x1b[2J")]), &named(&[])), None);
    }

    #[test]
    fn what_only_the_reserve_makes_up_is_a_warning() {
        let console = Console { mode: Mode::Session, pool: 20, with_reserve: 25, clients: 100 };
        let state = |budget| of_pool(budget, &console).state;
        assert_eq!([20, 21, 25, 26].map(state), [State::Ok, State::Warn, State::Warn, State::Fail]);
    }

    #[test]
    fn a_mode_that_is_not_the_one_gone_by_is_told() {
        let state = |mode, real| of_mode(String::new(), mode, real).state;
        assert_eq!(state(PgBouncer::Session, Mode::Session), State::Ok);
        assert_eq!(state(PgBouncer::Transaction, Mode::Transaction), State::Ok);
        assert_eq!(state(PgBouncer::Session, Mode::Transaction), State::Fail);
        assert_eq!(state(PgBouncer::Transaction, Mode::Session), State::Warn);
        assert_eq!(state(PgBouncer::Transaction, Mode::Statement), State::Fail);
    }
}
