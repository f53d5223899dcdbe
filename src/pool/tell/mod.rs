//! What the pool tells of itself: to handlers, to the log, in counters, reports and errors.
//!
//! | module | job |
//! | --- | --- |
//! | `notify` | calls foreign code and catches its panics; delivers events; logs no kind of warning too often |
//! | `trace` | the wait in the caller's own span, and whether a subscriber wants checkouts told (feature `tracing`) |
//! | `accounts` | what is counted, logged and told when a connection is opened, lent, returned, closed or found dead |
//! | `directory` | what a connection's place says of its pool |
//! | `observe` | gauges, holders and waiters, and what is in the pool's own hands |
//! | `contact` | when the server was last seen, as far as that is known without asking it, and what it owes an answer |
//! | `deadlock` | whether all connections are held by threads that wait for one |
//! | `evidence` | everything counted as one snapshot, and what an error carries |

pub(super) mod accounts;
pub(super) mod contact;
pub(super) mod deadlock;
pub(super) mod directory;
pub(super) mod evidence;
pub(super) mod notify;
pub(super) mod observe;
#[cfg(feature = "tracing")]
pub(super) mod trace;
