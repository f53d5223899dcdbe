//! PostgreSQL: connections whose state is known without asking the server.
//!
//! | file | job |
//! | --- | --- |
//! | `observer` | reads along on the byte stream, and can end a wait on it |
//! | `options`, `target` | settings, and the servers that a connection string names |
//! | `manager`, `connection`, `handles` | opening; one connection; what other threads may do to it |
//! | `driver`, `reset` | what the pool asks of a connection |
//! | `session`, `transaction` | a transaction as a closure |
//! | `build`, `pool` | the two-tier pool of such connections |
//! | `server` | what the server says of itself: health, sessions, limits |
//! | `error`, `retry` | what can go wrong, and when to try again |

mod build;
mod connection;
mod driver;
mod error;
mod handles;
mod manager;
mod observer;
mod options;
mod pool;
mod reset;
mod retry;
mod server;
mod session;
mod target;
mod transaction;

pub use build::PgBuilder;
pub use connection::{PgConnection, TransactionStatus};
pub use driver::PgDriver;
pub use error::PgError;
pub(crate) use error::{is_lost, is_worth_repeating};
pub use handles::{AbandonHandle, CancelHandle};
pub use manager::PgManager;
pub use options::{PgOptions, ResetPolicy, SocketTimeout};
pub use pool::PgPool;
pub use postgres::IsolationLevel;
pub use retry::Retry;
pub use server::{
    DatabaseLimit, HostSessions, RoleLimit, RunningQuery, ServerActivity, ServerHealth, ServerLimits,
    Sessions, TierActivity,
};
pub use session::run_session;
pub use transaction::{Session, SessionOptions};
