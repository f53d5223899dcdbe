//! The pool: checkout, checkin, opening, closing, and the keeper. Foreign code (managers, drivers, customizers,
//! handlers) is called here and on no lower floor, with no lock held, and its panics are caught. `README.md` in this
//! folder tells a connection's life, the generations, the states of an errand, and the order of the locks.
//!
//! | module | job |
//! | --- | --- |
//! | `driver` | what a database layer gives: manager, driver, customizer, handlers |
//! | `parts` | the parts that a pool is composed of, each with its own state and locks |
//! | `connection` | one connection: its story, and the card in its slot |
//! | `shared` | the parts of one pool together |
//! | `tell` | events, log lines, counters, reports, the evidence in errors |
//! | `supply` | how many connections are wanted; opening and closing them; what a failed opening means |
//! | `fitness` | whether a connection may be lent: validation, suspicion, age, eviction |
//! | `lend` | checkout, the line, checkin, and the guard |
//! | `keep` | the keeper's looks: tidying, what is overdue, what is held for too long |
//! | `change` | new settings, of one pool or of the two of a budget |
//! | `life` | start and end |
//! | `wait` | waiting until pools have what they keep |
//! | `handle` | what a program holds of a pool |
//! | `sizes` | base and overflow from what was said of the size |
//! | `builder` | settings and collaborators of a pool |
//! | `build` | makes a pool of them, and waits for what it keeps |
//!
//! Inversion: `Kept`, which `keep::tend` implements, since the keeper is a part, and tends pools without knowing them.
//!
//! Inversion: `Member`, which `supply::room` implements, since a budget is a part, and moves the ceilings of pools that
//! it does not know.
//!
//! Inversion: `Directory`, which `tell::directory` implements, since a database layer is given a place in the pool, to
//! name its borrower by, and what drivers see of a pool knows nothing of it.
//!
//! Inversion: `Work`, which `parts::errand` implements, since threads do jobs without knowing what an errand is. What
//! a check is the errand does not know either: it is given a function that does it.
//!
//! Inversion: `Driver`, which `postgres::driver::pg_driver` implements, since a database layer stands above the pool.
//!
//! Inversion: `SessionControl`, which `postgres::driver::control` implements, for the same reason.

mod build;
mod builder;
mod change;
mod connection;
mod driver;
mod fitness;
mod handle;
mod keep;
mod lend;
mod life;
mod parts;
mod shared;
mod sizes;
mod supply;
mod tell;
mod wait;

pub use builder::Builder;
pub use driver::control::{Abandonment, Place, SessionControl};
pub use driver::layer::{Condition, Driver, PlainDriver};
#[cfg(any(feature = "metrics", feature = "postgres", feature = "prometheus"))]
pub(crate) use handle::WeakPool;
pub use handle::{Pool, State};
pub use lend::guard::PooledConnection;
pub use life::CloseReport;
pub(crate) use parts::budget::{Budget, Part};
pub(crate) use parts::keeper::Keeper;
pub(crate) use wait::{Hope, Least, wait_filled};
