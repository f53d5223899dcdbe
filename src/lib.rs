//! A synchronous connection pool for threaded programs.

#[cfg(feature = "postgres")]
pub mod batch;
mod clock;
pub mod config;
mod core;
mod error;
pub mod event;
mod memory;
mod pool;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod report;
pub mod stats;
mod threads;
mod tiers;

pub use clock::{Clock, ClockHand};
pub use error::{Error, ErrorKind, FailureClass, OpenFailure};
pub use event::{HandleEvent, NopEventHandler};
pub use memory::MemoryManager;
pub use pool::{Builder, CloseReport, Condition, Driver, PlainDriver, Pool, PooledConnection, State};
#[cfg(feature = "postgres")]
pub use postgres::{PgBuilder, PgError, PgPool};
pub use r2d2::{
    CustomizeConnection, Extensions, HandleError, LoggingErrorHandler, ManageConnection,
    NopConnectionCustomizer, NopErrorHandler,
};
pub use report::{DatabaseStats, print_connection_status};
pub use stats::BreakerState;
pub use tiers::{Tier, TieredBuilder, TieredPool};
