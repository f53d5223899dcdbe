//! The parts that a pool is composed of: each owns its state and its locks, and knows nothing of the whole.
//!
//! | module | job |
//! | --- | --- |
//! | `changed` | wakes those who wait for a change of the pool, such as its end |
//! | `peaks` | the most of a number within the last minute |
//! | `counters` | counters, and gauges that cannot be forgotten to be taken back |
//! | `generations` | which connections are suspect or evicted, by when they were last known good or opened |
//! | `fast` | what every checkout and checkin reads |
//! | `breaker` | when a connection may be opened: back-off, circuit breaker, slow start |
//! | `contact` | when the server was last seen, and what has failed since |
//! | `budget` | how far the ceilings of two pools may go together |
//! | `supply` | the breaker, the part in a budget, the demand that they rule over, and what is known of the server |
//! | `sinks` | who is told of events, and how often the log is |
//! | `keeper` | the thread that looks after the pools of a group |
//! | `linger` | waiting awake for a moment, where that is cheaper than to be woken |
//! | `mailbox` | a place for one job, watched by a thread that is awake |
//! | `job` | what a thread of a group is given to do |
//! | `workers` | threads on demand, for calls that may block |
//! | `caller` | who waits for what a helper makes of a connection |
//! | `errand` | work in the hands of a helper thread, and the right to give it up |
//! | `helpers` | keeper, openers, workers, and the errands that they have |

pub(super) mod breaker;
pub(super) mod budget;
pub(super) mod caller;
pub(super) mod changed;
pub(super) mod contact;
pub(super) mod counters;
pub(super) mod errand;
pub(super) mod fast;
pub(super) mod generations;
pub(super) mod helpers;
pub(super) mod job;
pub(super) mod keeper;
pub(super) mod linger;
mod mailbox;
pub(super) mod peaks;
pub(super) mod sinks;
pub(super) mod supply;
pub(super) mod workers;
