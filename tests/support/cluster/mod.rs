//! A throw-away PostgreSQL of one's own, with the faults a test wants of it.

pub(super) mod account;
mod binaries;
mod builder;
mod control;
mod error;
mod faults;
mod guard;
pub(super) mod registry;
mod server;
mod standby;

pub use builder::{Builder, cluster};
pub use error::ClusterError;
pub use faults::FREEZES;
pub use server::{APP_PASSWORD, Cluster};
