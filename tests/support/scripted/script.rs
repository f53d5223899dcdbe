//! What a scripted call does, and the record of those made.

use std::time::Duration;

use super::{Gate, ScriptedError};

/// The kinds of calls that can be scripted and are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// `ManageConnection::connect`.
    Connect,
    /// `ManageConnection::is_valid`.
    IsValid,
    /// `ManageConnection::has_broken`. An error in its script means yes.
    HasBroken,
    /// `Driver::reset`.
    Reset,
    /// `Driver::prepare_close`. An error in its script means nothing.
    PrepareClose,
    /// The drop of a connection. An error in its script means nothing.
    Close,
}

/// One call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its kind.
    pub call: Call,
    /// The connection; the one that would be opened for [`Call::Connect`].
    pub id: u64,
    /// The name of the thread that made it.
    pub thread: Option<String>,
    /// The limit that came with it through the driver.
    pub limit: Option<Duration>,
    /// `suspect` of [`Call::Reset`], `polite` of [`Call::PrepareClose`].
    pub flag: Option<bool>,
}

/// What one call does, such as `Step::ok().behind(&gate)`.
#[derive(Clone, Debug)]
pub struct Step {
    time: Duration,
    gate: Option<Gate>,
    outcome: Outcome,
}

#[derive(Clone, Debug)]
enum Outcome {
    Ok,
    Err(ScriptedError),
    Panic,
}

impl Step {
    /// It succeeds.
    pub fn ok() -> Self {
        Step { time: Duration::ZERO, gate: None, outcome: Outcome::Ok }
    }

    /// It fails.
    pub fn err(error: ScriptedError) -> Self {
        Step { outcome: Outcome::Err(error), ..Step::ok() }
    }

    /// It panics. A drop that runs because of another panic does not, since that would end the process.
    pub fn panic() -> Self {
        Step { outcome: Outcome::Panic, ..Step::ok() }
    }

    /// It takes a time before it does so.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// It hangs until the gate is open before it does so, and fails when that takes 60 s.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Does it. With a limit it fails once that has passed, else it takes the time the script says.
    pub(super) fn run(self, call: Call, limit: Option<Duration>) -> Result<(), ScriptedError> {
        let late = || ScriptedError::transient(format!("the scripted {call:?} was not done in time"));
        // A shut gate of its own is a sleep that ends at the limit too.
        if !self.time.is_zero() {
            Gate::new().pass(Some(limit.map_or(self.time, |limit| limit.min(self.time))));
            if limit.is_some_and(|limit| limit < self.time) {
                return Err(late());
            }
        }
        if self.gate.is_some_and(|gate| !gate.pass(limit)) {
            return Err(late());
        }
        match self.outcome {
            Outcome::Ok => Ok(()),
            Outcome::Err(error) => Err(error),
            Outcome::Panic if std::thread::panicking() => Ok(()),
            Outcome::Panic => panic!("the scripted panic of {call:?}"),
        }
    }
}
