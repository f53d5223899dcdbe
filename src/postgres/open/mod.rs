//! Opening a connection: which server, as whom, and by what `sslmode` allows.
//!
//! | module | job |
//! | --- | --- |
//! | `notices` | what the server says beside its answers, into the log |
//! | `targets` | the servers that a connection string names |
//! | `credentials` | user and password from a callback |
//! | `log_in` | one attempt at a time until the role is let in, and a pause after a refusal |
//! | `role` | which kind of server a connection leads to, and whether it will do |
//! | `hosts` | the order of several servers, and the time that each gets |
//! | `last_health` | the last answer to whether the server is healthy |
//! | `exposed` | tells of connections that others can read |
//! | `one_server` | opening one connection to one server |
//! | `first_look` | a look at the server through a pool's first connection |
//! | `admission` | opening where the pool shares a budget with other processes |
//! | `full` | trying again at once where a server is full for a moment |
//! | `manager` | all of that, as r2d2's manager |
//! | `pooled` | opening a connection for the pool that has a manager |
//! | `admitting` | what a manager asks of the admission of its connections |
//!
//! Inversion: `Admission`, which `fleet::admission` and `fleet::person` implement, since what a budget over processes
//! is stands on a higher floor.
//!
//! Inversion: `Claim`, which `fleet::claim` and `fleet::person` implement, for the same reason.

mod admission;
mod admitting;
mod credentials;
mod exposed;
mod first_look;
mod full;
mod hosts;
mod last_health;
mod log_in;
mod manager;
mod notices;
mod one_server;
mod pooled;
mod role;
mod targets;

pub(crate) use admission::{Admission, Claim};
pub use credentials::Credentials;
pub(super) use credentials::{Callback, CredentialSource};
pub(super) use first_look::FirstLook;
pub use last_health::ServerHealth;
pub(super) use log_in::LogIns;
pub use manager::PgManager;
pub use notices::log_notice;
