//! What is claimed of an input that many hosts share.
//!
//! | module | job |
//! | --- | --- |
//! | `feed` | what a feed is, whoever keeps its items |
//! | `hand` | what a batch has claimed and not ended, as the workers' source |
//!
//! Inversion: `Feed`, which `batch::queue::claiming` and `batch::queue::pgmq` implement, since what holds claims does
//! not know whose they are.

mod feed;
mod hand;

pub use feed::{Claimed, Fate, Feed, FeedError, Pace, Room};
pub(super) use hand::{Hand, Job};
