//! A feed that many hosts share: each item takes effect exactly once, whatever dies.
//!
//! A [`Queue`] is a table in the user's own PostgreSQL. Hosts push items to it, and batches on any number of hosts
//! [`run`] through it together: each claims items for a time, works on them in sessions, and removes each in the very
//! transaction of its work. So either both took effect or neither has.
//!
//! ```no_run
//! use tierpool::batch::Options;
//! use tierpool::batch::queue::{Claims, Queue};
//! use tierpool::{PgError, PgPool};
//!
//! let pool = PgPool::from_env()?;
//! let queue = Queue::create(&pool, "pages")?; // does nothing where it is there
//! queue.push_many((1..=10_000).map(|n| format!("https://site.example/{n}")))?;
//! let report = queue.run(Claims::new().until_empty(true), Options::default(), |tx, item| {
//!     let url = String::from_utf8_lossy(item.payload());
//!     tx.execute_cached("INSERT INTO pages VALUES ($1)", &[&url])?;
//!     Ok::<_, PgError>(())
//! })?;
//! println!("{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | what happens | what becomes of the item |
//! | --- | --- |
//! | its work succeeds | removed, in the transaction of the work |
//! | its work fails | tried again after a wait that doubles; a dead letter after [`Claims::attempts`] |
//! | its host dies | claimed by another once its [lease](Claims::lease) is over |
//! | its host is cut off for longer than the lease, and works on | another claims it; of the two transactions one finds nothing to remove, and is rolled back |
//! | the answer to COMMIT is lost | done again: where the first had taken effect there is nothing to remove, and the second is rolled back |
//! | the batch is stopped | finished where it was begun, else given back at once |
//!
//! What the work does elsewhere than in its transaction, such as a request to a web server, is done as often as the
//! item is tried.
//!
//! Queues of others serve as well: those of the extension pgmq by [`Pgmq`], all by the trait [`Feed`].

// A module uses only modules in rows above its own.
//
// | module | job |
// | --- | --- |
// | `name` | names of queues |
// | `sql` | the statements of a queue's table |
// | `statement` | one statement, as a session of its own |
// | `claims` | how items are claimed |
// | `item` | an item, claimed |
// | `stats` | what is in a queue |
// | `table` | a queue in a table |
// | `claiming` | claims on its items |
// | `pgmq` | queues of the extension pgmq |
// | `report` | what became of what a batch has claimed |
// | `feeder` | claims items, and renews the claims |
// | `run` | a batch over a feed |

mod claiming;
mod claims;
mod feeder;
mod item;
mod name;
mod pgmq;
mod report;
mod run;
mod sql;
mod statement;
mod stats;
mod table;

pub use claiming::QueueFeed;
pub use claims::Claims;
pub use item::Item;
pub use pgmq::{Message, Pgmq};
pub use report::Report;
pub use run::{run, run_with};
pub use stats::{DeadLetter, QueueStats};
pub use table::Queue;

pub use super::claimed::{Claimed, Fate, Feed, FeedError, Pace, Room};
