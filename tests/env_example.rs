//! `.env.example`, the README's table and the table of settings say the same.
#![cfg(feature = "postgres")]

#[path = "../examples/dotenv/mod.rs"]
mod dotenv;

use std::collections::BTreeMap;
use std::process::Command;

use tierpool::config::{Key, Overrides, PgSettings, profiles, server_variables, settings};

/// The variables that the endpoints read by themselves, whether or not this build has them.
fn of_http() -> impl Iterator<Item = &'static str> {
    let source = include_str!("../src/http/token.rs");
    source.split('"').filter(|text| text.starts_with("DB_") && !text.contains(' '))
}

#[test]
fn the_example_file_has_every_variable_and_loads() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).unwrap();
    let mut given = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line = line.strip_prefix('#').unwrap_or_else(|| panic!("not a comment: {line}"));
        if line.starts_with(' ') {
            continue;
        }
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("not NAME=value: {line}"));
        assert!(given.insert(name.to_owned(), value.to_owned()).is_none(), "{name} is there twice");
    }
    let table = settings().iter().flat_map(|setting| setting.env).map(|spelling| spelling.name);
    let mut known: Vec<String> =
        table.chain(server_variables()).chain(of_http()).map(str::to_owned).collect();
    known.sort();
    assert_eq!(given.keys().cloned().collect::<Vec<_>>(), known);
    let loaded = PgSettings::load(&Overrides::default(), |name| given.get(name).cloned());
    let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
    // What the file shows for the pool are the defaults, but for the bound on the queue.
    assert_eq!(loaded.automation.ceiling(), 55);
    assert!(given["DB_POOL_HTTP_TOKEN"].len() >= 16, "too short to be taken");
    given.remove("DATABASE_URL");
    given.remove("SUPABASE_URL");
    assert!(PgSettings::load(&Overrides::default(), |name| given.get(name).cloned()).is_ok());
}

/// Says that this process is to read `.env`.
const READS: &str = "TIERPOOL_TEST_READS_ENV";

/// No test of its own: a program that reads `.env`, as a child process.
#[test]
fn reads_the_file_as_a_child() {
    if std::env::var_os(READS).is_none() {
        return;
    }
    match dotenv::read() {
        Ok(()) => match PgSettings::from_env(&Overrides::default()) {
            Ok(settings) => settings.effective().iter().for_each(|row| println!("{row}")),
            Err(faults) => println!("{faults}"),
        },
        Err(error) => println!("{error}"),
    }
}

/// What a child prints in a folder with this file and this variable.
fn child(file: Option<&str>, (name, value): (&str, &str)) -> String {
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = file {
        std::fs::write(folder.path().join(".env"), text).unwrap();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "reads_the_file_as_a_child", "--nocapture"]).current_dir(folder.path());
    for variable in settings().iter().flat_map(|row| row.env).map(|row| row.name).chain(server_variables()) {
        command.env_remove(variable);
    }
    let output = command.env(READS, "1").env(name, value).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_examples_read_the_file_and_the_environment_wins() {
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).unwrap();
    let used =
        example.replace("#DATABASE_URL=", "DATABASE_URL=").replace("#DB_POOL_SIZE=50", "DB_POOL_SIZE=40");
    let told = child(Some(&used), ("DB_MAX_OVERFLOW", "9"));
    for row in [
        "url = postgresql://scraper@localhost:5432/news (environment DATABASE_URL)",
        "base_size = 40 (environment DB_POOL_SIZE)",
        "max_overflow = 9 (environment DB_MAX_OVERFLOW)",
    ] {
        assert!(told.contains(row), "{told}");
    }
    assert!(child(Some(&used), ("DB_POOL_SIZE", "7")).contains("base_size = 7 "));
    assert!(child(None, ("DATABASE_URL", "postgresql://u@h/d")).contains("base_size = 50 (default)"));
    let broken = child(Some("POSTGRES_PASSWORD='hush\n"), ("PGHOST", "h"));
    assert!(broken.contains("a line of .env is not NAME=value") && !broken.contains("hush"), "{broken}");
}

/// Below the heading of the README's table: its rows, as cells.
fn rows_below<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    text.lines()
        .skip_while(|line| !line.starts_with(heading))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).skip(1).collect())
        .collect()
}

#[test]
fn the_readme_has_the_figures_of_every_profile() {
    const COLUMNS: [Key; 8] = [
        Key::MinSize,
        Key::BaseSize,
        Key::MaxOverflow,
        Key::ConnectionTimeout,
        Key::MaxLifetime,
        Key::StatementTimeout,
        Key::ConnectTimeout,
        Key::StatementCacheSize,
    ];
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows =
        rows_below(&text, "| profile | kept open | base size | overflow | checkout timeout | lifetime |");
    let names: Vec<_> = rows.iter().map(|row| row[0].replace('`', "")).collect();
    assert_eq!(names, profiles().iter().map(|profile| profile.name).collect::<Vec<_>>());
    for (row, profile) in rows.iter().zip(profiles()) {
        for (cell, key) in row[1..].iter().zip(COLUMNS) {
            let figure = profile.value(key).map(ToString::to_string).unwrap_or_default();
            assert_eq!(*cell, figure, "{} of {}", key.setting().name, profile.name);
        }
        for (key, value) in profile.overrides.iter().filter(|(key, _)| !COLUMNS.contains(key)) {
            assert_eq!(
                value.to_string(),
                key.setting().default.to_string(),
                "{profile} has no column for it"
            );
        }
    }
}

/// What the README's table says of each setting: its variables, its URL parameters, its method of the builder.
#[test]
fn the_readme_has_a_row_for_every_setting_with_all_its_names_and_its_default() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows = rows_below(&text, "| what | environment | URL parameter | builder |");
    let has = |cell: &str, name: &str| cell.split('`').any(|part| part == name);
    for setting in settings() {
        let row = rows
            .iter()
            .find(|row| has(row[3], setting.name) && setting.env.iter().all(|v| has(row[1], v.name)));
        let row =
            row.unwrap_or_else(|| panic!("no row with the variables and the method of {}", setting.name));
        for parameter in setting.url {
            assert!(has(row[2], parameter.name), "{} is not in {row:?}", parameter.name);
        }
        let (told, is) = (row[4].replace('`', ""), setting.default.to_string());
        assert!(told.starts_with(&is), "{}: {told}, and the code says {is}", setting.name);
    }
}
