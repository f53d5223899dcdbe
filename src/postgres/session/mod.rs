//! A transaction as a closure, and when it is repeated.
//!
//! | module | job |
//! | --- | --- |
//! | `retry` | when work is worth doing again, and after how long |
//! | `options` | how one session differs from the pool's usual |
//! | `setback` | what a failure means for another attempt |
//! | `noted` | what a session's calls have seen of its errors |
//! | `bounds` | BEGIN, ROLLBACK, and the limits of time between them |
//! | `underway` | where the connection comes from, when it is taken, and how far the session has come |
//! | `transaction` | the handle by which the closure works |
//! | `cached` | calls by the statements that a connection keeps |
//! | `kinds` | kinds of statements that its text tells for certain |
//! | `ending` | what a closure can return to say how the session ends |
//! | `run` | the closure, COMMIT or ROLLBACK |

mod bounds;
mod cached;
mod ending;
mod kinds;
mod noted;
mod options;
mod retry;
mod run;
mod setback;
mod transaction;
mod underway;

pub(crate) use ending::Committed;
pub use ending::{Ending, Last};
pub use options::SessionOptions;
pub use retry::Retry;
pub(crate) use retry::{Again, Attempts};
pub(crate) use run::attempt;
pub use run::{run_session, run_session_ending};
pub(crate) use setback::{OfFrame, Setback, Uncommitted};
pub use transaction::Session;
pub(crate) use underway::{Frame, Loan, Origin};
