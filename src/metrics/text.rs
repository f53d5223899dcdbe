//! The text of a scrape, and the same for a registry of the program's own.

use std::fmt;

use prometheus_client::collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::collector::Collector;
use super::family::{Family, Kind, Value};
use super::metered::Metered;

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

impl Collector {
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

impl collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.families().iter().try_for_each(|family| encode(family, &mut encoder))
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
            metric.encode_histogram::<NoLabelSet>(times.sum, times.count(), &times.buckets, None)
        }
    }
}
