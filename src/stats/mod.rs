//! What a pool tells of itself: gauges, counters, histograms, holders. Values only.

mod contact;
mod fleet;
mod histogram;
mod people;
mod snapshot;

pub use contact::{Contact, ContactFailure};
pub use fleet::FleetStatus;
pub(crate) use histogram::Recorder;
pub use histogram::{BOUNDS_MS, Histogram};
pub use people::{Holder, Waiting};
pub use snapshot::{
    BreakerState, Checkouts, CloseCause, ClosedBy, Gauges, LendingState, OpenFailures, Refused, Stats,
};
