//! Loading settings from an environment that a test makes up.
#![allow(dead_code)] // Each test program uses a part.

use tierpool::config::{Faults, Overrides, PgSettings};

pub const URL: &str = "postgresql://scraper:hush@db.example/news";

/// Loads with `DATABASE_URL` set to a good one, and these variables.
pub fn load(env: &[(&str, &str)]) -> Result<PgSettings, Faults> {
    let mut all = vec![("DATABASE_URL", URL)];
    all.retain(|(name, _)| !env.iter().any(|(other, _)| other == name));
    all.extend_from_slice(env);
    load_only(&Overrides::default(), &all)
}

pub fn load_only(overrides: &Overrides, env: &[(&str, &str)]) -> Result<PgSettings, Faults> {
    PgSettings::load(overrides, |name| {
        env.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned())
    })
}

pub fn with_query(query: &str) -> Result<PgSettings, Faults> {
    load(&[("DATABASE_URL", &format!("{URL}?{query}"))])
}

pub fn faults(loaded: Result<PgSettings, Faults>) -> Vec<String> {
    let faults = loaded.map(|settings| format!("{settings:?}")).expect_err("there should be faults");
    faults.iter().map(ToString::to_string).collect()
}

#[track_caller]
pub fn one_fault(loaded: Result<PgSettings, Faults>, parts: &[&str]) {
    let faults = faults(loaded);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    for part in parts {
        assert!(faults[0].contains(part), "`{part}` is not in: {}", faults[0]);
    }
}
