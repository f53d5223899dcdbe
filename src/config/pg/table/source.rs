//! Where a value came from.

use std::fmt;

/// Where the value of a setting came from.
///
/// The order of the variants is the order of precedence: what comes earlier wins.
///
/// ```
/// use tierpool::config::Source;
///
/// assert_eq!(Source::Environment { variable: "DB_POOL_SIZE" }.to_string(), "environment DB_POOL_SIZE");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A call of the builder.
    Builder {
        /// The method called.
        method: &'static str,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: &'static str,
    },
    /// A parameter of the server's URL or `key=value` string.
    Url {
        /// Its name.
        parameter: &'static str,
    },
    /// A profile that was asked for.
    Profile {
        /// Its name.
        name: &'static str,
    },
    /// A default for what was found out about the server.
    Detected {
        /// What gave it away, such as `port 6543`.
        from: String,
    },
    /// What other settings leave, or come to: the budget follows the sizes, or the sizes follow the budget, and a
    /// ceiling that nobody has set follows its two parts.
    Follows {
        /// Those settings as the person who set them wrote them.
        of: String,
    },
    /// The default of the setting.
    Default,
}

impl Source {
    /// The setting `key` as the person who set it wrote it.
    pub(crate) fn spelled(&self, key: &str) -> String {
        match self {
            Source::Builder { method } => (*method).to_owned(),
            Source::Environment { variable } => (*variable).to_owned(),
            Source::Url { parameter } => format!("URL parameter {parameter}"),
            Source::Profile { .. } | Source::Detected { .. } | Source::Follows { .. } | Source::Default => {
                format!("{key} ({self})")
            }
        }
    }

    /// The source of what follows from other settings, each with its name: the default where all of them are.
    pub(crate) fn following(others: &[(&str, &Source)]) -> Source {
        let mut names: Vec<String> = vec![];
        for (key, source) in others {
            let name = match source {
                Source::Default => continue,
                Source::Profile { .. } => source.to_string(),
                Source::Detected { from } => from.clone(),
                Source::Follows { of } => of.clone(),
                source => source.spelled(key),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() { Source::Default } else { Source::Follows { of: names.join(" + ") } }
    }

    /// The place in the order of precedence, first the strongest.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Source::Builder { .. } => 0,
            Source::Environment { .. } => 1,
            Source::Url { .. } => 2,
            Source::Profile { .. } => 3,
            Source::Detected { .. } => 4,
            Source::Follows { .. } => 5,
            Source::Default => 6,
        }
    }

    /// Whether a person set this very value: by builder, environment or URL.
    pub fn is_explicit(&self) -> bool {
        matches!(self, Source::Builder { .. } | Source::Environment { .. } | Source::Url { .. })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Builder { method } => write!(f, "builder {method}"),
            Source::Environment { variable } => write!(f, "environment {variable}"),
            Source::Url { parameter } => write!(f, "URL parameter {parameter}"),
            Source::Profile { name } => write!(f, "profile {name}"),
            Source::Detected { from } => write!(f, "detected from {from}"),
            Source::Follows { of } => write!(f, "follows {of}"),
            Source::Default => f.write_str("default"),
        }
    }
}

/// A value together with where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub source: Source,
}

impl<T> Sourced<T> {
    /// Puts a value and its source together.
    pub fn new(value: T, source: Source) -> Self {
        Sourced { value, source }
    }
}

/// A setting that has no effect, since a stronger source has set what contradicts it: its name and value, and the names
/// of what overrules it.
#[derive(Clone, Debug)]
pub(crate) struct Overruled {
    pub setting: String,
    pub value: u32,
    pub by: String,
}
