//! What can go wrong with a PostgreSQL connection.
//!
//! | module | job |
//! | --- | --- |
//! | `opening` | why no connection could be opened, where it is more than one error of the driver |
//! | `pg_error` | the error, with predicates for the decisions that a program takes on it |

mod opening;
mod pg_error;

pub(super) use opening::{Attempts, Farewell, OpeningError};
pub use pg_error::PgError;
pub(crate) use pg_error::is_lost;
pub(super) use pg_error::{is_stale_plan, is_transient, is_worth_repeating};
