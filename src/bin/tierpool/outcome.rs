//! Exit codes, and failures that end a command.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tierpool::PgError;

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

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        Failure::new(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Has Ctrl-C end the program from now on, with its code: for commands that change nothing that would have to be put
/// back.
pub fn end_at_interrupt() -> Result<(), Failure> {
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(
        signal_hook::consts::SIGINT,
        Code::Interrupted as i32,
        always,
    )
    .map(|_| ())
    .map_err(|error| Failure::new(format_args!("Ctrl-C cannot be waited for: {error}")))
}
