//! Errors of a pool: one opaque type with a kind, the evidence, and the last open failure as its source.

mod evidence;
mod failure;
mod kind;
mod pool_error;
mod report;

pub(crate) use evidence::{Awaited, Evidence, LimitSetBy, Outage, UnderWay};
pub use failure::{FailureClass, OpenFailure};
pub use kind::ErrorKind;
pub use pool_error::Error;
