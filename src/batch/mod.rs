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
//!
//! Work that first waits for somebody else, such as a web server, is done in two [`stages`], so that no connection is
//! held meanwhile; many small items go into one transaction as a [group](Options::group), so that they wait for the
//! server's disk once:
//!
//! ```no_run
//! use std::time::Duration;
//! use tierpool::batch::{self, Fetching, Options};
//! use tierpool::{PgError, PgPool};
//!
//! # fn download(url: &str) -> std::io::Result<String> { Ok(url.to_owned()) }
//! let pool = PgPool::from_env()?;
//! let urls = (1..=10_000).map(|n| format!("https://site.example/{n}"));
//! let report = batch::stages(
//!     &pool,
//!     urls,
//!     Fetching::new().threads(64).limit(Duration::from_secs(20)),
//!     Options::new().group(100, Duration::from_millis(200)),
//!     |url: &String| download(url),
//!     |tx, url, page| {
//!         tx.execute_cached("INSERT INTO pages VALUES ($1, $2)", &[url, page])?;
//!         Ok::<_, PgError>(())
//!     },
//! );
//! println!("{report}");
//! # Ok::<(), tierpool::Error>(())
//! ```
//!
//! An input that many hosts share is a [`queue`], in which each item takes effect once, whatever dies.

// A module uses only modules in rows above its own.
//
// | module | job |
// | --- | --- |
// | `percentiles` | of a time |
// | `stage_report` | what became of the stage of fetches, and of groups |
// | `report` | what became of a batch |
// | `outcomes` | what became of the items of one worker |
// | `options`, `fetching` | what a batch, and its stage of fetches, may be told |
// | `floor` | what the threads of a batch share: its end, its progress |
// | `feed` | items from the input into a bounded channel |
// | `source` | where workers get their jobs from |
// | `pages` | the channel between the stages, bounded by number and bytes |
// | `claimed` | what is claimed of an input that many hosts share |
// | `fetch` | the fetch threads |
// | `watch` | starts them, and gives up fetches beyond their limit |
// | `worker` | gives each job a session, and tries again what is worth it |
// | `group` | several jobs in one transaction |
// | `serve` | a worker's time: jobs, alone or in groups |
// | `run`, `stages` | a batch of one stage, and of two |
// | `queue` | a batch whose input many hosts share |

mod claimed;
mod feed;
mod fetch;
mod fetching;
mod floor;
mod group;
mod options;
mod outcomes;
mod pages;
mod percentiles;
pub mod queue;
mod report;
mod run;
mod serve;
mod source;
mod stage_report;
mod stages;
mod watch;
mod worker;

pub use fetching::Fetching;
pub use options::{Options, Progress};
pub use percentiles::Percentiles;
pub use report::{BoxError, Class, Ended, Failed, Report};
pub use run::{run, run_ending, run_with};
pub use stage_report::{FetchStage, Groups};
pub use stages::{stages, stages_ending, stages_with};
