//! Exit codes, and failures that end a command.

use std::fmt;
use std::process::ExitCode;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// What was asked for is well.
    Good,
    /// It is not.
    Bad,
    /// It could not be told: options or settings that cannot be used, a server that does not answer.
    Untold,
    /// Ctrl-C has ended it: what a shell says of such a program.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}

/// Why a command could not do what it was asked for: one line, or several of one cause.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// A failure in words.
    pub fn new(what: impl fmt::Display) -> Self {
        Failure(what.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
