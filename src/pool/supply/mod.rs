//! The supply of connections: how many are wanted, the attempts to open them, and their end.
//!
//! | module | job |
//! | --- | --- |
//! | `connect` | one call into the database layer that opens a connection and sets it up |
//! | `filled` | whether the pool has open what it keeps, and the line that says so |
//! | `outcome` | what a success or a failure means for the breaker and for those who wait |
//! | `demand` | how many connections are wanted, and a seat for each attempt |
//! | `open` | one attempt, from its seat to a connection that is lent |
//! | `close` | one end, with the seat kept until the connection is gone |
//! | `room` | a pool as one of those that share a budget |
//!
//! Circle: `demand`, `open` and `close`, since the matter is one: demand starts attempts, what an attempt opens may
//! have to be closed at once, and the end of either frees what the next demand is waiting for.

pub(super) mod close;
pub(super) mod connect;
pub(super) mod demand;
pub(super) mod filled;
pub(super) mod open;
pub(super) mod outcome;
mod room;
