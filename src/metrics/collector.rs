//! Whose metrics are told, and under which names.

use std::fmt;
use std::sync::Arc;

use super::family::Family;
use super::metered::{Metered, sealed::Source};
use super::names::Names;

/// The metrics of one pool or of several: for a registry of the program's own, as a text, or for a recorder of the
/// crate `metrics`.
///
/// It keeps no pool open: one that the program has dropped is told no more. A registry takes one collector with all
/// pools of the program, and not one for each, for each name may come only once in a text.
///
/// ```
/// use prometheus_client::registry::Registry;
/// use tierpool::metrics::Collector;
/// use tierpool::{MemoryManager, Pool};
///
/// let pool = Pool::builder().name("cache").build(MemoryManager)?;
/// let mut registry = Registry::default();
/// registry.register_collector(Box::new(Collector::new().with(&pool)));
/// # Ok::<(), tierpool::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Collector {
    sources: Vec<Arc<Source>>,
    names: Names,
}

impl Collector {
    /// Returns one that has no pool yet.
    pub fn new() -> Self {
        Collector::default()
    }

    /// Adds a pool. Pools are told apart by their names.
    pub fn with(mut self, pool: &impl Metered) -> Self {
        self.sources.push(Arc::new(pool.source()));
        self
    }

    /// Sets the names. Default: those of this crate.
    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// What there is to tell at this moment: nothing once no pool is left.
    pub(super) fn families(&self) -> Vec<Family> {
        let readings: Vec<_> = self.sources.iter().flat_map(|source| source()).collect();
        self.names.families(&readings)
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("pools", &self.sources.len()).field("names", &self.names).finish()
    }
}
