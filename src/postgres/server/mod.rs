//! What the server says of itself: whether it answers, who is connected to it, what runs there.
//!
//! All of it goes through the ad-hoc tier's own connections, never borrowed ones, so that it can be asked while
//! automation is at its limit; and is bounded by one limit, `inquiry_timeout`.
//!
//! | module | job |
//! | --- | --- |
//! | `ask` | one question within one limit, over TCP and over a Unix socket |
//! | `health` | whether the server answers |
//! | `names` | which sessions are this application's |
//! | `limits` | the limits on connections, and the room that they leave |
//! | `activity` | who is connected |
//! | `room` | whether there is room for a budget |
//! | `clients` | everybody who is connected, by role and application |
//! | `doing` | what a session does, in the server's words |
//! | `queries` | what has been running for long |
//! | `sessions` | the sessions of all applications that have tiers, one by one |
//! | `show` | activity and queries as text |
//! | `signal` | ending a statement or a session |

mod activity;
mod ask;
mod clients;
mod doing;
mod health;
mod limits;
mod names;
mod queries;
mod room;
mod sessions;
mod show;
mod signal;

pub use activity::{HostSessions, ServerActivity, Sessions, TierActivity};
pub use clients::ClientSessions;
pub(super) use health::answer;
pub use limits::{DatabaseLimit, RoleLimit, ServerLimits};
pub use queries::RunningQuery;
pub(super) use room::look_for_room;
pub use sessions::TierSession;
pub use signal::ServerProcess;
