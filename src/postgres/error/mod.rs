//! What can go wrong with a PostgreSQL connection.
//!
//! | module | job |
//! | --- | --- |
//! | `evidence` | what an error of the driver tells |
//! | `hidden` | what a server may repeat of a log-in that nobody is to read |
//! | `opening` | why no connection could be opened, where it is more than one error of the driver |
//! | `pg_error` | the error, with predicates for the decisions that a program takes on it |
//! | `added` | what those who pass an error on know of it besides |
//! | `origin` | what an error comes of, and how that is had back |
//! | `shown` | its texts: one line, and the report |

mod added;
mod evidence;
mod hidden;
mod opening;
mod origin;
mod pg_error;
mod shown;

pub(crate) use evidence::{is_lost, is_statement_timeout};
pub(super) use evidence::{is_stale_plan, is_worth_repeating};
pub(super) use opening::{Credential, Farewell, OpeningError, Refused};
pub use pg_error::PgError;
