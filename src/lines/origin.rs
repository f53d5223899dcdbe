//! Whose line it is.

use std::borrow::Cow;

/// What a line begins with for whom: of the crate's rooms that is a target alone.
pub(crate) trait Whose {
    fn target(&self) -> &str;

    /// The pool's name, where it is a pool's.
    fn pool(&self) -> Option<&str> {
        None
    }

    /// The tier, where the pool is one of a budget.
    fn tier(&self) -> Option<&'static str> {
        None
    }
}

impl Whose for &'static str {
    fn target(&self) -> &str {
        self
    }
}

/// A pool as the origin of a line.
pub(crate) struct Origin {
    target: Cow<'static, str>,
    pool: String,
    tier: Option<&'static str>,
}

impl Origin {
    /// A pool with the target of its own.
    pub(crate) fn pool(name: &str, tier: Option<&'static str>) -> Self {
        Origin { target: Cow::Owned(format!("tierpool::{name}")), pool: name.to_owned(), tier }
    }

    /// The same pool, with another target.
    #[cfg(any(feature = "http", feature = "postgres"))]
    pub(crate) fn at(self, target: &'static str) -> Self {
        Origin { target: Cow::Borrowed(target), ..self }
    }
}

impl Whose for Origin {
    fn target(&self) -> &str {
        &self.target
    }

    fn pool(&self) -> Option<&str> {
        Some(&self.pool)
    }

    fn tier(&self) -> Option<&'static str> {
        self.tier
    }
}

/// Where the pool may be unknown.
#[cfg(feature = "postgres")]
impl Whose for Result<Origin, &'static str> {
    fn target(&self) -> &str {
        self.as_ref().map_or_else(Whose::target, Whose::target)
    }

    fn pool(&self) -> Option<&str> {
        self.as_ref().ok().and_then(Whose::pool)
    }

    fn tier(&self) -> Option<&'static str> {
        self.as_ref().ok().and_then(Whose::tier)
    }
}
