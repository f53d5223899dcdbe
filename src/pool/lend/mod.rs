//! Lending: from a caller's wish to the guard it gets, and back.
//!
//! | module | job |
//! | --- | --- |
//! | `checkin` | takes a connection back |
//! | `guard` | what a caller holds of a connection |
//! | `call` | one caller's checkout under way, and how it may end |
//! | `prove` | validates a connection within the caller's time |
//! | `linger` | waits in line, with or without sleep |
//! | `queue` | stands in line |
//! | `checkout` | the direct way, and the search where it leads to no connection |

pub(super) mod call;
mod checkin;
pub(super) mod checkout;
pub(super) mod guard;
mod linger;
mod prove;
mod queue;
