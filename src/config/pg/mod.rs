//! The settings of a `PgPool`: where they come from, what they give, and which server they lead to.
//!
//! From the lowest to the highest; a module uses only those above it.
//!
//! | module | job |
//! | --- | --- |
//! | `table` | the table of all settings, and the sources of their values |
//! | `server` | a connection string, taken apart and made into a server |
//! | `settings` | the settings as they are used: two tiers, one server |
//! | `check` | the rules between them |
//! | `listing` | each setting in force, with its source |
//! | `warnings` | what is allowed together and hardly meant |
//! | `behind` | the settings again, once a pooler was found |
//! | `merge` | the sources laid over each other |
//! | `sizes` | sizes and budget, of which one gives the other |
//! | `load` | all of it: from overrides, environment and connection string to settings or faults |

mod behind;
mod check;
mod listing;
mod load;
mod merge;
mod server;
mod settings;
mod sizes;
mod table;
mod warnings;

pub use listing::Effective;
pub use server::address::Server;
pub use server::attrs::TargetSessionAttrs;
#[cfg(unix)]
pub(crate) use server::destination::socket_name;
pub(crate) use server::destination::{Destination, Endpoint};
pub use server::locate::server_variables;
pub(crate) use server::providers::{Provider, provider_of};
pub(crate) use server::startup::{LONGEST as LONGEST_STATEMENT, LONGEST_RULE, statement_timeout_in};
pub use server::tls::{TlsMode, TlsOptions};
pub use settings::PgSettings;
pub use table::overrides::{ConnectionString, Overrides};
pub use table::pgbouncer::PgBouncer;
pub(crate) use table::pgbouncer::session_pooler;
pub use table::profiles::{Profile, profiles};
pub use table::rows::{Fallback, Key, Setting, Spelling, settings};
pub use table::source::{Source, Sourced};
pub use table::value::{Unit, Value};
