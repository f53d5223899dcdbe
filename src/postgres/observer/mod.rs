//! The wire observer: reads along on a connection's byte stream, and can end a wait on it.
//!
//! `postgres::Client` hides what a pool must know, and waits without bound in the start-up handshake and in `Drop`.
//! The one public way in is the TLS connector: under `SslMode::Require` and `SslNegotiation::Direct` it is given
//! the bare TCP socket before any byte is sent. So [`Connector`] puts an [`Observed`] stream around plaintext as
//! well as around real TLS.
//!
//! | file | job |
//! | --- | --- |
//! | `frames` | cuts a byte stream into messages, however it is split |
//! | `backend`, `frontend` | what the server's and the client's messages say |
//! | `shared`, `abandoned` | the facts, readable by the connection's owner, and the switches |
//! | `errors` | what errors tell of prepared statements and of the transaction |
//! | `texts`, `slow` | the log of slow statements, where it is asked for |
//! | `limits` | one timer for the handshake, for a silent server, and for one bounded call |
//! | `stream` | the wrapped stream |
//! | `connector` | where it is put in place |

mod abandoned;
mod backend;
mod connector;
mod errors;
mod frames;
mod frontend;
mod limits;
mod route;
mod shared;
mod slow;
#[cfg(test)]
mod splits;
mod stream;
mod texts;

pub(crate) use abandoned::Abandoned;
pub(crate) use backend::{BackendEvent, BackendScanner, Setting};
pub(crate) use connector::Connector;
pub(crate) use frontend::{FrontendScanner, Request};
pub(crate) use limits::LimitExpired;
pub(crate) use shared::Shared;
