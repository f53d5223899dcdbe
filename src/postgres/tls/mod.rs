//! Encryption: what is asked of it, and how a bare socket becomes a stream that the observer can read along.
//!
//! The driver is told to negotiate nothing, so that its connector is given each socket before any byte is sent; see
//! [`observer`](super::observer). What libpq's `sslmode` says is done here: with the feature `tls` by rustls, without
//! it by refusing what cannot be had.
//!
//! | module | job |
//! | --- | --- |
//! | `advice` | what to change when the server refuses for want of encryption or of a certificate |
//! | `explain` | what to change when TLS fails |
//! | `files` | certificates and keys as they are on disk |
//! | `verify` | which certificates of a server are taken |
//! | `secured` | the stream that comes of a negotiation, encrypted or not |
//! | `negotiate` | asks the server for TLS, and does the handshake |
//! | `security` | settings and files, made into what is tried in turn |
//! | `plain` | stands for all of these but the first in a build without the feature |

mod advice;
#[cfg(feature = "tls")]
mod explain;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod negotiate;
#[cfg(not(feature = "tls"))]
mod plain;
#[cfg(feature = "tls")]
mod secured;
#[cfg(feature = "tls")]
mod security;
#[cfg(feature = "tls")]
mod verify;

pub(super) use advice::Advised;
#[cfg(feature = "tls")]
pub(super) use negotiate::Secure;
#[cfg(not(feature = "tls"))]
pub(super) use plain::{Secure, Security};
#[cfg(feature = "tls")]
pub(super) use security::Security;
