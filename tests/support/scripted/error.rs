//! The error of a scripted call.

use std::error::Error;
use std::fmt;

use tierpool::FailureClass;

/// An error with the class and the code that [`ScriptedDriver`](super::ScriptedDriver) reports for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptedError {
    /// What it says about the next attempt.
    pub class: FailureClass,
    /// In place of an SQLSTATE.
    pub code: Option<String>,
    text: String,
}

impl ScriptedError {
    /// An error of a class, with a text and no code.
    pub fn new(class: FailureClass, text: impl Into<String>) -> Self {
        ScriptedError { class, code: None, text: text.into() }
    }

    /// An error worth trying again after.
    pub fn transient(text: impl Into<String>) -> Self {
        Self::new(FailureClass::Transient, text)
    }

    /// The refusal of a server that has no connection left, 53300.
    pub fn exhausted() -> Self {
        Self::new(FailureClass::Exhausted, "too many connections").with_code("53300")
    }

    /// The refusal of a wrong password, 28P01.
    pub fn permanent() -> Self {
        Self::new(FailureClass::Permanent, "wrong password").with_code("28P01")
    }

    /// Gives it a code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
}

impl fmt::Display for ScriptedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for ScriptedError {}
