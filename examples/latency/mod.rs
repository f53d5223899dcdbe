//! The parts of the latency example, from the command line to the page.

pub mod args;
#[path = "../../src/bin/tierpool/chart.rs"]
pub mod chart;
pub mod compare;
pub mod growth;
pub mod measure;
pub mod page;
#[path = "../../src/bin/tierpool/percentiles.rs"]
pub mod percentiles;
pub mod pools;
pub mod table;
