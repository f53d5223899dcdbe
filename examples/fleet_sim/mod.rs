//! Many machines of a fleet against a model of a server: `tests/fleet_sim.rs` holds it to the promises,
//! `examples/fleet_sim.rs` draws it.

pub mod args;
#[path = "../../src/bin/tierpool/chart.rs"]
#[allow(dead_code)] // What only charts of times use.
pub mod chart;
pub mod check;
pub mod drive;
pub mod faults;
pub mod page;
pub mod plan;
pub mod process;
pub mod server;
pub mod settled;
pub mod world;
