//! Clients: who is let in, and for how long. Knows nothing of what they are told.
//!
//! | module | job |
//! | --- | --- |
//! | `gate` | the bound on connections, and the places beyond it |
//! | `connection` | one connection: one request, within its limits |
//! | `door` | the thread that lets clients in, its start and its end |
//!
//! Inversion: `Door`, which `http::admin::open` implements, since a socket of the file system asks who comes.

pub(super) mod connection;
pub(super) mod door;
pub(super) mod gate;
