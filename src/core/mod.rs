//! Lending values to threads: slots, queue, waiters, ledger. Generic over the value; no I/O, no clock (a deadline is
//! handed in), no foreign code. `README.md` in this folder states the protocol that the code cites.

mod cell;
mod ledger;
mod lending;
mod queue;
mod seat;
mod slots;
mod sync;
mod waiter;

#[cfg(all(test, tierpool_loom))]
mod model;

pub(crate) use lending::{Counts, Joined, Lending};
pub(crate) use queue::Ticket;
pub(crate) use seat::Seat;
pub(crate) use waiter::{Outcome, Waiter};
