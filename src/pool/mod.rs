//! The pool: checkout, checkin, opening, closing, and the keeper. Foreign code (managers, drivers, customizers,
//! handlers) is called here and on no lower floor, with no lock held, and its panics are caught.

mod body;
mod breaker;
mod builder;
mod card;
mod checkin;
mod checkout;
mod close;
mod control;
mod deadlock;
mod driver;
mod errand;
mod guard;
mod handle;
mod keeper;
mod life;
mod maintain;
mod notify;
mod observe;
mod open;
mod shared;
mod sinks;
mod stuck;
mod watch;
mod workers;

pub use builder::Builder;
pub use control::{Abandonment, Place, SessionControl};
pub use driver::{Condition, Driver, PlainDriver};
pub use guard::PooledConnection;
pub use handle::{Pool, State};
pub(crate) use keeper::Keeper;
pub use life::CloseReport;
#[cfg(feature = "postgres")]
pub(crate) use notify::panic_text;
