//! The parts of the latency example, from the command line to the page.

pub mod args;
pub mod chart;
pub mod compare;
pub mod growth;
pub mod measure;
pub mod page;
pub mod pools;
pub mod table;
