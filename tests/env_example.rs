//! `.env.example`, the README's table and the table of settings say the same.
#![cfg(feature = "postgres")]

use std::collections::BTreeMap;

use tierpool::config::{Overrides, PgSettings, server_variables, settings};

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
    let mut known: Vec<String> = table.chain(server_variables()).map(str::to_owned).collect();
    known.sort();
    assert_eq!(given.keys().cloned().collect::<Vec<_>>(), known);
    let loaded = PgSettings::load(&Overrides::default(), |name| given.get(name).cloned());
    let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
    // What the file shows for the pool are the defaults, but for the bound on the queue.
    assert_eq!(loaded.automation.ceiling(), 55);
    given.remove("DATABASE_URL");
    given.remove("SUPABASE_URL");
    assert!(PgSettings::load(&Overrides::default(), |name| given.get(name).cloned()).is_ok());
}

#[test]
fn the_readme_has_every_setting_with_its_variables_its_method_and_its_default() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows: Vec<Vec<_>> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    for setting in settings() {
        let method = format!("`{}`", setting.name);
        let says_it = |row: &&Vec<&str>| {
            let variables = setting.env.iter().map(|spelling| format!("`{}`", spelling.name));
            row.len() == 4 && row[2] == method && variables.into_iter().all(|name| row[1].contains(&name))
        };
        let row = rows.iter().find(says_it).unwrap_or_else(|| panic!("no row for {}", setting.name));
        assert_eq!(row[3].replace('`', ""), setting.default.to_string(), "{}", setting.name);
    }
}
