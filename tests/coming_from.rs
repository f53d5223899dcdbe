//! Every name of the guide for users of other pools is a search word of the documentation or a name of ours, and every
//! variable is one that is read.
#![cfg(feature = "postgres")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use support::cluster::cluster;
use support::scripted::{Call, ScriptedError, ScriptedManager, Step, built};
use support::wait::{BOUND, MS, SECOND, eventually};
use support::wire::{manager, open};
use tierpool::config::{Overrides, PgSettings, Unit, settings};
use tierpool::{BreakerState, Builder, Clock, PgError, Pool, WaitMode};

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
        let set = [format!("fn {name}("), format!("        {name}: "), format!("    {name},\n")];
        declared.iter().chain(&set).any(|form| source.contains(form.as_str()))
    };
    let spelled: Vec<_> =
        settings().iter().flat_map(|setting| setting.env.iter().chain(setting.url)).collect();
    let is_read = |name: &str| spelled.iter().any(|spelling| spelling.name == name);
    let is_word = |text: &str| {
        let mut units = spelled.iter().map(|spelling| spelling.unit);
        units.any(|unit| !matches!(unit, Unit::Text | Unit::Url) && unit.parse(text).is_some())
    };
    let rows: Vec<Vec<&str>> = guide
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .filter(|row: &Vec<&str>| row.len() == 3)
        .collect();
    assert!(rows.len() > 50, "the tables were not found");
    for row in &rows {
        for name in quoted(row[0]) {
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
            let is_there = is_ours(item)
                || is_read(item)
                || is_word(item)
                || item.starts_with("DB_")
                || item == "POSTGRES_HOST";
            assert!(is_there, "{item} is none of ours: {row:?}");
        }
    }
    let told: BTreeSet<&str> = rows.iter().flat_map(|row| quoted(row[0])).collect();
    for name in ["pool_recycle", "maximumPoolSize", "poolName", "MaxConns", "stmtcachesize", "dispose"] {
        assert!(aliases.contains(name) && told.contains(name), "{name}");
    }
}

/// A pool with the name of the guide's and one connection.
fn small(change: impl FnOnce(Builder<ScriptedManager>) -> Builder<ScriptedManager>) -> Pool<ScriptedManager> {
    built(change(Pool::builder().name("automation").max_size(1).connection_timeout(SECOND))).1
}

/// The errors that the guide shows, as they are printed.
fn errors_of_pools() -> Vec<String> {
    let (patient, hasty) =
        (small(|pool| pool.max_waiting(Some(1))), small(|pool| pool.wait_mode(WaitMode::NoWait)));
    let held = [patient.get().unwrap(), hasty.get().unwrap()];
    let mut told = vec![hasty.get().unwrap_err().to_string()];
    let waiter = thread::spawn({
        let patient = patient.clone();
        move || patient.get().unwrap_err().to_string()
    });
    eventually(BOUND, "one waits", || patient.gauges().waiting == 1);
    told.push(patient.get().unwrap_err().to_string());
    told.push(waiter.join().unwrap());
    drop(held);

    let (clock, hand) = Clock::manual();
    let manager = ScriptedManager::new();
    manager.always(Call::Connect, Step::err(ScriptedError::transient("connection refused")));
    let broken = Pool::builder().name("automation").max_size(1).failure_threshold(1).clock(clock);
    let broken = broken.min_idle(Some(0)).build_unchecked(manager);
    eventually(BOUND, "the circuit opens", || {
        broken.get_timeout(MS).unwrap_err();
        broken.stats().breaker == BreakerState::Open
    });
    hand.advance(4 * SECOND);
    told.push(broken.get().unwrap_err().to_string());
    told
}

fn errors_of_the_server() -> Vec<String> {
    let cluster = cluster();
    let mut conn = open(&manager(&cluster.url(), |options| options.statement_timeout = Some(20 * MS)));
    let statements = ["SELECT pg_sleep(60)", "SELECT pg_terminate_backend(pg_backend_pid())"];
    statements.map(|sql| PgError::from(conn.batch_execute(sql).unwrap_err()).to_string()).into()
}

/// Each number is a `#`.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        let follows = shown.ends_with('#');
        match c {
            c if c.is_ascii_digit() && follows => {}
            c if c.is_ascii_digit() => shown.push('#'),
            c => shown.push(c),
        }
    }
    shown.replace("#.#", "#")
}

/// Whether a text begins with the pieces of the pattern, in their order: `…` stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('…').enumerate().all(|(i, piece)| match rest.find(piece) {
        Some(at) if at == 0 || i > 0 => {
            rest = &rest[at + piece.len()..];
            true
        }
        _ => false,
    })
}

#[test]
fn the_texts_that_it_promises_are_those_of_the_errors() {
    let guide = read("src/guide/coming_from.md");
    let texts = guide.split("# Error texts").nth(1).and_then(|rest| rest.split("\n# ").next()).unwrap();
    // Code with a backtick in it has two around it.
    let shown = |cell: &str| match cell.split("``").nth(1) {
        Some(text) => Some(text.to_owned()),
        None => quoted(cell).find(|text| text.contains(' ')).map(str::to_owned),
    };
    let rows = texts.lines().filter(|line| line.starts_with("| `"));
    let promised: Vec<_> =
        rows.filter_map(|row| shown(row.split(" | ").nth(1)?)).map(|text| without_numbers(&text)).collect();
    let told: Vec<_> = [errors_of_pools(), errors_of_the_server()].concat();
    assert_eq!(promised.len(), told.len(), "{promised:#?} {told:#?}");
    for error in told {
        let like = promised.iter().filter(|pattern| is_like(&without_numbers(&error), pattern)).count();
        assert_eq!(like, 1, "{error}: {promised:#?}");
    }
}

#[test]
fn what_it_says_of_connection_strings_is_what_their_faults_say() {
    let guide = read("src/guide/coming_from.md");
    let strings =
        guide.split("# Connection strings").nth(1).and_then(|rest| rest.split("\n# ").next()).unwrap();
    let load = |text: &str| {
        let mut overrides = Overrides::default();
        overrides.url = Some(text.into());
        PgSettings::load(&overrides, |_| None)
    };
    let mut tried = 0;
    for row in strings.lines().filter(|line| line.starts_with("| `")) {
        let (theirs, ours) = row.split_once(" | ").unwrap();
        for text in quoted(theirs) {
            let name = text.trim_matches(['?', '=']);
            let text = if text.starts_with('?') {
                format!("postgresql://h/d{text}x")
            } else {
                text.replace('…', "h/d")
            };
            let faults = load(&text).expect_err(&text).to_string();
            let is_told = quoted(ours).any(|word| faults.contains(word.trim_matches(['?', '=', '…'])));
            assert!(is_told || faults.contains("leave it out"), "{name}: {faults}");
            assert!(!faults.contains("must be one of"), "{name}: {faults}");
            tried += 1;
        }
    }
    assert_eq!(tried, 13);
}
