//! What the benches share: pools to compare, how they are measured, and the table at the end.

// Each bench is a crate of its own and takes a part of this.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[cfg(target_os = "linux")]
pub mod cores;
pub mod crowd;
pub mod machine;
pub mod mode;
pub mod rounds;
pub mod subject;
pub mod table;
pub mod throughput;
pub mod validated;
