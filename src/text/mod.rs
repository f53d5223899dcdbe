//! How things are put into words, in one place each. Knows nothing of what is told.
//!
//! | module | job |
//! | --- | --- |
//! | `harmless` | text of others, on one line, bounded, with nothing in it that a terminal obeys |
//! | `time` | times as a person writes them |
//! | `count` | so many of something |
//! | `chain` | an error with its causes, each said once |

mod chain;
mod count;
mod harmless;
mod time;

pub(crate) use chain::{Cause, line, links};
pub(crate) use count::counted;
pub(crate) use harmless::harmless;
pub(crate) use time::{Ago, Limit, Time};
