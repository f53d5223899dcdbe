//! What the keeper does for a pool.
//!
//! | module | job |
//! | --- | --- |
//! | `overdue` | gives up what helpers take too long over |
//! | `stuck` | checkouts that last too long: a warning, then a cancelled statement, then an ended session |
//! | `tidy` | retires what is old or idle for long, validates what may have died unseen |
//! | `visit` | has idle connections checked by which a database layer has something to ask |
//! | `ahead` | validates idle connections before they have rested for too long |
//! | `tend` | one look of the keeper: all of the above, and the minimum kept open |

mod ahead;
mod overdue;
pub(super) mod stuck;
mod tend;
mod tidy;
#[cfg(feature = "postgres")]
pub(super) mod visit;
