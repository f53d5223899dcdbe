//! Metrics for monitoring systems: what [`Stats`](crate::Stats) counts, under names that they know.
//!
//! Nothing is written for them at a checkout: each reading takes one snapshot of the pool's statistics, at the moment
//! it is asked for. The labels are `pool` and `tier`, the outcome, cause or class of a counter, and nothing else: no
//! thread, line, tag or statement ever becomes a series.
//!
//! [The guide](crate::guide::metrics) lists the names, and says how to have them scraped.
// | module | job |
// | --- | --- |
// | `reading` | one pool, or one tier, at one moment |
// | `metered` | whose metrics can be told |
// | `family` | a metric with its series, as no monitoring system knows it yet |
// | `own` | the names of this crate |
// | `foreign` | the names of OpenTelemetry and of HikariCP |
// | `names` | the choice between these |
// | `collector` | the text of a scrape, and the same for a registry of the program's own |

mod collector;
mod family;
mod foreign;
mod metered;
mod names;
mod own;
mod reading;

pub use collector::{CONTENT_TYPE, Collector, text};
pub use metered::Metered;
pub use names::Names;
