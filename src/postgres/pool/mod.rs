//! The two-tier pool of PostgreSQL connections, and its builder.
//!
//! | module | job |
//! | --- | --- |
//! | `pg_pool` | the pool, and sessions on it |
//! | `servers` | what the builder sets about servers and credentials |
//! | `derived` | settings made of others: for a tier's own server, and for a pooler that was found |
//! | `builder` | builds a pool from settings |

mod builder;
mod derived;
mod pg_pool;
mod servers;

pub use builder::PgBuilder;
pub use pg_pool::PgPool;
