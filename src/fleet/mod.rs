//! One budget of connections over many processes and hosts.
//!
//! Programs that share a PostgreSQL form a *fleet*: together they have so many connections and no more, each gets its
//! fair part, and what a dead process had is free again as soon as the server has noticed. No service stands in
//! between: the server's own session-level locks are the accounts. `README.md` in this folder states the protocol.
//!
//! A [`PgPool`](crate::PgPool) becomes part of one by `DB_POOL_FLEET` or
//! [`PgBuilder::fleet`](crate::postgres::PgBuilder::fleet); [the guide](crate::guide::fleet) says what is promised.
//!
//! What one process of a fleet decides, given what it is told, is in [`core`]. It is public since a simulator has to
//! be able to drive as many of them as it likes: `examples/fleet_sim.rs` does, and a program that wants to know how its
//! own fleet would fare can do the same.

// A module uses only modules in rows above its own.
//
// | module | job |
// | --- | --- |
// | `core` | the decisions, as a pure machine |
// | `keys` | the keys of a fleet's locks |
// | `want` | the mark of those who want, which wears off |
// | `questions` | what is asked of the server, and what its answers mean |
// | `state` | the machine, and what is under way for it |
// | `threads` | its threads |
// | `adhoc` | the ad-hoc tier's part: slots of the reserve |
// | `give_back` | the thread that gives idle ones of them back |
// | `person` | lets the connections of the ad-hoc tier in |
// | `part` | one pool's part in a fleet |
// | `claim` | one opening: what is done on a new connection |
// | `tend` | the thread that tells the machine the time |
// | `admission` | a fleet as what lets the connections of a pool in |
// | `found` | makes it of a pool's settings |
// | `survey` | a fleet as the server alone shows it |
// | `trial` | whether a server's locks are real |

mod adhoc;
mod admission;
mod claim;
pub mod core;
mod found;
mod give_back;
mod keys;
mod part;
mod person;
mod questions;
mod state;
mod survey;
mod tend;
mod threads;
mod trial;
mod want;

pub use found::budget;
pub use survey::{Survey, SurveyedSession};
pub use trial::try_locks;
