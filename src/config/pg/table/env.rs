//! Reads environment variables by way of a function, so that loading is pure and tests need not touch the process.

use crate::config::faults::Faults;

/// The variable holds bytes that are not UTF-8.
pub(in crate::config::pg) struct NotUtf8;

/// The environment to load from.
pub(in crate::config::pg) struct Env<'a> {
    lookup: &'a dyn Fn(&str) -> Result<Option<String>, NotUtf8>,
}

/// What an environment variable gave.
pub(in crate::config::pg) enum Found {
    /// Not set, or empty: `NAME=` in a file or a compose manifest is the usual way to leave a variable out.
    Nothing,
    /// Its text.
    Text(String),
    /// Something unusable, which is among the faults by now.
    Faulty,
}

impl<'a> Env<'a> {
    pub(in crate::config::pg) fn new(lookup: &'a dyn Fn(&str) -> Result<Option<String>, NotUtf8>) -> Self {
        Env { lookup }
    }

    /// Reads one variable.
    pub(in crate::config::pg) fn get(&self, name: &str, faults: &mut Faults) -> Found {
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
pub(in crate::config::pg) fn process(name: &str) -> Result<Option<String>, NotUtf8> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(NotUtf8),
    }
}
