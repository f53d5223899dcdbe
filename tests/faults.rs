//! Every fault of the list, F1 to F16, against a real server, each with eight workers on eight connections.
//!
//! A fault of the server or the network runs in a process of its own: threads and descriptors are counted for a whole
//! process. `tests/support/lab` does the work; the bars are in `lab/catalog.rs` (of one fault) and `lab/verdict.rs` (of
//! all of them). Bars in time get what the machine itself stalled on top, and up to three runs; what counts work and
//! workers must hold in every run.
#![cfg(feature = "postgres")]

#[path = "support/lab/mod.rs"]
mod lab;
mod support;

#[path = "faults/bouncer.rs"]
mod bouncer;
#[path = "faults/hooks.rs"]
mod hooks;
#[path = "faults/mixture.rs"]
mod mixture;
#[path = "faults/network.rs"]
mod network;
#[path = "faults/programs.rs"]
mod programs;
#[path = "faults/refusals.rs"]
mod refusals;
#[path = "faults/server.rs"]
mod server;
#[path = "faults/unix.rs"]
mod unix;

/// Not a test by itself: what the processes that the others start run.
#[test]
fn as_a_child() {
    lab::process::serve();
}
