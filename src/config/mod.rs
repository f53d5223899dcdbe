//! Settings as values: what can be set, the defaults, and the rules between them. Knows nothing of a pool.

mod faults;
mod policy;
mod settings;

pub use faults::{Fault, Faults};
pub use policy::{PrePing, WaitMode};
pub use settings::{MAX_CEILING, Settings};
