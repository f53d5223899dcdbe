//! One PostgreSQL connection: its state, its checks, its reset, and what is between it and the server.
//!
//! | module | job |
//! | --- | --- |
//! | `statement_cache` | the prepared statements that it keeps |
//! | `pooler` | what is known of a PgBouncer in between, and what that asks of a connection |
//! | `lease` | for how long its handles work |
//! | `cancel` | the request to cancel what runs on it |
//! | `pg_connection` | the connection and its state |
//! | `goodbye` | its end, and whether its backend's is waited for |
//! | `handles` | what other threads may do to it |
//! | `checks` | signs of life, each within a limit |
//! | `along` | BEGIN and COMMIT that go along with statements |
//! | `unread` | ends what a borrower has left half done |
//! | `pooled` | how it finds a pooler, and minds it |
//! | `reset` | puts a returned session back to what it was when new |

mod along;
mod cancel;
mod checks;
mod goodbye;
mod handles;
mod lease;
mod pg_connection;
mod pooled;
mod pooler;
mod reset;
mod statement_cache;
mod unread;

pub(super) use cancel::CancelRequest;
pub use handles::{AbandonHandle, CancelHandle};
pub use pg_connection::{PgConnection, TransactionStatus};
pub(super) use pooler::{Behind, Pooler, likely_mode};
pub(super) use reset::{SettingsLeft, reset};
pub use statement_cache::StatementCacheStats;
pub(super) use statement_cache::{CacheTotals, StatementCache, is_refused};
