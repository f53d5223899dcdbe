//! What the pool asks of a connection, and what it may do to one that is lent.
//!
//! | module | job |
//! | --- | --- |
//! | `control` | cancels, ends and abandons what runs on a lent connection |
//! | `pg_driver` | validates, resets and closes, and sorts errors |

mod control;
mod pg_driver;

pub use pg_driver::PgDriver;
