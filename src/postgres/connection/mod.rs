//! One PostgreSQL connection: its state, its checks, its reset, and what is between it and the server.
//!
//! | module | job |
//! | --- | --- |
//! | `known_types` | the types of the parameters of statements that it does not keep |
//! | `cache_totals` | what the caches of all connections have in common |
//! | `statement_cache` | the prepared statements that it keeps |
//! | `pooler` | what is known of a PgBouncer in between, and what that asks of a connection |
//! | `lease` | for how long its handles work |
//! | `cancel` | the request to cancel what runs on it |
//! | `pass` | what it has of a budget that its pool shares with other processes |
//! | `pg_connection` | the connection and its state |
//! | `handles` | what other threads may do to it |
//! | `checks` | signs of life, each within a limit |
//! | `one_call` | a call in which no code of the program runs |
//! | `along` | BEGIN and COMMIT that go along with statements |
//! | `unread` | ends what a borrower has left half done |
//! | `goodbye` | its end, and whether its backend's is waited for |
//! | `pooled` | how it finds a pooler, and minds it |
//! | `reset` | puts a returned session back to what it was when new |
//!
//! Inversion: `Holding`, which `fleet::part` and `fleet::person` implement, since what a budget over processes is
//! stands on a higher floor.

mod along;
mod cache_totals;
mod cancel;
mod checks;
mod goodbye;
mod handles;
mod known_types;
mod lease;
mod one_call;
mod pass;
mod pg_connection;
mod pooled;
mod pooler;
mod reset;
mod statement_cache;
mod unread;

pub(super) use cache_totals::CacheTotals;
pub use cache_totals::StatementCacheStats;
pub(super) use cancel::CancelRequest;
pub(super) use goodbye::PARTING;
pub use handles::{AbandonHandle, CancelHandle};
pub(super) use known_types::Ready;
pub(crate) use pass::{Holding, Pass};
pub use pg_connection::{PgConnection, TransactionStatus};
pub(super) use pooled::FirstCall;
pub(super) use pooler::{Behind, Pooler, likely_mode};
pub(super) use reset::{SettingsLeft, reset};
pub(super) use statement_cache::{Failed, StatementCache};
