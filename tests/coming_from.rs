//! Every name of the guide for users of other pools is a search word of the documentation or a name of ours, and every
//! variable is one that is read.
#![cfg(feature = "postgres")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tierpool::config::settings;

/// What has no item that it could lead to.
const WITHOUT_AN_ITEM: [&str; 3] = ["echo_pool", "pool_use_lifo", "wait"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn sources(folder: &Path, texts: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, texts);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            texts.push_str(&fs::read_to_string(entry).unwrap());
        }
    }
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn each_name_of_the_tables_is_an_alias_or_a_name_of_ours() {
    let guide = read("src/guide/coming_from.md");
    let mut source = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut source);
    let aliases: BTreeSet<&str> = source
        .split("#[doc(alias(")
        .skip(1)
        .flat_map(|rest| rest.split(")]").next().unwrap().split('"').skip(1).step_by(2))
        .collect();
    let is_ours = |name: &str| {
        let declared = [format!("pub fn {name}("), format!("pub {name}: "), format!("pub struct {name}")];
        let set = [format!("fn {name}("), format!("        {name}: ")];
        declared.iter().chain(&set).any(|form| source.contains(form.as_str()))
    };
    let spelled: Vec<_> =
        settings().iter().flat_map(|setting| setting.env.iter().chain(setting.url)).collect();
    let is_read = |name: &str| spelled.iter().any(|spelling| spelling.name == name);
    let rows: Vec<Vec<&str>> = guide
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .filter(|row: &Vec<&str>| row.len() == 3)
        .collect();
    assert!(rows.len() > 50, "the tables were not found");
    for row in &rows {
        for name in quoted(row[0]).filter(|name| !WITHOUT_AN_ITEM.contains(name)) {
            assert!(aliases.contains(name) || is_ours(name), "{name} leads nowhere: {row:?}");
        }
        let variables: Vec<_> = quoted(row[1]).filter(|text| !text.starts_with("RUST_LOG")).collect();
        for variable in &variables {
            let name = variable.trim_start_matches('?').split('=').next().unwrap();
            assert!(is_read(name), "{name} is not read: {row:?}");
        }
        // What a variable sets is not said to be a matter of the program alone.
        let of_row = quoted(row[2]).next();
        let has_variable =
            settings().iter().any(|setting| Some(setting.name) == of_row && !setting.env.is_empty());
        assert!(!has_variable || !variables.is_empty(), "a variable is missing: {row:?}");
        for item in quoted(row[2]).map(|item| item.rsplit("::").next().unwrap()) {
            let is_there =
                is_ours(item) || is_read(item) || item.starts_with("DB_") || item == "POSTGRES_HOST";
            assert!(is_there, "{item} is none of ours: {row:?}");
        }
    }
    let told: BTreeSet<&str> = rows.iter().flat_map(|row| quoted(row[0])).collect();
    for name in ["pool_recycle", "maximumPoolSize", "poolName", "MaxConns", "stmtcachesize", "dispose"] {
        assert!(aliases.contains(name) && told.contains(name), "{name}");
    }
}

#[test]
fn the_texts_that_it_promises_are_those_of_the_errors() {
    let guide = read("src/guide/coming_from.md");
    let mut source = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut source);
    let texts = [
        "no connection of pool `",
        "its connection_timeout of ",
        "the queue of pool `",
        "is exhausted, and nowait waits for nobody's return",
        "the circuit breaker of pool `",
        "the statement took too long",
        "the connection was lost",
    ];
    for text in texts {
        assert!(guide.contains(text), "{text} is not in the guide");
        assert!(source.contains(text), "{text} is in no error");
    }
}
