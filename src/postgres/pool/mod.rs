//! The two-tier pool of PostgreSQL connections, and its builder.
//!
//! | module | job |
//! | --- | --- |
//! | `pg_pool` | the pool |
//! | `sessions` | sessions on it, repeated where that helps |
//! | `endings` | sessions that leave their last statement to COMMIT |
//! | `watched` | the admin socket that a pool may stand behind |
//! | `fleeted` | the fleet that a pool may be part of |
//! | `servers` | what the builder sets about servers and credentials |
//! | `derived` | settings made of others: for a tier's own server, and for a pooler that was found |
//! | `of_role` | a budget that the limits of the roles on the server give |
//! | `managers` | the managers of a pool's two tiers |
//! | `builder` | builds a pool from settings |
//! | `setters` | the builder's part of the table of settings |
//! | `constructors` | how a program comes by a pool |
//!
//! Inversion: `Watched`, which `http::admin::open` implements, since a pool that is built by its settings is put behind
//! the socket too, and that stands on a higher floor.
//!
//! Inversion: `Founding`, which `fleet::found` implements, for the same reason: a pool that is built by its settings is
//! part of its fleet from the first connection on.

mod builder;
mod constructors;
mod derived;
mod endings;
mod fleeted;
mod managers;
mod of_role;
mod pg_pool;
mod servers;
mod sessions;
mod setters;
#[cfg(all(feature = "http", unix))]
mod watched;

pub use builder::PgBuilder;
pub(crate) use fleeted::{FleetPlan, Founded, Founding};
pub use pg_pool::PgPool;
pub(crate) use sessions::{attempt_on, is_outage, look};
#[cfg(all(feature = "http", unix))]
pub(crate) use watched::Watched;
