//! Pools of PostgreSQL connections over TCP, beside r2d2 with its defaults and without its check of each checkout.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/support/mod.rs"]
mod support;

mod adhoc;
mod checkout;
mod opening;
mod placement;
mod pools;
mod sessions;
#[cfg(feature = "tls")]
mod tls;
mod users;

use std::process::ExitCode;

use common::mode::Mode;
use common::table::Table;
use support::cluster::Cluster;

/// For three pools of 60, and for what is being closed meanwhile.
const SESSIONS: u32 = 300;

fn main() -> ExitCode {
    let mode = Mode::from_args();
    let cluster = match Cluster::builder().max_connections(SESSIONS).start() {
        Ok(cluster) => cluster,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let version: String = cluster.admin().query_one("SHOW server_version", &[]).unwrap().get(0);
    println!("PostgreSQL {version}, over TCP on loopback");
    let mut table = Table::new("pools of PostgreSQL connections, medians of interleaved rounds", mode);
    checkout::measure(mode, &cluster, &mut table);
    #[cfg(feature = "tls")]
    tls::measure(mode, &mut table);
    sessions::measure(mode, &cluster, &mut table);
    adhoc::measure(mode, &cluster, &mut table);
    users::measure(mode, &cluster, &mut table);
    opening::measure(mode, &cluster, &mut table);
    table.finish()
}
