//! Statements of the pool's own that go along with the client's requests: BEGIN ahead of a session's first one, COMMIT
//! behind its last. The README beside tells the states, why it is safe, and which break of it which test finds.
//!
//! | module | job |
//! | --- | --- |
//! | `messages` | the bytes of it |
//! | `answers` | which parts of an answer are the pool's own |
//! | `states` | where a BEGIN, a COMMIT and the client stand |
//! | `machine` | their steps, what goes out, and what the client sees |
//! | `cell` | the machine, shared between the stream and the connection's owner |

mod answers;
mod cell;
mod machine;
mod messages;
#[cfg(test)]
pub(super) mod scripted;
mod states;
#[cfg(test)]
mod tests;

pub(super) use cell::Along;
pub(crate) use machine::ASK_ISOLATION;
pub(super) use messages::UNHEARD_COMMIT;
pub(crate) use states::CommitAlong;
pub(super) use states::Next;
