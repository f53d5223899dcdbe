//! No fault and no error shows the value of a parameter that is unknown, refused or a secret.

use std::error::Error as StdError;
use std::fmt::{Debug, Display};

use super::{PARAMETERS, Support};
use crate::config::{Key, Overrides, PgSettings, server_variables, settings};
use crate::error::Error;

/// The value of whatever is not to be shown. No rule is kept by it.
const MARKER: &str = "hush1hush";

/// A connection string that somebody has put into the place of another value.
const PASTED: &str = "postgresql://app:hush1hush@db.example/news";

fn told(value: &(impl Display + Debug)) -> String {
    format!("{value}\n{value:#}\n{value:?}\n{value:#?}")
}

fn chain(error: &Error) -> String {
    let causes = std::iter::successors(error.source(), |cause: &&dyn StdError| (*cause).source());
    causes.fold(told(error), |text, cause| text + &told(&cause))
}

/// Everything that can be read of settings, or of what is wrong with them.
fn shown(url: Option<&str>, variables: &[(&str, &str)]) -> String {
    let overrides = Overrides { url: url.map(Into::into), ..Overrides::default() };
    let env = |name: &str| {
        variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
    };
    match PgSettings::load(&overrides, env) {
        Ok(settings) => {
            let effective: String = settings.effective().iter().map(told).collect();
            format!("{effective}{settings:?}{overrides:?}{}", told(&settings.server))
        }
        Err(faults) => {
            let each: String = faults.iter().map(told).collect();
            each + &told(&faults) + &chain(&Error::invalid(faults))
        }
    }
}

/// The parameter in both forms of a connection string, with nothing else amiss, and beside another fault.
fn strings(parameter: &str, value: &str) -> [String; 4] {
    let coded = value.replace('@', "%40").replace(' ', "%20").replace('\0', "%00");
    [
        format!("postgresql://db.example/news?{parameter}={coded}"),
        format!("postgresql://db.example/news?pool_timeout=x&{parameter}={coded}&sslmode=x"),
        format!("host=db.example {parameter}='{value}'"),
        format!("{parameter} = {value} host=db.example port=x"),
    ]
}

#[track_caller]
fn assert_hidden(url: Option<&str>, variables: &[(&str, &str)]) {
    let shown = shown(url, variables);
    assert!(!shown.contains("hush"), "{url:?} {variables:?}\n{shown}");
}

#[test]
fn values_of_refused_and_secret_parameters_are_not_shown() {
    let refused = PARAMETERS.iter().filter(|(_, support)| matches!(support, Support::Refused(_)));
    for name in refused.map(|(name, _)| *name).chain(["password"]) {
        for url in strings(name, MARKER) {
            assert_hidden(Some(&url), &[]);
            assert_hidden(None, &[("DATABASE_URL", &url)]);
        }
        // The rest of a value with a blank, or with a `&`, is taken for a parameter of its own.
        assert_hidden(Some(&format!("host=db.example {name}=my hush1hush=x")), &[]);
        assert_hidden(Some(&format!("postgresql://db.example/news?{name}=my&hush1hush=x")), &[]);
    }
}

#[test]
fn start_up_options_are_not_shown() {
    for options in [format!("--statement-timeout={MARKER}"), format!("-capp.token={MARKER}\0")] {
        for url in strings("options", &options) {
            assert_hidden(Some(&url), &[]);
        }
        assert_hidden(None, &[("PGHOST", "db.example"), ("PGOPTIONS", &options)]);
    }
}

#[test]
fn a_connection_string_in_the_place_of_another_value_is_not_shown() {
    for (name, _) in &PARAMETERS {
        for url in strings(name, PASTED) {
            assert_hidden(Some(&url), &[]);
        }
    }
    let without_scheme = "app:hush1hush@db.example";
    for url in strings("host", without_scheme) {
        assert_hidden(Some(&url), &[]);
    }
    for variable in server_variables() {
        assert_hidden(None, &[("PGHOST", "db.example"), (variable, PASTED)]);
        // Anything else may be called so.
        if variable.contains("HOST") {
            assert_hidden(None, &[(variable, without_scheme)]);
        }
    }
}

#[test]
fn values_of_unknown_parameters_are_not_shown() {
    let known = PARAMETERS.iter().map(|(name, _)| *name);
    let of_pool = settings().iter().flat_map(|setting| setting.url).map(|spelling| spelling.name);
    for name in known.chain(of_pool) {
        for misspelled in [format!("{name}_"), name.to_uppercase(), format!("x{name}")] {
            for url in strings(&misspelled, MARKER) {
                assert_hidden(Some(&url), &[]);
            }
        }
    }
}

#[test]
fn passwords_are_not_shown_wherever_they_were_put() {
    for variable in server_variables().filter(|name| name.ends_with("PASSWORD")) {
        assert_hidden(None, &[("DATABASE_URL", "postgresql://db.example/news"), (variable, MARKER)]);
        assert_hidden(None, &[("POSTGRES_HOST", "db.example"), ("DB_POOL_SIZE", "x"), (variable, MARKER)]);
    }
    let host = ("POSTGRES_HOST", "db.example");
    // Names are to be seen, on the server too.
    let is_name = |key: Key| matches!(key, Key::AppName | Key::Fleet | Key::Name);
    for setting in settings().iter().filter(|setting| !is_name(setting.key)) {
        for spelling in setting.env {
            assert_hidden(None, &[host, (spelling.name, PASTED)]);
        }
        for spelling in setting.url {
            let value = PASTED.replace('@', "%40");
            assert_hidden(Some(&format!("postgresql://db.example/news?{}={value}", spelling.name)), &[]);
        }
    }
}
