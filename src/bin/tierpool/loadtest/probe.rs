//! Somebody at a prompt, who needs a connection all the while.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::spread::{Outcome, Spread};
use super::target::{Fault, Target};
use crate::outcome::Failure;

/// How often somebody asks.
const EVERY: Duration = Duration::from_millis(200);

/// How often the end of its thread is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Who waits longer, from the moment at which the question was due, has not been served.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of the questions.
#[derive(Clone, Debug)]
pub struct Probed {
    pub asked: u64,
    pub served: u64,
    /// Of those asked, the ones that had an error other than that a time was up.
    pub refused: u64,
    /// Of those answered, also too late.
    pub latency: Spread,
    pub last_error: Option<String>,
}

impl Probed {
    fn new() -> Self {
        Probed { asked: 0, served: 0, refused: 0, latency: Spread::new(), last_error: None }
    }

    /// Whether somebody who needed a connection always had one.
    pub fn is_served(&self) -> bool {
        self.asked > 0 && self.served == self.asked
    }

    fn add(&mut self, answer: Result<(), Fault>, latency: Duration) {
        match answer {
            Ok(()) => {
                self.served += u64::from(latency <= PATIENCE);
                self.latency.add(latency);
            }
            Err(Fault { outcome, told }) => {
                self.refused += u64::from(outcome == Outcome::Failed);
                self.last_error = Some(told);
            }
        }
    }
}

/// A thread that asks by a schedule, whatever its answers take, until it is told to stop.
pub struct Probe {
    state: Arc<State>,
    thread: JoinHandle<()>,
}

struct State {
    begun: Instant,
    /// What is due later is not asked.
    stopped: Mutex<Option<Instant>>,
    probed: Mutex<Probed>,
}

impl Probe {
    pub fn start(target: Arc<dyn Target>) -> Result<Self, Failure> {
        let begun = Instant::now();
        let state = State { begun, stopped: Mutex::new(None), probed: Mutex::new(Probed::new()) };
        let state = Arc::new(state);
        let of_thread = Arc::clone(&state);
        let asking = move || of_thread.ask_until_stopped(&*target);
        let thread = thread::Builder::new().name("probe".to_owned()).spawn(asking);
        let thread = thread
            .map_err(|error| Failure::new(format_args!("the probe's thread cannot be had: {error}")))?;
        Ok(Probe { state, thread })
    }

    /// What it came to. A question that has no answer within 5 s counts as not served, also where it has not been asked
    /// since those before it had none.
    pub fn stop(self) -> Probed {
        let now = Instant::now();
        *self.state.stopped.lock() = Some(now);
        self.thread.thread().unpark();
        while !self.thread.is_finished() && now.elapsed() < PATIENCE {
            thread::sleep(LOOK_EVERY);
        }
        let mut probed = self.state.probed.lock().clone();
        let time = now.duration_since(self.state.begun);
        probed.asked = (time.as_nanos() / EVERY.as_nanos()) as u64 + 1;
        probed
    }
}

impl State {
    fn ask_until_stopped(&self, target: &dyn Target) {
        let mut due = self.begun;
        while self.is_reached(due) {
            let answer = target.ask();
            let latency = due.elapsed();
            self.probed.lock().add(answer, latency);
            due += EVERY;
        }
    }

    /// Waits for that moment; false where the end comes first.
    fn is_reached(&self, due: Instant) -> bool {
        loop {
            if self.stopped.lock().is_some_and(|stopped| stopped < due) {
                return false;
            }
            let early = due.saturating_duration_since(Instant::now());
            if early.is_zero() {
                return true;
            }
            thread::park_timeout(early);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::scenario::Work;
    use crate::loadtest::target::{Opened, Served};

    const SECOND: Duration = Duration::from_secs(1);

    /// A pool whose first answer to a person takes a second.
    struct Stalled(Mutex<bool>);

    impl Target for Stalled {
        fn name(&self) -> &'static str {
            "stalled"
        }
        fn ceiling(&self) -> u32 {
            1
        }
        fn serve(&self, work: &Work) -> Served {
            unreachable!("BUG: {work:?} of nobody")
        }
        fn ask(&self) -> Result<(), Fault> {
            if std::mem::take(&mut *self.0.lock()) {
                thread::sleep(SECOND);
            }
            Ok(())
        }
        fn opened(&self) -> Option<Opened> {
            None
        }
        fn close(&self) {}
    }

    #[test]
    fn everybody_who_would_have_asked_during_a_stall_has_waited_for_its_end() {
        let probe = Probe::start(Arc::new(Stalled(Mutex::new(true)))).unwrap();
        thread::sleep(SECOND);
        let probed = probe.stop();
        // Due at 0, 200, ... ms, and answered after 1 s.
        assert!(probed.asked >= 6 && probed.is_served(), "{probed:?}");
        assert_eq!(probed.latency.count(), probed.asked);
        assert!(probed.latency.quantile(0.5) >= Some(SECOND / 3), "{probed:?}");
    }

    #[test]
    fn a_late_answer_is_none_and_an_error_is_told_from_a_time_that_was_up() {
        let mut probed = Probed::new();
        probed.add(Ok(()), PATIENCE);
        probed.add(Ok(()), PATIENCE + Duration::from_millis(1));
        for outcome in [Outcome::TimedOut, Outcome::Failed] {
            probed.add(Err(Fault { outcome, told: format!("{outcome:?}") }), SECOND);
        }
        assert_eq!((probed.served, probed.refused, probed.latency.count()), (1, 1, 2));
        assert_eq!(probed.last_error.as_deref(), Some("Failed"));
    }
}
