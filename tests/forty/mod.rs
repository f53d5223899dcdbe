//! Forty programs on one server, with a fleet and without one: what they are, and what is looked at meanwhile.

pub mod pace;
pub mod person;
pub mod plan;
pub mod program;
pub mod programs;
pub mod reckoning;
pub mod sampler;
pub mod table;

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::support::cluster::Cluster;
use crate::support::wait::SECOND;

pub const PROGRAMS: usize = 40;
/// Those that stay when the others are killed, and those behind the proxy, which are not among them.
pub const STAYING: usize = 10;
pub const BEHIND_PROXY: usize = 6;
/// How many connections each would have, and has threads for.
pub const WANTED: u32 = 10;
/// The fleet's budget, and what follows from it.
pub const TOTAL: u32 = 60;
pub const RESERVED: u32 = 5;
pub const AUTOMATION: usize = 55;
pub const SLOTS: usize = 52;
/// The role of the programs, and the person's.
pub const BATCH: &str = "batch";
pub const PERSON: &str = "person";
/// Of superusers: those that look all the time, and those kept for others.
const LOOKING: u32 = 2;
const SUPERUSERS: u32 = 3;

/// What is promised: nobody is without a connection for longer, shares even out, and a person gets in.
pub const STARVES: Duration = Duration::from_secs(5);
pub const EVEN: Duration = Duration::from_secs(5);
pub const GETS_IN: Duration = SECOND;
/// For so long after a partition its processes are left out.
pub const AFTER_PARTITION: Duration = Duration::from_secs(45);

/// A server whose sessions are the budget and the superusers', with the limits of both roles.
pub fn server() -> Cluster {
    let settings = [
        ("superuser_reserved_connections", SUPERUSERS.to_string()),
        ("client_connection_check_interval", "1s".to_owned()),
        // A partition is noticed within 8 s; by the last, where an answer was under way.
        ("tcp_keepalives_idle", "5".to_owned()),
        ("tcp_keepalives_interval", "1".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
        ("tcp_user_timeout", "8s".to_owned()),
        // The code of an error, so that refusals can be counted.
        ("log_line_prefix", "%m [%p] %e ".to_owned()),
    ];
    let builder = Cluster::builder()
        .max_connections(TOTAL + LOOKING + SUPERUSERS)
        .hba("host all all 127.0.0.1/32 trust");
    let cluster = settings.into_iter().fold(builder, |builder, (name, value)| builder.setting(name, value));
    let cluster = cluster.start().unwrap();
    let role = |name: &str, limit: usize| format!("CREATE ROLE {name} LOGIN CONNECTION LIMIT {limit};");
    let roles = role(BATCH, AUTOMATION) + &role(PERSON, RESERVED as usize);
    cluster.admin().batch_execute(&roles).unwrap();
    cluster
}

/// Where a role finds the server; what is cut off is noticed as soon as the server notices it.
pub fn url(role: &str, port: u16) -> String {
    format!(
        "postgresql://{role}@127.0.0.1:{port}/app?keepalives_idle=5&keepalives_interval=1&keepalives_count=3\
         &tcp_user_timeout=8000"
    )
}

/// How many log-ins and sessions the server has refused for want of room so far.
pub fn refusals(cluster: &Cluster) -> usize {
    cluster.server_log().lines().filter(|line| line.contains(" 53300 FATAL: ")).count()
}

/// Times in which the server is started anew: nobody is served then, and nothing is promised.
#[derive(Default)]
pub struct Outages(Mutex<Vec<(Instant, Instant)>>);

impl Outages {
    pub fn add(&self, from: Instant, to: Instant) {
        self.0.lock().push((from, to));
    }

    /// Whether some of this time is in one.
    pub fn touches(&self, from: Instant, to: Instant) -> bool {
        self.0.lock().iter().any(|&(down, up)| from <= up && down <= to)
    }
}
