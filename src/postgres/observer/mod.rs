//! The wire observer: reads along on a connection's byte stream, and can end a wait on it.
//!
//! `postgres::Client` hides what a pool must know, and waits without bound in the start-up handshake and in `Drop`.
//! The one public way in is the TLS connector: under `SslMode::Require` and `SslNegotiation::Direct` it is given
//! the bare TCP socket before any byte is sent. So [`Connector`] puts an [`Observed`] stream around plaintext as
//! well as around real TLS.
//!
//! **What the server may send.** A limit of time holds on each read, whether anything has to be waited for or not. In a
//! query memory follows what comes of rows and data, whatever a message announces, and no other message has more than
//! 64 MiB; elsewhere there is a limit for the bytes of a message and of all together. What is above it ends the
//! connection, as does what is not the protocol.
//!
//! | module | job |
//! | --- | --- |
//! | `task` | whom a waker wakes |
//! | `arrivals` | whether anything has arrived that was not read |
//! | `malformed` | what no server sends that keeps to the protocol |
//! | `frames` | cuts a byte stream into messages, however it is split |
//! | `notifications` | bounds the notifications that a client holds |
//! | `fields` | the fields with which the client's messages about statements begin |
//! | `types` | what the client asks about types that it does not know |
//! | `backend` | what the server's messages say |
//! | `words` | words of a text that comes in pieces |
//! | `settings_text` | what the text of a request does to the settings of its session |
//! | `statements` | which requests set something, by the texts of their statements |
//! | `frontend` | what the client's messages ask for |
//! | `nesting` | how deep its questions are nested |
//! | `texts` | the texts of the client's statements |
//! | `along` | statements of the pool's own that go along with the client's requests |
//! | `state` | what is known of the connection, readable by its owner, and the switches |
//! | `shown` | what the driver's socket tells of itself |
//! | `send_queue` | what the kernel has yet to send |
//! | `uplink` | whether a large request still drains from there |
//! | `limits` | one timer for the handshake, for a silent server, and for one bounded call |
//! | `slow` | the log of slow statements, where it is asked for |
//! | `times` | how long statements take, where it is asked for |
//! | `home` | whether a stream is still in the process that opened it |
//! | `hang_up` | the wait for the server's end of the stream |
//! | `stream` | the wrapped stream |
//! | `openings` | the openings of a pool, which end with it |
//! | `connector` | where it is put in place |

mod along;
mod arrivals;
mod backend;
mod connector;
mod fields;
mod frames;
mod frontend;
mod hang_up;
mod home;
mod limits;
mod malformed;
mod nesting;
mod notifications;
mod openings;
mod send_queue;
mod settings_text;
mod shown;
mod slow;
#[cfg(test)]
pub(in crate::postgres) mod splits;
mod state;
mod statements;
mod stream;
mod task;
mod texts;
mod times;
mod types;
mod uplink;
mod words;

pub(crate) use along::{ASK_ISOLATION, CommitAlong};
pub(crate) use arrivals::Arrivals;
pub(crate) use connector::Connector;
pub(crate) use limits::LimitExpired;
pub(crate) use malformed::Malformed;
pub(crate) use openings::{Opening, Openings};
pub(crate) use state::{Abandoned, Pending, Probe, ServerRole, WireState};
