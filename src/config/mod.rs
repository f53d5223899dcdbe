//! Settings as values: what can be set, the defaults, and the rules between them.

// Knows nothing of a pool. From the lowest to the highest; a module uses only those above it.
//
// | module | job |
// | --- | --- |
// | `faults` | every fault of a configuration in one list |
// | `policy` | how a checkout waits, and when a connection is validated |
// | `sizing` | rules of thumb for the size of a pool |
// | `settings` | the settings of one pool, and the rules between them |
// | `pg` | the settings of a `PgPool`: where they come from, what they give, which server they lead to |

mod faults;
#[cfg(feature = "postgres")]
mod pg;
mod policy;
mod settings;
mod sizing;

pub use faults::{Fault, Faults};
#[cfg(feature = "postgres")]
pub use pg::*;
pub use policy::{PrePing, WaitMode};
pub use settings::{MAX_CEILING, Settings};
pub use sizing::{
    capacity, deadlock_free_size, size_for_requests, size_for_users, size_for_workers, utilization,
};
