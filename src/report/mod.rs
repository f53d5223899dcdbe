//! What a tiered pool shows people and scripts: the status box, the numbers behind it, and health.

mod data;
mod health;
mod judgement;
mod status;
#[cfg(feature = "postgres")]
mod verbose;
mod verdict;

pub use data::{DatabaseStats, PoolStats, PoolStatus};
pub use health::{Health, HealthState, HealthThresholds};
pub use status::{Plain, print_connection_status};
#[cfg(feature = "postgres")]
pub use verbose::{VerbosePlain, VerboseStatus};
pub use verdict::{Load, Verdict};
