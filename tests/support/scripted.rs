//! A manager that does what a script says, for tests without a database.

mod driver;
mod error;
mod gate;
mod manager;
mod pool;
mod script;

pub use driver::ScriptedDriver;
pub use error::ScriptedError;
pub use gate::Gate;
pub use manager::{ScriptedConnection, ScriptedManager};
pub use pool::{Parts, built, closed, met_at_rest, pool_of, still, use_together, waiters};
pub use script::{Call, Event, Step};
