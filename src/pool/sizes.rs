//! The size of a pool, in the three ways in which it can be named.

use crate::config::{Faults, Settings};

/// The three ways to name the size, as they were said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    pub(crate) max: Option<u32>,
    pub(crate) base: Option<u32>,
    pub(crate) overflow: Option<u32>,
}

impl Sizes {
    /// Base and overflow: what was said, or what follows from it.
    pub(crate) fn resolve(self, settings: &Settings, faults: &mut Faults) -> (u32, u32) {
        let Some(max) = self.max else {
            return (self.base.unwrap_or(settings.base_size), self.overflow.unwrap_or(settings.max_overflow));
        };
        let overflow = self.overflow.unwrap_or_else(|| max.saturating_sub(self.base.unwrap_or(max)));
        let base = self.base.unwrap_or_else(|| max.saturating_sub(overflow));
        faults.require(
            u64::from(base) + u64::from(overflow) == u64::from(max),
            "max_size",
            max,
            format!("must equal base_size + max_overflow, which is {base} + {overflow}"),
        );
        (base, overflow)
    }
}
