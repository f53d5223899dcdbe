//! The text of a scrape, and the same for a registry of the program's own.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::family::{Family, Kind, Value};
use super::metered::{Metered, sealed::Source};
use super::names::Names;

/// The `Content-Type` of [`text`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Writes a pool's metrics in Prometheus' text format 0.0.4, as they are at this moment.
///
/// # Blocking
///
/// On nothing but the pool's own short locks, as [`Pool::stats`](crate::Pool::stats). The server is not asked.
///
/// ```
/// use tierpool::{MemoryManager, Tier, TieredPool, metrics};
///
/// let pool = TieredPool::builder().build(|_| MemoryManager)?;
/// let conn = pool.get(Tier::Automation)?;
/// let text = metrics::text(&pool);
/// assert!(text.contains("db_pool_checked_out{pool=\"tierpool\",tier=\"automation\"} 1\n"));
/// # drop(conn);
/// # Ok::<(), tierpool::Error>(())
/// ```
pub fn text(pool: &impl Metered) -> String {
    Collector::new().with(pool).text()
}

/// The metrics of one pool or of several: for a registry of the program's own, or as a text.
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

    /// Writes the metrics in Prometheus' text format 0.0.4, as they are at this moment; [`CONTENT_TYPE`] belongs to it.
    ///
    /// # Blocking
    ///
    /// As [`text`].
    pub fn text(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("BUG: a String takes any text");
        text
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("pools", &self.sources.len()).field("names", &self.names).finish()
    }
}

impl collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let readings: Vec<_> = self.sources.iter().flat_map(|source| source()).collect();
        self.names.families(&readings).iter().try_for_each(|family| encode(family, &mut encoder))
    }
}

fn encode(family: &Family, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kind = match family.kind {
        Kind::Gauge => MetricType::Gauge,
        Kind::Counter => MetricType::Counter,
        Kind::Histogram => MetricType::Histogram,
    };
    let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
    for (labels, value) in &family.series {
        encode_value(family.kind, value, metric.encode_family(labels)?)?;
    }
    Ok(())
}

fn encode_value(kind: Kind, value: &Value, mut metric: MetricEncoder<'_>) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Whole(count)) => metric.encode_counter::<NoLabelSet, _, u64>(count, None),
        (Kind::Counter, Value::Real(sum)) => metric.encode_counter::<NoLabelSet, _, f64>(sum, None),
        (_, Value::Whole(level)) => metric.encode_gauge(level),
        (_, Value::Real(level)) => metric.encode_gauge(level),
        (_, Value::Times(times)) => {
            // The crate's sign for a bound without end.
            let buckets: Vec<_> =
                times.buckets.iter().map(|(bound, count)| (bound.min(f64::MAX), *count)).collect();
            metric.encode_histogram::<NoLabelSet>(times.sum, times.count(), &buckets, None)
        }
    }
}
