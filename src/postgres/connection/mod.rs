//! One PostgreSQL connection: its state, its checks, its reset, and what is between it and the server.
//!
//! | module | job |
//! | --- | --- |
//! | `statement_cache` | the prepared statements that it keeps |
//! | `pooler` | what is known of a PgBouncer in between, and what that asks of a connection |
//! | `handles` | what other threads may do to it |
//! | `pg_connection` | the connection and its state |
//! | `checks` | signs of life, each within a limit |
//! | `pooled` | how it finds a pooler, and minds it |
//! | `reset` | puts a returned session back to what it was when new |

mod checks;
mod handles;
mod pg_connection;
mod pooled;
mod pooler;
mod reset;
mod statement_cache;

pub use handles::{AbandonHandle, CancelHandle};
pub use pg_connection::{PgConnection, TransactionStatus};
pub(super) use pooler::{Behind, Pooler, likely_mode};
pub(super) use reset::{SettingsLeft, reset};
pub use statement_cache::StatementCacheStats;
pub(super) use statement_cache::{CacheTotals, StatementCache, is_refused};
