//! Somebody at a prompt, who needs a connection all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::record::Spread;
use super::target::Target;
use crate::outcome::Failure;

/// How long after an answer the next question comes.
const EVERY: Duration = Duration::from_millis(200);

/// How often the end of its thread is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// At the end the last answer is waited for as long.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// What became of the questions.
#[derive(Clone, Debug)]
pub struct Probed {
    pub asked: u64,
    pub served: u64,
    /// Of those served.
    pub latency: Spread,
    pub last_error: Option<String>,
}

impl Probed {
    /// Whether somebody who needed a connection always had one.
    pub fn is_served(&self) -> bool {
        self.asked > 0 && self.served == self.asked
    }
}

/// A thread that asks until it is told to stop.
pub struct Probe {
    state: Arc<State>,
    thread: JoinHandle<()>,
}

struct State {
    stop: AtomicBool,
    probed: Mutex<Probed>,
}

impl Probe {
    pub fn start(target: Arc<dyn Target>) -> Result<Self, Failure> {
        let probed = Probed { asked: 0, served: 0, latency: Spread::new(), last_error: None };
        let state = Arc::new(State { stop: AtomicBool::new(false), probed: Mutex::new(probed) });
        let of_thread = Arc::clone(&state);
        let asking = move || of_thread.ask_until_stopped(&*target);
        let thread = thread::Builder::new().name("probe".to_owned()).spawn(asking);
        let thread = thread
            .map_err(|error| Failure::new(format_args!("the probe's thread cannot be had: {error}")))?;
        Ok(Probe { state, thread })
    }

    /// What it came to. A question that has no answer within 5 s counts as not served.
    pub fn stop(self) -> Probed {
        // Relaxed: it orders nothing. A question that is begun all the same is one more that was asked.
        self.state.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let last = Instant::now() + LAST_ANSWER;
        while !self.thread.is_finished() && Instant::now() < last {
            thread::sleep(LOOK_EVERY);
        }
        self.state.probed.lock().clone()
    }
}

impl State {
    fn ask_until_stopped(&self, target: &dyn Target) {
        while !self.stop.load(Ordering::Relaxed) {
            self.probed.lock().asked += 1;
            let asked = Instant::now();
            let answer = target.ask();
            let latency = asked.elapsed();
            let mut probed = self.probed.lock();
            match answer {
                Ok(()) => {
                    probed.served += 1;
                    probed.latency.add(latency);
                }
                Err(error) => probed.last_error = Some(error),
            }
            drop(probed);
            thread::park_timeout(EVERY);
        }
    }
}
