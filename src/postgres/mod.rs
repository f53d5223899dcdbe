//! PostgreSQL: connections whose state is known without asking the server.
//!
//! A module uses only modules in rows above its own.
//!
//! | module | job |
//! | --- | --- |
//! | `sqlstate` | the codes of errors that decide something, and what each means |
//! | `options` | the settings of one kind of connection |
//! | `observer` | reads along on the byte stream, and can end a wait on it |
//! | `tls` | encryption, under the observer |
//! | `error` | what can go wrong, and what to do about it |
//! | `connection` | one connection: its state, its checks, its reset, its statements, a pooler in between |
//! | `session` | a transaction as a closure, and when it is repeated |
//! | `open` | opening: which server, as whom, by what `sslmode` allows |
//! | `driver` | what the pool asks of a connection, and may do to one that is lent |
//! | `server` | what the server says of itself: health, sessions, limits |
//! | `pool` | the two-tier pool of such connections, and its builder |

mod connection;
mod driver;
mod error;
mod observer;
mod open;
mod options;
mod pool;
mod server;
mod session;
mod sqlstate;
mod tls;

pub use connection::{AbandonHandle, CancelHandle, PgConnection, StatementCacheStats, TransactionStatus};
pub use driver::PgDriver;
pub use error::PgError;
pub(crate) use error::{is_lost, is_statement_timeout};
pub use open::{Credentials, PgManager, ServerHealth};
pub use options::{PgOptions, ResetPolicy, SocketTimeout};
pub use pool::{PgBuilder, PgPool};
pub use postgres::IsolationLevel;
pub use server::{
    DatabaseLimit, HostSessions, RoleLimit, RunningQuery, ServerActivity, ServerLimits, Sessions,
    TierActivity,
};
pub(crate) use session::{Again, Attempts, attempt};
pub use session::{Retry, Session, SessionOptions, run_session};
