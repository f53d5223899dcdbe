//! Whose metrics are told, and under which names.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::family::Family;
use super::metered::{Metered, sealed::Source};
use super::names::Names;
use super::reading::Reading;
use crate::tiers::Tier;

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

    /// Adds a pool. Pools are told apart by their names: of those with one name the second is told as `name-2`, the
    /// third as `name-3`, in the order in which they were added, for as long as those before it are there.
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
        let mut readings: Vec<_> = self.sources.iter().flat_map(|source| source()).collect();
        number_namesakes(&mut readings);
        self.names.families(&readings)
    }
}

/// Sees that no two readings go by the same pool and tier, nor two tiers by the same name: Prometheus drops all but one
/// of the same series.
fn number_namesakes(readings: &mut [Reading]) {
    let (mut pools, mut names) = (BTreeSet::new(), BTreeSet::new());
    for reading in readings {
        let tier = reading.tier.map(Tier::as_str);
        let (pool, name) = (reading.pool.clone(), reading.stats.pool.clone());
        let mut number = 1;
        while pools.contains(&(reading.pool.clone(), tier)) || names.contains(&reading.stats.pool) {
            number += 1;
            reading.pool = format!("{pool}-{number}");
            reading.stats.pool = format!("{name}-{number}");
        }
        pools.insert((reading.pool.clone(), tier));
        names.insert(reading.stats.pool.clone());
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("pools", &self.sources.len()).field("names", &self.names).finish()
    }
}
