//! A synchronous connection pool for threaded programs.

pub mod config;
mod core;
mod pool;
#[cfg(feature = "postgres")]
pub mod postgres;

pub use pool::{Condition, Driver, FailureClass, PlainDriver};
pub use r2d2::{
    CustomizeConnection, Extensions, HandleError, LoggingErrorHandler, ManageConnection,
    NopConnectionCustomizer, NopErrorHandler,
};
