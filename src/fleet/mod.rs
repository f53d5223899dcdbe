//! One budget of connections over many processes and hosts.
//!
//! Programs that share a PostgreSQL form a *fleet*: together they have so many connections and no more, each gets its
//! fair part, and what a dead process had is free again as soon as the server has noticed. No service stands in
//! between: the server's own session-level locks are the accounts. `README.md` in this folder states the protocol.
//!
//! So far there are the decisions, in [`core`]: what one process of a fleet does, given what it is told. They are
//! public since a simulator has to be able to drive as many of them as it likes: `examples/fleet_sim.rs` does, and a
//! program that wants to know how its own fleet would fare can do the same. The pools of this crate do not use them
//! yet.

pub mod core;
