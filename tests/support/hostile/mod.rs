//! A server that does what a script says, however wrong: what a real one never sends.
//!
//! | module | job |
//! | --- | --- |
//! | `frames` | the server's messages as bytes, well formed or not |
//! | `types` | says wrong things of types |
//! | `server` | plays a script of steps on each connection |

pub mod frames;
mod server;
mod types;

pub use server::{HostileServer, Step};
pub use types::Types;
