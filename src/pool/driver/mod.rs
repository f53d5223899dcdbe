//! What a database layer gives.
//!
//! | module | job |
//! | --- | --- |
//! | `control` | what other threads may do to a connection that is out |
//! | `layer` | what a pool can be told of its connections beyond r2d2's three calls |
//! | `logging` | the log lines that r2d2 writes by default |
//! | `hooks` | the foreign code of one pool |

pub(super) mod control;
pub(super) mod hooks;
pub(super) mod layer;
pub(super) mod logging;
