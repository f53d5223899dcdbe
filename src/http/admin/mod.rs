//! The admin socket: for tools on the same machine, run by the same user.
//!
//! | module | job |
//! | --- | --- |
//! | `place` | where the socket stands, and whose folder that has to be |
//! | `client` | the other end: sockets that are there, and what is asked there |
//! | `registry` | the pools of this process, behind one socket |
//! | `query` | what stands behind the path of a request |
//! | `desk` | which path has which answer, and what may be done |
//! | `open` | the socket's start, and what a program and its settings say of it |

mod client;
mod desk;
mod open;
mod place;
mod query;
mod registry;

pub use client::AdminSocket;
pub use open::AdminOptions;
