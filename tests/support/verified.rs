//! `tierpool verify` as a child, and what it found.

use std::process::Command;

use serde_json::Value;

use super::cluster::APP_PASSWORD;
use super::tool::{Ran, ran, tool};

/// A run of it with `--json`.
pub struct Verified {
    pub ran: Ran,
    json: Value,
}

/// A command with a folder of its own, as long as it is there.
pub fn command(program: &str, folder: &tempfile::TempDir, url: &str, arguments: &[&str]) -> Command {
    let mut command = tool(program, folder.path(), &[&["verify"], arguments].concat());
    command.env("DATABASE_URL", url);
    command
}

/// Runs it on a server, with further variables.
#[track_caller]
pub fn verified(program: &str, url: &str, variables: &[(&str, &str)]) -> Verified {
    verified_with(program, url, &[], variables)
}

/// The same with further arguments.
#[track_caller]
pub fn verified_with(program: &str, url: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Verified {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(program, &folder, url, &[&["--json"], arguments].concat());
    let ran = ran(command.envs(variables.iter().copied()));
    assert!(!ran.tells(APP_PASSWORD), "{ran:?}");
    Verified { json: ran.json(), ran }
}

impl Verified {
    /// The first check of this name.
    #[track_caller]
    pub fn check(&self, name: &str) -> &Value {
        let checks = self.json["checks"].as_array().expect("a list of checks");
        let found = checks.iter().find(|check| check["check"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {:#}", self.json))
    }

    /// The names of those with this state.
    pub fn named(&self, state: &str) -> Vec<&str> {
        let checks = self.json["checks"].as_array().expect("a list of checks");
        let with = checks.iter().filter(|check| check["state"] == state);
        with.map(|check| check["check"].as_str().expect("a name")).collect()
    }

    /// Holds that these checks failed and no others, that each says what to do, and the exit code and the verdict.
    #[track_caller]
    pub fn assert_failed(&self, names: &[&str]) {
        assert_eq!(self.named("FAIL"), names, "{:#}", self.json);
        for name in names {
            let todo = self.check(name)["todo"].as_str().unwrap_or_default();
            assert!(!todo.is_empty(), "{name}: {:#}", self.json);
        }
        let verdict = self.json["verdict"].as_str().expect("a verdict");
        assert_eq!(self.ran.code, Some(if names.is_empty() { 0 } else { 1 }), "{:#}", self.json);
        assert_eq!(verdict.starts_with("ALL CHECKS PASSED"), names.is_empty(), "{verdict}");
        assert_eq!(self.json["code"].as_i64(), self.ran.code.map(i64::from));
    }

    /// Holds that a text is in what was found by a check, in what is allowed, or in what to do.
    #[track_caller]
    pub fn assert_told(&self, name: &str, parts: &[&str]) {
        let check = self.check(name).to_string();
        for part in parts {
            assert!(check.contains(part), "{part:?} is not in {check}");
        }
    }
}
