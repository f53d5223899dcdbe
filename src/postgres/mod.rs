//! PostgreSQL: connections whose state is known without asking the server.
//!
//! | file | job |
//! | --- | --- |
//! | `observer` | reads along on the byte stream, and can end a wait on it |
//! | `tls` | encryption, under the observer |
//! | `options`, `target` | settings, and the servers that a connection string names |
//! | `manager`, `connection`, `handles` | opening; one connection; what other threads may do to it |
//! | `hosts`, `role` | the order of several servers; whether one will do |
//! | `credentials` | user and password from a callback |
//! | `pooler`, `pooled` | a PgBouncer in between: what is known of it; how a connection finds and minds it |
//! | `driver`, `control`, `reset` | what the pool asks of a connection |
//! | `statements`, `cached` | the prepared statements that a connection keeps, and calls by them |
//! | `session`, `transaction` | a transaction as a closure |
//! | `build`, `pool` | the two-tier pool of such connections |
//! | `server` | what the server says of itself: health, sessions, limits |
//! | `error`, `retry` | what can go wrong, and when to try again |

mod build;
mod cached;
mod connection;
mod control;
mod credentials;
mod driver;
mod error;
mod handles;
mod hosts;
mod manager;
mod observer;
mod options;
mod pool;
mod pooled;
mod pooler;
mod reset;
mod retry;
mod role;
mod server;
mod session;
mod statements;
mod target;
mod tls;
mod transaction;

pub use build::PgBuilder;
pub use connection::{PgConnection, TransactionStatus};
pub use credentials::Credentials;
pub use driver::PgDriver;
pub use error::PgError;
pub(crate) use error::is_lost;
pub use handles::{AbandonHandle, CancelHandle};
pub use manager::PgManager;
pub use options::{PgOptions, ResetPolicy, SocketTimeout};
pub use pool::PgPool;
pub use postgres::IsolationLevel;
pub use retry::Retry;
pub(crate) use retry::{Again, Attempts};
pub use server::{
    DatabaseLimit, HostSessions, RoleLimit, RunningQuery, ServerActivity, ServerHealth, ServerLimits,
    Sessions, TierActivity,
};
pub(crate) use session::attempt;
pub use session::run_session;
pub use statements::StatementCacheStats;
pub use transaction::{Session, SessionOptions};
