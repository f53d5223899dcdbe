//! In the place of `diesel::r2d2`: the manager is diesel's, the pool tierpool's.

pub use diesel::r2d2::{ConnectionManager, Error, TestCustomizer};
pub use tierpool::*;

pub type PoolError = tierpool::Error;
