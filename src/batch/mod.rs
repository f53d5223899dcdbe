//! Runs a batch: feeds items to worker threads, each item in a transaction of its own, and loses none.
//!
//! ```no_run
//! use tierpool::batch::{self, Options};
//! use tierpool::{PgError, PgPool};
//!
//! let pool = PgPool::from_env()?;
//! let pages = vec!["a", "b", "c"];
//! let report = batch::run(&pool, pages, Options::default(), |tx, page| {
//!     tx.execute("INSERT INTO pages VALUES ($1)", &[page])?;
//!     Ok::<_, PgError>(())
//! });
//! println!("{report}");
//! # Ok::<(), tierpool::Error>(())
//! ```

mod feed;
mod floor;
mod options;
mod report;
mod worker;

pub use feed::{run, run_with};
pub use options::{Options, Progress};
pub use report::{BoxError, Class, Ended, Failed, Percentiles, Report};
