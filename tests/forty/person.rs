//! The person: connects once a second, each time anew, and asks something.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tierpool::{PgPool, Tier};

use super::{PERSON, url};
use crate::support::wait::SECOND;

/// So long it is tried, which is longer than is promised, so that it can be told how long it took.
const PATIENCE: Duration = Duration::from_secs(3);

/// One connection of the person.
#[derive(Clone, Debug)]
pub struct Visit {
    pub from: Instant,
    pub to: Instant,
    /// Why there was none.
    pub refused: Option<String>,
}

impl Visit {
    pub fn length(&self) -> Duration {
        self.to - self.from
    }
}

#[derive(Default)]
pub struct Visits(Mutex<Vec<Visit>>);

impl Visits {
    /// Connects until all is over, by the ad-hoc tier.
    pub fn make(&self, port: u16, is_over: &AtomicBool) {
        let builder =
            PgPool::builder().url(url(PERSON, port)).app_name("person").connection_timeout(PATIENCE);
        let pool = builder.build_unchecked().unwrap();
        while !is_over.load(Relaxed) {
            let from = Instant::now();
            let asked = pool.get(Tier::Adhoc).map_err(|error| format!("{error:#}"));
            let asked =
                asked.and_then(|mut conn| conn.batch_execute("SELECT 1").map_err(|error| error.to_string()));
            let to = Instant::now();
            self.0.lock().push(Visit { from, to, refused: asked.err() });
            pool.adhoc().evict_idle();
            thread::sleep(SECOND.saturating_sub(from.elapsed()));
        }
    }

    pub fn all(&self) -> Vec<Visit> {
        self.0.lock().clone()
    }
}
