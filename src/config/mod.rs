//! Settings as values: what can be set, the defaults, and the rules between them. Knows nothing of a pool.

#[cfg(feature = "postgres")]
mod attrs;
#[cfg(feature = "postgres")]
mod behind;
#[cfg(feature = "postgres")]
mod check;
#[cfg(feature = "postgres")]
mod env;
mod faults;
#[cfg(feature = "postgres")]
mod libpq;
#[cfg(feature = "postgres")]
mod listing;
#[cfg(feature = "postgres")]
mod locate;
#[cfg(feature = "postgres")]
mod merge;
#[cfg(feature = "postgres")]
mod overrides;
#[cfg(feature = "postgres")]
mod pg;
#[cfg(feature = "postgres")]
mod pgbouncer;
mod policy;
#[cfg(feature = "postgres")]
mod profiles;
#[cfg(feature = "postgres")]
mod server;
mod settings;
mod sizing;
#[cfg(feature = "postgres")]
mod source;
#[cfg(feature = "postgres")]
mod table;
#[cfg(feature = "postgres")]
mod tls;
#[cfg(feature = "postgres")]
mod url;
#[cfg(feature = "postgres")]
mod value;

#[cfg(feature = "postgres")]
pub use attrs::TargetSessionAttrs;
pub use faults::{Fault, Faults};
#[cfg(feature = "postgres")]
pub use listing::Effective;
#[cfg(feature = "postgres")]
pub use locate::server_variables;
#[cfg(feature = "postgres")]
pub use overrides::{ConnectionString, Overrides};
#[cfg(feature = "postgres")]
pub use pg::PgSettings;
#[cfg(feature = "postgres")]
pub use pgbouncer::PgBouncer;
pub use policy::{PrePing, WaitMode};
#[cfg(feature = "postgres")]
pub use profiles::{Profile, profiles};
#[cfg(feature = "postgres")]
pub use server::Server;
pub use settings::{MAX_CEILING, Settings};
pub use sizing::{deadlock_free_size, size_for_requests, size_for_workers};
#[cfg(feature = "postgres")]
pub use source::{Source, Sourced};
#[cfg(feature = "postgres")]
pub use table::{Fallback, Key, Setting, Spelling, settings};
#[cfg(feature = "postgres")]
pub use tls::{TlsMode, TlsOptions};
#[cfg(feature = "postgres")]
pub use value::{Unit, Value};
