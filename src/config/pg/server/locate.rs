//! Looks for the server: the builder's URL, then the environment.

use super::address::Server;
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

/// libpq's variables that fill in what an address leaves open, wherever that came from. So a demand such as
/// `PGSSLMODE=verify-full` holds for a `DATABASE_URL` that says nothing of TLS.
static FILL_IN: [(&str, &str); 10] = [
    ("PGPASSWORD", "password"),
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

/// The environment variables that give a server piece by piece, in the order in which they are looked at.
///
/// They come into play when neither `DATABASE_URL` nor `SUPABASE_URL` is set: the `POSTGRES_*` ones if
/// `POSTGRES_HOST` is set, else libpq's if `PGHOST` or `PGHOSTADDR` is. `PGPASSWORD`, `PGOPTIONS`, `PGSSL*` and the
/// other variables of a session fill in what any of these leaves open, as libpq has it. `~/.pgpass` and service files
/// are not read.
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
        match host.and_then(|host| family.iter().find(|(variable, _)| *variable == host.spelled)) {
            Some((variable, _)) => {
                fill_in(&mut params, false, env, faults);
                let source = Source::Environment { variable };
                return (Server::assemble(None, &params, source, faults), PoolParams::default());
            }
            // A host that is not UTF-8 is a fault already; that none was found would only confuse.
            None if faults.iter().count() > before => return Default::default(),
            None => others_set.extend(params.into_iter().map(|param| param.spelled)),
        }
    }
    faults.push("server", "not set", looked_for(&others_set));
    Default::default()
}

fn looked_for(others_set: &[String]) -> String {
    let mut rule = "looked for DATABASE_URL, SUPABASE_URL, POSTGRES_HOST (with POSTGRES_PORT, POSTGRES_DB, \
                    POSTGRES_USER, POSTGRES_PASSWORD), PGHOST and PGHOSTADDR (with PGPORT, PGDATABASE, PGUSER, \
                    PGPASSWORD); set one of them"
        .to_owned();
    if !others_set.is_empty() {
        rule.push_str(&format!("; {} alone name no host", others_set.join(", ")));
    }
    rule
}

fn from_variables(family: &Variables, env: &Env<'_>, faults: &mut Faults) -> Vec<Param> {
    let mut params = vec![];
    for (variable, key) in family {
        if let Found::Text(value) = env.get(variable, faults) {
            params.push(Param { key, value, spelled: (*variable).to_owned() });
        }
    }
    params
}

fn fill_in(params: &mut Vec<Param>, has_password: bool, env: &Env<'_>, faults: &mut Faults) {
    for (variable, key) in &FILL_IN {
        let is_given = params.iter().any(|param| param.key == *key);
        if is_given || (has_password && *key == "password") {
            continue;
        }
        params.extend(from_variables(&[(*variable, *key)], env, faults));
    }
}

fn from_text(text: &str, source: Source, env: &Env<'_>, faults: &mut Faults) -> (Option<Server>, PoolParams) {
    let split = match url::split(text) {
        Ok(split) => split,
        Err(rule) => {
            faults.push(source.spelled("server"), "[redacted]", rule);
            return Default::default();
        }
    };
    let (mut params, pool, unknown) = sort(split.params);
    let sound = unknown.is_empty();
    faults.extend(unknown);
    fill_in(&mut params, split.has_password, env, faults);
    let server = Server::assemble(split.head.as_deref(), &params, source, faults);
    (server.filter(|_| sound), pool)
}

/// Sorts the parameters into libpq's and the pool's, and finds the ones that are unknown or given twice.
fn sort(all: Vec<(String, String)>) -> (Vec<Param>, PoolParams, Faults) {
    let mut faults = Faults::new();
    let mut params: Vec<Param> = vec![];
    let mut pool = PoolParams::default();
    // A secret with a blank in a `key=value` string, or with a `&` in a URL, runs over into what looks like a name.
    let mut may_be_secret = false;
    for (key, value) in all {
        let spelled = format!("URL parameter {key}");
        let lists = matches!(key.as_str(), "host" | "hostaddr" | "port");
        let twice = params.iter().any(|param| param.key == key) || pool.get(&key).is_some();
        if let Some(name) = pool_parameter(&key) {
            pool.0.push((name, value));
        } else if let Some(known) = libpq::known(&key) {
            params.push(Param { key: known, value, spelled: spelled.clone() });
        } else {
            let name = if may_be_secret { "[redacted]".to_owned() } else { shown(&key) };
            faults.push(format!("URL parameter {name}"), "unknown", allowed());
        }
        faults.require(!twice || lists, &spelled, "given twice", "must be given once");
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
