//! Under which names a pool is told.

use super::family::Family;
use super::reading::Reading;
use super::{foreign, own};

/// Under which names a pool's metrics are told.
///
/// The names of others are for dashboards and alerts that are there already. What they have no name for is not told
/// under theirs: reserve, breaker, causes and peaks have names in [`Names::Tierpool`] alone.
///
/// ```
/// use tierpool::metrics::{Collector, Names};
/// use tierpool::{MemoryManager, Pool};
///
/// let pool = Pool::builder().name("cache").max_size(8).build(MemoryManager)?;
/// let text = Collector::new().with(&pool).names(Names::Hikari).text();
/// assert!(text.contains("hikaricp_connections_max{pool=\"cache\"} 8\n"));
/// # Ok::<(), tierpool::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Names {
    /// `db_pool_…`, with the labels `pool` and `tier`.
    #[default]
    Tierpool,
    /// `db_client_connection_…`, by OpenTelemetry's conventions for pools of database clients, as its exporters write
    /// them for Prometheus. The label `db_client_connection_pool_name` has the name of the tier.
    ///
    /// `promtool check metrics` calls the ending of `db_client_connection_count` unusual, and takes it.
    OpenTelemetry,
    /// `hikaricp_…`, as Micrometer writes HikariCP's metrics. The label `pool` has the name of the tier, as
    /// `billing.automation`. What are summaries there are histograms here, with the same `_count` and `_sum`.
    Hikari,
}

impl Names {
    pub(super) fn families(self, readings: &[Reading]) -> Vec<Family> {
        match self {
            Names::Tierpool => own::families(readings),
            Names::OpenTelemetry => foreign::opentelemetry(readings),
            Names::Hikari => foreign::hikari(readings),
        }
    }
}
