//! The fault lab: a pool under load, a fault done to its server or its network, and what came of it in figures.
//!
//! Tests hold tierpool to the bars of each scenario; `examples/fault_lab.rs` puts the figures of two pools side by
//! side.
//!
//! | file | job |
//! | --- | --- |
//! | `stage` | the cluster, the proxy, and how a pool reaches them |
//! | `scenario`, `catalog` | a fault: how it begins and ends, and what must hold |
//! | `bounced` | faults of a PgBouncer, and of the server behind it |
//! | `mixture` | faults one after the other, at random |
//! | `subject`, `ours`, `theirs` | the pool under test |
//! | `worker`, `record` | threads that work through it, and what became of each piece of work |
//! | `ledger` | whether the table agrees with what the workers were told |
//! | `watch` | attempts to connect, the machine's own stalls, threads and descriptors |
//! | `logs` | what an operator would have read |
//! | `leaver` | a program that ends while the fault lasts |
//! | `run`, `figures`, `verdict` | one run, its outcome as plain values, and the bars it missed |
//! | `process` | a run in a process of its own |

pub mod bounced;
pub mod catalog;
pub mod figures;
pub mod leaver;
pub mod ledger;
pub mod logs;
pub mod mixture;
pub mod ours;
pub mod process;
pub mod record;
pub mod run;
pub mod scenario;
pub mod stage;
pub mod subject;
pub mod theirs;
pub mod verdict;
pub mod watch;
pub mod worker;
