//! PostgreSQL: connections whose state is known without asking the server.
//!
//! # The driver's own types
//!
//! This module has what the pool adds. A row, a parameter, a type or an error of the driver's is the `postgres` crate's
//! own, and that crate is here whole, as [`postgres_crate`](crate::postgres_crate): there is no
//! `tierpool::postgres::Row`, but a `tierpool::postgres_crate::Row`. **A program needs no `postgres` beside tierpool.**
//!
//! ```
//! use tierpool::postgres::PgError;
//! use tierpool::postgres_crate::Row;
//! use tierpool::postgres_crate::types::{ToSql, Type};
//!
//! struct Page {
//!     url: String,
//!     visits: i64,
//! }
//!
//! fn page(row: &Row) -> Result<Page, PgError> {
//!     Ok(Page { url: row.try_get("url")?, visits: row.try_get("visits")? })
//! }
//!
//! let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&"https://site.example", Type::TEXT), (&1_i64, Type::INT8)];
//! assert_eq!(parameters[1].1.name(), "int8");
//! # let _: fn(&Row) -> Result<Page, PgError> = page;
//! ```
//!
//! A program that wants an optional feature of it, as `with-chrono-0_4` or `with-serde_json-1` for values of those
//! crates, names it in its own `Cargo.toml`: `postgres = { version = "0.19.13", features = ["with-serde_json-1"] }`.
//! Cargo builds one copy with the features of both, so its types and `postgres_crate`'s are the same. It must be 0.19,
//! at least 0.19.13; tierpool asks for none of its features.

// A module uses only modules in rows above its own.
//
// | module | job |
// | --- | --- |
// | `sqlstate` | the codes of errors that decide something, and what each means |
// | `options` | the settings of one kind of connection |
// | `observer` | reads along on the byte stream, and can end a wait on it |
// | `tls` | encryption, under the observer |
// | `error` | what can go wrong, and what to do about it |
// | `connection` | one connection: its state, its checks, its reset, its statements, a pooler in between |
// | `open` | opening: which server, as whom, by what `sslmode` allows |
// | `session` | a transaction as a closure, and when it is repeated |
// | `driver` | what the pool asks of a connection, and may do to one that is lent |
// | `server` | what the server says of itself: health, sessions, limits |
// | `pool` | the two-tier pool of such connections, and its builder |

mod connection;
mod driver;
mod error;
#[cfg(test)]
mod fuzz;
mod observer;
mod open;
mod options;
mod pool;
mod server;
mod session;
mod sqlstate;
mod tls;

pub use connection::{AbandonHandle, CancelHandle, PgConnection, StatementCacheStats, TransactionStatus};
pub(crate) use connection::{Holding, Pass};
pub use driver::PgDriver;
pub use error::PgError;
pub(crate) use error::{is_lost, is_statement_timeout};
pub(crate) use open::{Admission, Claim};
pub use open::{Credentials, PgManager, ServerHealth, log_notice};
pub use options::{PgOptions, ResetPolicy, SocketTimeout};
#[cfg(all(feature = "http", unix))]
pub(crate) use pool::Watched;
pub(crate) use pool::{FleetPlan, Founded, Founding};
pub use pool::{PgBuilder, PgPool};
pub(crate) use pool::{attempt_on, is_outage, look};
pub use postgres::IsolationLevel;
pub use server::{
    ClientSessions, DatabaseLimit, HostSessions, RoleLimit, RunningQuery, ServerActivity, ServerLimits,
    ServerProcess, Sessions, TierActivity, TierSession,
};
pub(crate) use session::{Again, Attempts, Committed, Loan, OfFrame, Uncommitted};
pub use session::{Ending, Last, Retry, Session, SessionOptions, run_session, run_session_ending};
