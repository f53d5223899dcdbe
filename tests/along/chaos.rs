//! What befalls sessions from outside, at any moment of theirs.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use crate::support::cluster::Cluster;
use crate::support::proxy::Proxy;
use crate::support::wait::MS;

pub struct Chaos<'a> {
    pub cluster: &'a Cluster,
    pub proxy: &'a Proxy,
    pub is_over: &'a AtomicBool,
}

#[derive(Debug, Default)]
pub struct Disturbed {
    pub cancels: u32,
    pub ends: u32,
    pub resets: u32,
}

impl Chaos<'_> {
    /// Cancels statements, ends backends and resets connections, one at a time, until it is over.
    pub fn run(self, seed: u64) -> Disturbed {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut admin = self.cluster.admin();
        let mut disturbed = Disturbed::default();
        // Whoever works for `app`, be it for the pool or for a pooler of its.
        let one = "FROM pg_stat_activity WHERE usename = 'app' AND backend_type = 'client backend'
            ORDER BY random() LIMIT 1";
        while !self.is_over.load(Relaxed) {
            thread::sleep(dice.u32(1..20) * MS);
            let (count, call) = match dice.u32(0..40) {
                0 => {
                    self.proxy.reset();
                    disturbed.resets += 1;
                    continue;
                }
                1..4 => (&mut disturbed.ends, "pg_terminate_backend"),
                _ => (&mut disturbed.cancels, "pg_cancel_backend"),
            };
            *count += admin.query(&format!("SELECT {call}(pid) {one}"), &[]).unwrap().len() as u32;
        }
        disturbed
    }
}
