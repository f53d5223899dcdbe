//! Reads environment variables by way of a function, so that loading is pure and tests need not touch the process.

use crate::config::faults::Faults;

/// The variable holds bytes that are not UTF-8.
pub(crate) struct NotUtf8;

/// The environment to load from.
pub(crate) struct Env<'a> {
    lookup: &'a dyn Fn(&str) -> Result<Option<String>, NotUtf8>,
}

/// What an environment variable gave.
pub(crate) enum Found {
    /// Not set, or empty: `NAME=` in a file or a compose manifest is the usual way to leave a variable out.
    Nothing,
    /// Its text.
    Text(String),
    /// Something unusable, which is among the faults by now.
    Faulty,
}

impl<'a> Env<'a> {
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Result<Option<String>, NotUtf8>) -> Self {
        Env { lookup }
    }

    /// Reads one variable.
    pub(crate) fn get(&self, name: &str, faults: &mut Faults) -> Found {
        match (self.lookup)(name) {
            Ok(Some(text)) if !text.trim().is_empty() => Found::Text(text),
            Ok(_) => Found::Nothing,
            Err(NotUtf8) => {
                faults.push(name, "not valid UTF-8", "must be UTF-8 text");
                Found::Faulty
            }
        }
    }
}

/// Looks a variable up in the environment of the process.
pub(crate) fn process(name: &str) -> Result<Option<String>, NotUtf8> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(NotUtf8),
    }
}
