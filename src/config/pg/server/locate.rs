//! Looks for the server: the builder's URL, then the environment.

use std::path::Path;

use super::address::Server;
use super::foreign;
use super::libpq::{self, Param};
use super::url;
use crate::config::faults::Faults;
use crate::config::pg::table::env::{Env, Found};
use crate::config::pg::table::overrides::ConnectionString;
use crate::config::pg::table::rows::{Key, settings};
use crate::config::pg::table::source::Source;
use crate::config::pg::table::value::shown;

/// The parameters of the connection string that are settings of the pool.
#[derive(Default)]
pub(crate) struct PoolParams(Vec<(&'static str, String)>);

impl PoolParams {
    /// The text of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| *of == name).map(|(_, text)| text.as_str())
    }
}

type Variables = [(&'static str, &'static str)];

/// The variables that container images of PostgreSQL use, with libpq's name for each.
static POSTGRES: [(&str, &str); 5] = [
    ("POSTGRES_HOST", "host"),
    ("POSTGRES_PORT", "port"),
    ("POSTGRES_DB", "dbname"),
    ("POSTGRES_USER", "user"),
    ("POSTGRES_PASSWORD", "password"),
];

/// libpq's variables of an address.
static LIBPQ: [(&str, &str); 5] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
];

/// Variables that name the server of another kind of pool. They are not read, which is told where nothing else names
/// a server.
static NOT_READ: [&str; 3] = ["DB_DSN", "DB_USER", "DB_PASSWORD"];

/// libpq's variables that fill in what an address leaves open, wherever that came from. So a demand such as
/// `PGSSLMODE=verify-full` holds for a `DATABASE_URL` that says nothing of TLS.
static FILL_IN: [(&str, &str); 11] = [
    ("PGPASSWORD", "password"),
    ("PGPASSFILE", "passfile"),
    ("PGOPTIONS", "options"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
];

/// Where libpq looks for a password file: the variable with the folder, and the file in it.
const HOME: &str = if cfg!(windows) { "APPDATA" } else { "HOME" };
const PASSFILE: &str = if cfg!(windows) { "postgresql/pgpass.conf" } else { ".pgpass" };

/// The environment variables that give a server piece by piece, in the order in which they are looked at.
///
/// They come into play when neither `DATABASE_URL` nor `SUPABASE_URL` is set: the `POSTGRES_*` ones if
/// `POSTGRES_HOST` is set, else libpq's if `PGHOST` or `PGHOSTADDR` is. `PGPASSWORD`, `PGOPTIONS`, `PGSSL*` and the
/// other variables of a session fill in what any of these leaves open, as libpq has it: a password that is still
/// missing is looked up in the file that `PGPASSFILE` names, else in `~/.pgpass`. Service files are not read, and
/// `PGSERVICE` is a fault.
pub fn server_variables() -> impl Iterator<Item = &'static str> {
    POSTGRES.iter().chain(&LIBPQ).chain(&FILL_IN).map(|(variable, _)| *variable)
}

/// Finds the server and the pool's parameters in its connection string. All faults go to `faults`.
pub(crate) fn server(
    builder: Option<&ConnectionString>,
    env: &Env<'_>,
    faults: &mut Faults,
) -> (Option<Server>, PoolParams) {
    if let Some(ConnectionString(text)) = builder {
        return from_text(text, Source::Builder { method: "url" }, env, faults);
    }
    for spelling in Key::Server.setting().env {
        match env.get(spelling.name, faults) {
            Found::Nothing => {}
            Found::Faulty => return Default::default(),
            Found::Text(text) => {
                return from_text(&text, Source::Environment { variable: spelling.name }, env, faults);
            }
        }
    }
    let mut others_set = vec![];
    for family in [&POSTGRES, &LIBPQ] {
        let before = faults.iter().count();
        let mut params = from_variables(family, env, faults);
        let host = params.iter().find(|param| matches!(param.key, "host" | "hostaddr"));
        match host.map(|host| host.source.clone()) {
            Some(source) => {
                let os_user = fill_in(&mut params, false, env, faults);
                let server = Server::assemble(None, &params, os_user.as_deref(), source, faults);
                return (server, PoolParams::default());
            }
            // A host that is not UTF-8 is a fault already; that none was found would only confuse.
            None if faults.iter().count() > before => return Default::default(),
            None => others_set.extend(params.iter().map(Param::spelled)),
        }
    }
    refuse_service(env, faults);
    let is_set = |name: &&str| matches!(env.get(name, &mut Faults::new()), Found::Text(_));
    let not_read: Vec<_> = NOT_READ.into_iter().filter(is_set).collect();
    faults.push("server", "not set", looked_for(&others_set, &not_read));
    Default::default()
}

fn looked_for(others_set: &[String], not_read: &[&str]) -> String {
    let mut rule = "looked for DATABASE_URL, SUPABASE_URL, POSTGRES_HOST (with POSTGRES_PORT, POSTGRES_DB, \
                    POSTGRES_USER, POSTGRES_PASSWORD), PGHOST and PGHOSTADDR (with PGPORT, PGDATABASE, PGUSER, \
                    PGPASSWORD); set one of them"
        .to_owned();
    if !others_set.is_empty() {
        rule.push_str(&format!("; {} alone name no host", others_set.join(", ")));
    }
    if !not_read.is_empty() {
        rule.push_str(&format!("; {} is not read", not_read.join(" + ")));
    }
    rule
}

fn from_variables(family: &Variables, env: &Env<'_>, faults: &mut Faults) -> Vec<Param> {
    let mut params = vec![];
    for (variable, key) in family {
        if let Found::Text(value) = env.get(variable, faults) {
            params.push(Param { key, value, source: Source::Environment { variable } });
        }
    }
    params
}

/// libpq takes what is left open from there too, so that leaving it out would be another server without a word.
fn refuse_service(env: &Env<'_>, faults: &mut Faults) {
    if let Found::Text(_) = env.get("PGSERVICE", faults) {
        faults.push("PGSERVICE", "set", libpq::SERVICE);
    }
}

/// Fills in what a connection string leaves open. Returns the name of whoever runs the program, as far as the
/// environment tells it.
fn fill_in(
    params: &mut Vec<Param>,
    has_password: bool,
    env: &Env<'_>,
    faults: &mut Faults,
) -> Option<String> {
    refuse_service(env, faults);
    for (variable, key) in &FILL_IN {
        let is_given = params.iter().any(|param| param.key == *key);
        if is_given || (has_password && *key == "password") {
            continue;
        }
        params.extend(from_variables(&[(*variable, *key)], env, faults));
    }
    // What these hold is a fault of nobody's: a connection may do without.
    let text = |variable: &str| match env.get(variable, &mut Faults::new()) {
        Found::Text(text) => Some(text),
        Found::Nothing | Found::Faulty => None,
    };
    if !params.iter().any(|param| param.key == "passfile")
        && let Some(folder) = text(HOME)
    {
        let value = Path::new(&folder).join(PASSFILE).display().to_string();
        params.push(Param { key: "passfile", value, source: Source::Default });
    }
    text("USER").or_else(|| text("LOGNAME"))
}

fn from_text(text: &str, source: Source, env: &Env<'_>, faults: &mut Faults) -> (Option<Server>, PoolParams) {
    let split = match url::split(text) {
        Ok(split) => split,
        Err(rule) => {
            // Of an empty text there is nothing to hide.
            let found = if text.trim().is_empty() { "empty" } else { "[redacted]" };
            faults.push(source.spelled("server"), found, rule);
            return Default::default();
        }
    };
    let (mut params, pool, unknown) = sort(split.params);
    let sound = unknown.is_empty();
    faults.extend(unknown);
    let os_user = fill_in(&mut params, split.has_password, env, faults);
    let server = Server::assemble(split.head.as_deref(), &params, os_user.as_deref(), source, faults);
    (server.filter(|_| sound), pool)
}

/// Sorts the parameters into libpq's and the pool's, and finds the ones that are unknown. Of one given twice the last
/// holds, as in libpq.
fn sort(all: Vec<(String, String)>) -> (Vec<Param>, PoolParams, Faults) {
    let mut faults = Faults::new();
    let mut params: Vec<Param> = vec![];
    let mut pool = PoolParams::default();
    // A secret with a blank in a `key=value` string, or with a `&` in a URL, runs over into what looks like a name.
    let mut may_be_secret = false;
    for (key, value) in all {
        if let Some(name) = pool_parameter(&key) {
            pool.0.retain(|(of, _)| *of != name);
            pool.0.push((name, value));
        } else if let Some(known) = libpq::known(&key) {
            params.retain(|param| param.key != known);
            params.push(Param { key: known, value, source: Source::Url { parameter: known } });
        } else {
            let name = if may_be_secret { "[redacted]".to_owned() } else { shown(&key) };
            // What may be a secret's rest is no name of anybody's.
            let theirs = if may_be_secret { None } else { foreign::rule(&key) };
            faults.push(format!("URL parameter {name}"), "unknown", theirs.unwrap_or_else(allowed));
        }
        may_be_secret |= libpq::is_hidden(&key);
    }
    (params, pool, faults)
}

fn pool_parameter(key: &str) -> Option<&'static str> {
    settings().iter().flat_map(|setting| setting.url).map(|spelling| spelling.name).find(|name| *name == key)
}

fn allowed() -> String {
    let pool = settings().iter().flat_map(|setting| setting.url).map(|spelling| spelling.name);
    let names: Vec<_> = pool.chain(libpq::taken()).collect();
    format!("must be one of {}", names.join(", "))
}
