//! What is known of one connection, and the switches that end a wait on it.
//!
//! | module | job |
//! | --- | --- |
//! | `abandoned` | why a wait was ended |
//! | `allowance` | how much the server may send while no query is answered |
//! | `errors` | what errors tell of prepared statements and of the transaction |
//! | `exchange` | which requests have had their answer |
//! | `route` | whether it leads to a server that takes writes |
//! | `settings` | whether the session's settings are still those it began with |
//! | `parting` | the end of the stream |
//! | `listening` | whether it listens for notifications, and what was lost of them |
//! | `probe` | a look whether the other side is still there, step by step |
//! | `wire_state` | the facts, readable by the connection's owner, and the switches |

mod abandoned;
mod allowance;
mod errors;
mod exchange;
mod listening;
mod parting;
mod probe;
mod route;
mod settings;
mod wire_state;

pub(crate) use abandoned::Abandoned;
pub(crate) use allowance::Spent;
pub(crate) use exchange::Pending;
pub(crate) use probe::{Probe, ProbeStep};
pub(crate) use route::ServerRole;
pub(crate) use wire_state::WireState;
