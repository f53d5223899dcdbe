//! The main job beside the same job written with r2d2: documents a second, and rows a second, into one server.
//!
//! Then work that waits for somebody else, in two stages and with a connection held meanwhile, groups of items where a
//! COMMIT waits for the disk, and what the runner costs where there is nothing to do.

mod by_hand;
#[path = "../common/mod.rs"]
mod common;
mod documents;
mod groups;
mod job;
mod runner;
// A bench takes a part of it, and without a harness its tests are nobody's.
#[allow(dead_code, unused_imports)]
#[path = "../../examples/scraper/mod.rs"]
mod scraper;
mod stages;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

use common::mode::Mode;
use common::table::Table;
use support::cluster::Cluster;

fn main() -> ExitCode {
    let mode = Mode::from_args();
    let cluster = match Cluster::start_new() {
        Ok(cluster) => cluster,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut table =
        Table::new("batches beside the same jobs written with r2d2, medians of interleaved rounds", mode);
    job::measure(&cluster, mode, &mut table);
    stages::measure(&cluster, mode, &mut table);
    groups::measure(mode, &mut table);
    runner::measure(&cluster, mode, &mut table);
    table.finish()
}
