//! A transaction as a closure, and when it is repeated.
//!
//! | module | job |
//! | --- | --- |
//! | `retry` | when work is worth doing again, and after how long |
//! | `transaction` | the handle by which the closure works, and the session's options |
//! | `run` | BEGIN, the closure, COMMIT or ROLLBACK, and what a failure means |
//! | `cached` | calls by the statements that a connection keeps |

mod cached;
mod retry;
mod run;
mod transaction;

pub use retry::Retry;
pub(crate) use retry::{Again, Attempts};
pub use run::run_session;
pub(crate) use run::{Setback, attempt};
pub use transaction::{Session, SessionOptions};
