//! The command `config`: the settings in force, and where each came from.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tierpool::config::{
    Effective, Fault, Faults, Key, Overrides, PgSettings, Source, server_variables, settings,
};

use crate::arguments::ConfigOptions;
use crate::environment::Environment;
use crate::outcome::{Code, Failure};
use crate::output;
use crate::table::Table;

/// What variables of the library begin with: one that does and is not known is misspelt.
const FAMILIES: [&str; 2] = ["DB_", "DATABASE_"];

/// Those that are no settings of a pool, but of the endpoints.
const ELSEWHERE: [&str; 2] = ["DB_POOL_HTTP_TOKEN", "DB_POOL_HTTP_TOKEN_FILE"];

/// Misspelt names that are told: variables of other programs may begin so as well.
const MOST_UNKNOWN: usize = 20;

/// Prints the settings. Asks no server.
pub fn run(options: &ConfigOptions) -> Result<Code, Failure> {
    let environment = Environment::read()?;
    let loaded = PgSettings::from_env(&Overrides::default());
    // A pool of these settings would be refused for the faults of its fleet too.
    match loaded.and_then(|settings| tierpool::fleet::budget(&settings).map(|_| settings)) {
        Ok(settings) => {
            let told = Told::of(&settings, &environment, options.env);
            if options.json {
                output::print_json(&told.json())?
            } else {
                output::print(told.text())?
            };
            Ok(if told.warnings.is_empty() { Code::Good } else { Code::Bad })
        }
        Err(faults) if options.json => {
            output::print_json(&json!({ "faults": of_faults(&faults) }))?;
            Ok(Code::Untold)
        }
        Err(faults) => Err(unusable(&faults)),
    }
}

/// The failure of settings that cannot be used, a line each.
pub fn unusable(faults: &Faults) -> Failure {
    Failure::new(format_args!("the settings cannot be used:\n{faults:#}"))
}

/// The same for scripts.
pub fn of_faults(faults: &Faults) -> Value {
    faults.iter().map(of_fault).collect()
}

fn of_fault(fault: &Fault) -> Value {
    json!({ "setting": fault.setting, "found": fault.found, "rule": fault.rule })
}

/// Everything that is told of settings.
struct Told {
    rows: Vec<Row>,
    warnings: Vec<String>,
    /// Where they were asked for.
    variables: Option<Vec<Variable>>,
}

/// A setting in force.
struct Row {
    name: &'static str,
    value: String,
    source: String,
}

impl Row {
    fn json(&self) -> Value {
        json!({ "name": self.name, "value": self.value, "source": self.source })
    }
}

/// A variable that is set.
#[derive(Debug, PartialEq, Eq)]
struct Variable {
    name: String,
    from: String,
    effect: Effect,
}

impl Variable {
    fn json(&self) -> Value {
        let effect = format!("{:?}", self.effect).to_lowercase();
        json!({ "name": self.name, "from": self.from, "effect": effect })
    }
}

/// What a variable that is set does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// A value in force came from it.
    Counts,
    /// Another source of the same setting is stronger, or it adds to one that is.
    Beside,
    /// No setting has this name.
    Unknown,
}

impl Effect {
    fn words(self) -> &'static str {
        match self {
            Effect::Counts => "counts",
            Effect::Beside => "known; what it is for has its value from elsewhere",
            Effect::Unknown => "not known: misspelt?",
        }
    }
}

impl Told {
    fn of(settings: &PgSettings, environment: &Environment, with_variables: bool) -> Told {
        let effective = settings.effective();
        let row = |Effective { setting, value, source, .. }: &Effective| {
            let file = match source {
                Source::Environment { variable } => environment.origin(variable),
                _ => None,
            };
            let file = file.map(|file| format!(", from {file}")).unwrap_or_default();
            // The name of this program's file is none of the application's.
            let is_program = setting.key == Key::AppName && *source == Source::Default;
            let value = if is_program { "each program's own".to_owned() } else { value.clone() };
            Row { name: setting.name, value, source: format!("{source}{file}") }
        };
        Told {
            rows: effective.iter().map(row).collect(),
            warnings: settings.warnings(),
            variables: with_variables
                .then(|| variables(&effective, environment, set_names(), &shapes_server)),
        }
    }

    fn text(&self) -> String {
        let mut table = Table::new(&["setting", "value", "where it came from"]);
        for Row { name, value, source } in &self.rows {
            table.row(vec![(*name).to_owned(), value.clone(), source.clone()]);
        }
        let mut text = table.to_string();
        if let Some(variables) = &self.variables {
            let mut table = Table::new(&["variable", "set in", "effect"]);
            for Variable { name, from, effect } in variables {
                table.row(vec![name.clone(), from.clone(), effect.words().to_owned()]);
            }
            let none = "no variable of the library is set".to_owned();
            text += &format!("\n\n{}", if table.is_empty() { none } else { table.to_string() });
        }
        for warning in &self.warnings {
            text += &format!("\n\nwarning: {warning}");
        }
        text
    }

    fn json(&self) -> Value {
        let variables = self.variables.as_ref();
        json!({
            "settings": self.rows.iter().map(Row::json).collect::<Value>(),
            "warnings": self.warnings,
            "variables": variables.map(|all| all.iter().map(Variable::json).collect::<Value>()),
        })
    }
}

/// The names of all variables of this process; what is not UTF-8 is none of the library's.
fn set_names() -> BTreeSet<String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
}

/// Whether the server would be another one, or reached otherwise, without a variable. What is compared is not shown.
fn shapes_server(variable: &str) -> bool {
    let with = |left_out: Option<&str>| {
        let env = |name: &str| (Some(name) != left_out).then(|| std::env::var(name).ok()).flatten();
        PgSettings::load(&Overrides::default(), env).ok().map(|settings| {
            let server = &settings.server;
            let password = server.config().get_password().map(<[u8]>::to_vec);
            (format!("{:?} {:?} {:?}", server.tls(), server.session_attrs(), server.config()), password)
        })
    };
    with(None) != with(Some(variable))
}

/// Of the variables that are set, those that the library knows or that look as if it should. Their values are not told:
/// what is in force stands with its setting.
fn variables(
    effective: &[Effective],
    environment: &Environment,
    set: BTreeSet<String>,
    shapes_server: &dyn Fn(&str) -> bool,
) -> Vec<Variable> {
    let counting: BTreeSet<_> = effective
        .iter()
        .filter_map(|row| match row.source {
            Source::Environment { variable } => Some(variable),
            _ => None,
        })
        .collect();
    let spelled = settings().iter().flat_map(|setting| setting.env).map(|spelling| spelling.name);
    let known: BTreeSet<_> = spelled.chain(server_variables()).chain(ELSEWHERE).collect();
    let mut unknown = 0;
    let variable = |name: String| {
        let is_of_server = server_variables().any(|known| known == name);
        let effect = if counting.contains(&*name) || (is_of_server && shapes_server(&name)) {
            Effect::Counts
        } else if known.contains(&*name) {
            Effect::Beside
        } else if FAMILIES.iter().any(|family| name.starts_with(family)) && unknown < MOST_UNKNOWN {
            unknown += 1;
            Effect::Unknown
        } else {
            return None;
        };
        let from = environment.origin(&name).unwrap_or_else(|| "the environment".to_owned());
        Some(Variable { name: name.escape_debug().to_string(), from, effect })
    };
    set.into_iter().filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded() -> PgSettings {
        let env = |name: &str| match name {
            "DATABASE_URL" => Some("postgresql://scraper:hush@db.example/news?connect_timeout=90".to_owned()),
            "DB_POOL_SIZE" => Some("20".to_owned()),
            _ => None,
        };
        PgSettings::load(&Overrides::default(), env).unwrap()
    }

    #[test]
    fn a_variable_counts_or_stands_beside_or_is_not_known() {
        let set =
            ["DATABASE_URL", "DB_POOL_SIZE", "DB_POOL_SIZ", "PGHOST", "PGSSLMODE", "HOME"].map(str::to_owned);
        let shapes = |name: &str| name == "PGSSLMODE";
        let told = variables(&loaded().effective(), &Environment::default(), set.into(), &shapes);
        let effects: Vec<_> = told.iter().map(|told| (told.name.as_str(), told.effect)).collect();
        let expected = [
            ("DATABASE_URL", Effect::Counts),
            ("DB_POOL_SIZ", Effect::Unknown),
            ("DB_POOL_SIZE", Effect::Counts),
            ("PGHOST", Effect::Beside),
            ("PGSSLMODE", Effect::Counts),
        ];
        assert_eq!(effects, expected);
    }

    #[test]
    fn text_and_json_say_the_same_and_no_secret() {
        let told = Told::of(&loaded(), &Environment::default(), false);
        let (text, json) = (told.text(), told.json());
        assert_eq!(json["settings"].as_array().unwrap().len(), settings().len());
        let warning = json["warnings"][0].as_str().unwrap();
        assert!(text.contains(warning) && warning.contains("connect_timeout is 90 s"), "{text}");
        let base = text.lines().find(|line| line.starts_with("base_size ")).unwrap();
        assert!(base.contains(" 20 ") && base.ends_with("environment DB_POOL_SIZE"), "{base}");
        assert!(!text.contains("hush") && !json.to_string().contains("hush"));
    }
}
