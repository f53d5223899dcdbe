//! Which server: a connection string, or the environment variables in its place, taken apart and made into one.
//!
//! From the lowest to the highest; a module uses only those above it.
//!
//! | module | job |
//! | --- | --- |
//! | `foreign` | what other pools and drivers take, and what to write in its place |
//! | `url` | cuts a connection string into its parameters |
//! | `startup` | what start-up options say of the limit of a statement |
//! | `libpq` | the parameters of libpq: which are taken, and how |
//! | `passfile` | the password file |
//! | `attrs` | which kind of server may be used |
//! | `tls` | what is asked of TLS |
//! | `providers` | who runs the server for others, and what they say of TLS |
//! | `destination` | servers and configuration, with nothing left open |
//! | `address` | the server, put together and checked |
//! | `locate` | looks for the server: builder, then environment |

pub(super) mod address;
pub(super) mod attrs;
pub(super) mod destination;
mod foreign;
mod libpq;
pub(super) mod locate;
mod passfile;
pub(super) mod providers;
pub(super) mod startup;
pub(super) mod tls;
mod url;
