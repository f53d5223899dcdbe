//! Lending values to threads: slots, queue, waiters, ledger. Generic over the value; no I/O, no clock (a deadline is
//! handed in), no foreign code. `README.md` in this folder states the protocol that the code cites.

// A model calls what its race needs; the floors above call the rest.
#![cfg_attr(tierpool_loom, allow(dead_code, unused_imports))]

mod cell;
mod gate;
mod ledger;
mod lending;
mod queue;
mod seat;
mod slots;
mod sync;
mod tempo;
mod waiter;

#[cfg(all(test, tierpool_loom))]
mod model;
#[cfg(all(test, tierpool_loom))]
mod model_hint;
#[cfg(all(test, tierpool_loom))]
mod model_seizure;
#[cfg(all(test, not(tierpool_loom)))]
mod stress;

pub(crate) use lending::{Counts, Joined, Lending, Seizure};
pub(crate) use queue::Ticket;
pub(crate) use seat::Seat;
pub(crate) use tempo::{LEAST_BRAKE, Lingered, MOST_BRAKE, PAID_TO_LET_UP, Waited};
pub(crate) use waiter::{Outcome, Waiter, Watched};
