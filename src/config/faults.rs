//! Collects every fault of a configuration, so that one error names them all.

use std::fmt;

use crate::text::harmless;

/// One setting that cannot be used: which, what was found, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The setting as its user wrote it: a builder method, an environment variable or a URL parameter.
    pub setting: String,
    /// The value found. Never a secret: settings that hold one give `"[redacted]"`.
    pub found: String,
    /// The rule that the value breaks, with the values that are allowed.
    pub rule: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: {}", self.setting, self.found, self.rule)
    }
}

/// A list of faults under construction.
///
/// Checks push onto it and go on; only the end turns it into an error. So a user mends a configuration in one
/// round and not fault by fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Starts with no fault.
    ///
    /// ```
    /// let mut faults = tierpool::config::Faults::new();
    /// faults.push("max_size", 0, "must be at least 1");
    /// assert_eq!(faults.iter().next().unwrap().to_string(), "max_size is 0: must be at least 1");
    /// ```
    pub fn new() -> Self {
        Faults(Vec::new())
    }

    /// Adds a fault. The caller keeps secrets out of `found`.
    pub fn push(&mut self, setting: impl Into<String>, found: impl fmt::Display, rule: impl Into<String>) {
        let (setting, found, rule) = (harmless(setting.into()), harmless(found), harmless(rule.into()));
        self.0.push(Fault { setting, found, rule });
    }

    /// Adds a fault unless `holds`.
    pub fn require(&mut self, holds: bool, setting: &str, found: impl fmt::Display, rule: impl Into<String>) {
        if !holds {
            self.push(setting, found, rule);
        }
    }

    /// Takes over the faults of another list, in their order.
    pub fn extend(&mut self, other: Faults) {
        self.0.extend(other.0);
    }

    /// Takes over what is not known yet: two checks may find the same.
    #[cfg(feature = "postgres")]
    pub(crate) fn extend_new(&mut self, other: Faults) {
        for fault in other.0 {
            if !self.0.contains(&fault) {
                self.0.push(fault);
            }
        }
    }

    /// Whether nothing was found wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes them below, or behind, a headline: in a report each on a line of its own where there are several.
    pub(crate) fn write_below(&self, f: &mut fmt::Formatter<'_>, headline: &str) -> fmt::Result {
        if f.alternate() && self.0.len() > 1 {
            write!(f, "{headline}:")?;
            return self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"));
        }
        write!(f, "{headline}: {self}")
    }

    /// The faults in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One line; `{:#}` has a line for each fault.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if f.alternate() { "\n" } else { "; " };
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(between)?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}
