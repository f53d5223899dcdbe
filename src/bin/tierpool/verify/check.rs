//! A check with what it found, and the verdict on all of them.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::outcome::Code;

/// The columns of what to do, where there are words to break it at.
const TODO_WIDTH: usize = 80;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and is hardly meant so.
    Warn,
    /// It does not do what the settings promise.
    Fail,
    /// It could not be looked at.
    Unknown,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Ok => "OK",
            State::Warn => "WARN",
            State::Fail => "FAIL",
            State::Unknown => "UNKNOWN",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub state: State,
    pub found: String,
    /// What would do, where that is not plain.
    pub allowed: Option<String>,
    /// What to do about it, where something is to be done.
    pub todo: Option<String>,
}

impl Check {
    /// As it should be.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Check { name, state: State::Ok, found: found.into(), allowed: None, todo: None }
    }

    /// Anything else, with what to do.
    pub fn bad(name: &'static str, state: State, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Check { todo: Some(todo.into()), state, ..Check::ok(name, found) }
    }

    /// The same with what would do.
    pub fn allowed(self, allowed: impl Into<String>) -> Self {
        Check { allowed: Some(allowed.into()), ..self }
    }

    fn json(&self) -> Value {
        json!({
            "check": self.name,
            "state": self.state.word(),
            "found": self.found,
            "allowed": self.allowed,
            "todo": self.todo,
        })
    }
}

/// All that was looked at, and for what.
#[derive(Clone, Debug)]
pub struct Report {
    pub server: String,
    pub profile: String,
    pub budget: Budget,
    pub checks: Vec<Check>,
}

/// What the settings promise.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub total: u32,
    pub base_size: u32,
    pub overflow: u32,
    pub reserved: u32,
}

impl Report {
    fn count(&self, state: State) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }

    /// A fault that was found is one, whatever could not be looked at besides.
    pub fn code(&self) -> Code {
        match (self.count(State::Fail), self.count(State::Unknown)) {
            (0, 0) => Code::Good,
            (0, _) => Code::Untold,
            _ => Code::Bad,
        }
    }

    /// The last line.
    pub fn verdict(&self) -> String {
        let (failed, unknown) = (self.count(State::Fail), self.count(State::Unknown));
        let all = format!("OF {} {}", self.checks.len(), plural(self.checks.len(), "CHECK"));
        let mut verdict = match (failed, unknown) {
            (0, 0) => "ALL CHECKS PASSED".to_owned(),
            (0, _) => format!("{unknown} {all} COULD NOT BE MADE"),
            (_, 0) => format!("{failed} {all} FAILED"),
            _ => format!("{failed} {all} FAILED, {unknown} COULD NOT BE MADE"),
        };
        let warnings = self.count(State::Warn);
        if warnings > 0 {
            let _ = write!(verdict, ", {warnings} {}", plural(warnings, "WARNING"));
        }
        verdict
    }

    /// A line a check, and below it what to do.
    pub fn text(&self) -> String {
        let Budget { total, base_size, overflow, reserved } = self.budget;
        let mut text = format!(
            "Server: {}\nBudget: {total} connections: {base_size} + {overflow} for automation, {reserved} for ad-hoc \
             (profile {})\n\n",
            self.server, self.profile
        );
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
        for Check { name, state, found, allowed, todo } in &self.checks {
            let allowed = allowed.as_ref().map(|allowed| format!("; allowed: {allowed}")).unwrap_or_default();
            let _ = writeln!(text, "{:7}  {name:width$}  {found}{allowed}", state.word());
            for (at, line) in todo.iter().flat_map(|todo| wrapped(todo)).enumerate() {
                let head = if at == 0 { "do:" } else { "" };
                let _ = writeln!(text, "{:9}{:width$}  {head:3} {line}", "", "");
            }
        }
        let _ = write!(text, "\nVERDICT: {}", self.verdict());
        text
    }

    /// The same for scripts.
    pub fn json(&self) -> Value {
        let Budget { total, base_size, overflow, reserved } = self.budget;
        json!({
            "server": self.server,
            "profile": self.profile,
            "budget": {
                "total_connections": total,
                "base_size": base_size,
                "max_overflow": overflow,
                "reserved": reserved,
            },
            "checks": self.checks.iter().map(Check::json).collect::<Value>(),
            "verdict": self.verdict(),
            "code": self.code() as u8,
        })
    }
}

/// A text in lines of whole words.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < TODO_WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}S") }
}

/// A limit in words: whole seconds where it is some.
pub fn time(limit: Duration) -> String {
    match (limit.as_secs(), limit.subsec_nanos()) {
        (seconds, 0) => format!("{seconds} s"),
        _ => format!("{} ms", limit.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(states: &[State]) -> Report {
        let check = |state: &State| match state {
            State::Ok => Check::ok("pool", "12"),
            state => Check::bad("a long name", *state, "7", "more").allowed("at least 12"),
        };
        Report {
            server: "postgresql://app@db.example:5432/news".into(),
            profile: "batch".into(),
            budget: Budget { total: 60, base_size: 50, overflow: 5, reserved: 5 },
            checks: states.iter().map(check).collect(),
        }
    }

    #[test]
    fn the_verdict_counts_and_a_fault_outweighs_what_could_not_be_told() {
        use State::{Fail, Ok, Unknown, Warn};
        for (states, verdict, code) in [
            (&[Ok, Ok][..], "ALL CHECKS PASSED", Code::Good),
            (&[Ok, Warn], "ALL CHECKS PASSED, 1 WARNING", Code::Good),
            (&[Ok, Unknown], "1 OF 2 CHECKS COULD NOT BE MADE", Code::Untold),
            (&[Fail, Fail, Unknown], "2 OF 3 CHECKS FAILED, 1 COULD NOT BE MADE", Code::Bad),
            (&[Fail, Warn, Warn], "1 OF 3 CHECKS FAILED, 2 WARNINGS", Code::Bad),
        ] {
            let report = report(states);
            assert_eq!((report.verdict().as_str(), report.code()), (verdict, code), "{states:?}");
        }
    }

    #[test]
    fn text_and_json_say_the_same() {
        let report = report(&[State::Ok, State::Fail]);
        assert_eq!(
            report.text(),
            "Server: postgresql://app@db.example:5432/news\n\
             Budget: 60 connections: 50 + 5 for automation, 5 for ad-hoc (profile batch)\n\n\
             OK       pool         12\n\
             FAIL     a long name  7; allowed: at least 12\n\
             \x20                     do: more\n\n\
             VERDICT: 1 OF 2 CHECKS FAILED"
        );
        let json = report.json();
        assert_eq!((&json["verdict"], &json["code"]), (&"1 OF 2 CHECKS FAILED".into(), &1.into()));
        let failed = &json["checks"][1];
        assert_eq!((&failed["state"], &failed["todo"]), (&"FAIL".into(), &"more".into()));
        assert_eq!(json["checks"][0]["allowed"], Value::Null);
    }

    #[test]
    fn long_texts_are_broken_between_words() {
        let text = "some words of five ".repeat(20);
        let lines = wrapped(text.trim_end());
        assert!(lines.len() > 4 && lines.iter().all(|line| line.len() <= TODO_WIDTH), "{lines:?}");
        assert_eq!(lines.join(" "), text.trim_end());
        assert_eq!(wrapped(&"x".repeat(200)), ["x".repeat(200)]);
    }

    #[test]
    fn times_are_told_in_whole_seconds_where_they_are_some() {
        let told = |ms| time(Duration::from_millis(ms));
        assert_eq!([told(0), told(1500), told(30_000)], ["0 s", "1500 ms", "30 s"]);
    }
}
