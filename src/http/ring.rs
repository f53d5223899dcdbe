//! The last minutes of a pool, for the curves of the page.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::view::{Sample, Tiers, View};

/// How often a sample is taken.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Five minutes of samples, some 10 KiB.
const KEPT: usize = 300;

/// Samples of both tiers, the oldest first.
#[derive(Default)]
pub(super) struct Ring(Mutex<VecDeque<Tiers<Sample>>>);

/// What `/admin/metrics/history` tells.
#[derive(Serialize)]
pub(super) struct History {
    every_seconds: u64,
    samples: Vec<Tiers<Sample>>,
}

impl Ring {
    /// Takes a sample of what there is.
    pub(super) fn sample(&self, view: &dyn View) {
        let Some(sample) = view.sample() else { return };
        let mut samples = self.0.lock();
        if samples.len() == KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    pub(super) fn history(&self) -> History {
        History { every_seconds: EVERY.as_secs(), samples: self.0.lock().iter().copied().collect() }
    }
}
