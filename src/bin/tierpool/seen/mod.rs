//! What is seen of pools, for the commands that show it.
//!
//! | module | job |
//! | --- | --- |
//! | `live` | what processes of this machine tell by their admin sockets |
//! | `server` | the own pool, and what the server says of all applications' sessions |
//! | `join` | both, joined by backend pid |

pub mod join;
pub mod live;
pub mod server;
