//! How fast this machine is at the moment: how long a superuser's log-in takes, for which there is always room.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::sampler::superuser;
use crate::support::cluster::Cluster;
use crate::support::wait::MS;

const EVERY: Duration = Duration::from_millis(250);
/// What is promised is some steps one after the other, of log-ins and statements. Each limit grows by what so many of
/// the slowest log-ins within it took.
const STEPS: u32 = 10;

/// What was measured.
#[derive(Default)]
pub struct Pace(Mutex<Vec<(Instant, Duration)>>);

impl Pace {
    /// Measures until all is over.
    pub fn measure(&self, cluster: &Cluster, is_over: &AtomicBool) {
        while !is_over.load(Relaxed) {
            let began = Instant::now();
            // One that fails does so since the server is started anew.
            if superuser(cluster).is_ok() {
                self.0.lock().push((began, began.elapsed()));
            }
            thread::sleep(EVERY.saturating_sub(began.elapsed()).max(50 * MS));
        }
    }

    /// A limit for what was done in this time, on a machine that is as loaded as this one was.
    pub fn widened(&self, limit: Duration, from: Instant, to: Instant) -> Duration {
        let measured = self.0.lock();
        let within = measured.iter().filter(|(began, took)| *began <= to && from <= *began + *took);
        limit + STEPS * within.map(|(_, took)| *took).max().unwrap_or_default()
    }

    /// The middle one of all log-ins, and the slowest.
    pub fn told(&self) -> (Duration, Duration) {
        let mut all: Vec<_> = self.0.lock().iter().map(|(_, took)| *took).collect();
        all.sort_unstable();
        (all.get(all.len() / 2).copied().unwrap_or_default(), all.last().copied().unwrap_or_default())
    }
}
