//! On which cores client and server run.
//!
//! They take turns in a round trip, which takes 10 µs on one core and 20 to 40 µs on two, where a sleeping core has to
//! be woken. Left to the kernel it is drawn for each pair, and the figures of two pools are those of two draws.

use std::fmt;

use rustix::process::Pid;
use rustix::thread::sched_setaffinity;

use crate::common::cores::{Held, core};
use crate::support::cluster::Cluster;

/// Where the server runs, seen from the client.
#[derive(Clone, Copy, Debug)]
pub enum Placement {
    SameCore,
    OtherCore,
}

impl Placement {
    pub const ALL: [Placement; 2] = [Placement::SameCore, Placement::OtherCore];

    /// Runs `work` with this thread and the server's sessions of the moment in their places. Where the system does not
    /// allow that, they stay where they are.
    pub fn hold<T>(self, cluster: &Cluster, work: impl FnOnce() -> T) -> T {
        let number = match self {
            Placement::SameCore => 0,
            Placement::OtherCore => 1,
        };
        let (Some(client), Some(server)) = (core(0), core(number).or_else(|| core(0))) else { return work() };
        let sessions = "SELECT pid FROM pg_stat_activity WHERE usename = 'app'";
        for row in cluster.admin().query(sessions, &[]).expect("pg_stat_activity can be read") {
            // One that has ended since is not needed either.
            let _ = sched_setaffinity(Pid::from_raw(row.get(0)), &server);
        }
        let _held = Held::on(&client);
        work()
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Placement::SameCore => "server on the same core",
            Placement::OtherCore => "server on another core",
        })
    }
}
