//! Metrics for monitoring systems: what [`Stats`](crate::Stats) counts, under names that they know.
//!
//! Nothing is written for them at a checkout: each reading takes one snapshot of the pool's statistics, at the moment
//! it is asked for. The labels are `pool` and `tier`, the outcome, cause or class of a counter, and nothing else: no
//! thread, line, tag or statement ever becomes a series.
//!
//! With the feature `prometheus` they are a text for a scrape, and a collector for a registry; with `metrics` they go
//! to the recorder of the crate of that name, and with it to StatsD and every other exporter. The guide's page
//! `metrics` lists the names, and says how to have them scraped.
// | module | job |
// | --- | --- |
// | `reading` | one pool, or one tier, at one moment |
// | `metered` | whose metrics can be told |
// | `family` | a metric with its series, as no monitoring system knows it yet |
// | `own` | the names of this crate |
// | `foreign` | the names of OpenTelemetry and of HikariCP |
// | `names` | the choice between these |
// | `collector` | whose metrics are told, and under which names |
// | `text` | the text of a scrape, and the same for a registry of the program's own |
// | `facade` | the same for a recorder of the crate `metrics` |

mod collector;
#[cfg(feature = "metrics")]
mod facade;
mod family;
mod foreign;
mod metered;
mod names;
mod own;
mod reading;
#[cfg(feature = "prometheus")]
mod text;

pub use collector::Collector;
#[cfg(feature = "metrics")]
pub use facade::Publisher;
pub use metered::Metered;
pub use names::Names;
#[cfg(feature = "prometheus")]
pub use text::{CONTENT_TYPE, text};
