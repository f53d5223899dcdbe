//! The two-tier pool of PostgreSQL connections, and its builder.
//!
//! | module | job |
//! | --- | --- |
//! | `pg_pool` | the pool |
//! | `sessions` | sessions on it, repeated where that helps |
//! | `endings` | sessions that leave their last statement to COMMIT |
//! | `servers` | what the builder sets about servers and credentials |
//! | `derived` | settings made of others: for a tier's own server, and for a pooler that was found |
//! | `builder` | builds a pool from settings |
//! | `setters` | the builder's part of the table of settings |
//! | `constructors` | how a program comes by a pool |

mod builder;
mod constructors;
mod derived;
mod endings;
mod pg_pool;
mod servers;
mod sessions;
mod setters;

pub use builder::PgBuilder;
pub use pg_pool::PgPool;
pub(crate) use sessions::{attempt_on, is_outage, look};
