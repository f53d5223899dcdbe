//! The program `tierpool` as a child, with settings of a test's own and none of those of whoever runs the tests.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a run of the program has left.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Standard output, which has to be JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether a text is in what was printed anywhere.
    pub fn tells(&self, text: &str) -> bool {
        self.out.contains(text) || self.err.contains(text)
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A command in a folder: there it looks for `.env`, and below it for sockets.
pub fn tool(program: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder);
    command.env("XDG_RUNTIME_DIR", folder).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn ran(command: &mut Command) -> Ran {
    command.output().expect("the program was built with the tests").into()
}
