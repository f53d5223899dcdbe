//! The pool: checkout, checkin, opening, closing, and the keeper.

mod driver;

pub use driver::{Condition, Driver, FailureClass, PlainDriver};
