//! The collaborators of a pool, with one fault among them.

use std::fmt;
use std::panic::panic_any;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tierpool::event::{
    AcquireEvent, BreakerEvent, CheckinEvent, CheckoutEvent, HandleEvent, LongHoldEvent, ReleaseEvent,
    SlowCheckoutEvent, SuspectEvent, TimeoutEvent,
};
use tierpool::{Condition, CustomizeConnection, Driver, FailureClass, HandleError, ManageConnection};

use crate::support::scripted::{Gate, ScriptedConnection, ScriptedDriver, ScriptedError, ScriptedManager};

/// The longest that a hook hangs.
const HUNG: Duration = Duration::from_secs(10);
/// How long a slow hook takes.
pub const SLOW: Duration = Duration::from_millis(30);

/// The foreign code that a pool calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Connect,
    IsValid,
    HasBroken,
    OnAcquire,
    OnRelease,
    EventHandler,
    ErrorHandler,
    Reset,
    Condition,
    PrepareClose,
    Classify,
    Code,
    Drop,
    IsBounded,
}

pub const HOOKS: [Hook; 14] = [
    Hook::Connect,
    Hook::IsValid,
    Hook::HasBroken,
    Hook::OnAcquire,
    Hook::OnRelease,
    Hook::EventHandler,
    Hook::ErrorHandler,
    Hook::Reset,
    Hook::Condition,
    Hook::PrepareClose,
    Hook::Classify,
    Hook::Code,
    Hook::Drop,
    Hook::IsBounded,
];

/// What goes wrong in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Err,
    Panic,
    /// With what panics again as it is dropped.
    PanicTwice,
    Hang,
    Slow,
}

pub const OUTCOMES: [Outcome; 5] =
    [Outcome::Err, Outcome::Panic, Outcome::PanicTwice, Outcome::Hang, Outcome::Slow];

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("what it panicked with was dropped");
    }
}

/// The one fault of a case: armed, it befalls the next call of its hook.
#[derive(Clone)]
pub struct Fault {
    pub hook: Hook,
    outcome: Outcome,
    /// Lets go what hangs.
    pub gate: Gate,
    armed: Arc<Mutex<bool>>,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} × {:?}", self.hook, self.outcome)
    }
}

impl Fault {
    pub fn new(hook: Hook, outcome: Outcome) -> Self {
        Fault { hook, outcome, gate: Gate::new(), armed: Arc::default() }
    }

    pub fn is_armed(&self) -> bool {
        *self.armed.lock()
    }

    /// Ends the fault, whether it has struck or not.
    pub fn end(&self) {
        *self.armed.lock() = false;
        self.gate.open();
    }

    pub fn arm(&self) {
        *self.armed.lock() = true;
    }

    /// Strikes if this is its hook.
    fn at(&self, hook: Hook) -> Result<(), ScriptedError> {
        if hook != self.hook || !std::mem::take(&mut *self.armed.lock()) {
            return Ok(());
        }
        match self.outcome {
            Outcome::Err => return Err(ScriptedError::transient("the fault")),
            Outcome::Panic => assert!(thread::panicking(), "the fault"),
            Outcome::PanicTwice if thread::panicking() => {}
            Outcome::PanicTwice => panic_any(Bomb),
            Outcome::Hang => assert!(self.gate.pass(Some(HUNG)), "a test forgot to open its gate"),
            Outcome::Slow => {
                Gate::new().pass(Some(SLOW));
            }
        }
        Ok(())
    }
}

/// A connection whose drop may have the fault.
pub struct Frail(ScriptedConnection, Fault);

impl Drop for Frail {
    fn drop(&mut self) {
        let _ = self.1.at(Hook::Drop);
    }
}

/// The scripted manager and its driver, with the fault on top.
pub struct Manager(pub ScriptedManager, pub Fault);

impl ManageConnection for Manager {
    type Connection = Frail;
    type Error = ScriptedError;

    fn connect(&self) -> Result<Frail, ScriptedError> {
        self.1.at(Hook::Connect)?;
        Ok(Frail(self.0.connect()?, self.1.clone()))
    }

    fn is_valid(&self, conn: &mut Frail) -> Result<(), ScriptedError> {
        self.1.at(Hook::IsValid)?;
        self.0.is_valid(&mut conn.0)
    }

    fn has_broken(&self, conn: &mut Frail) -> bool {
        self.1.at(Hook::HasBroken).is_err() || self.0.has_broken(&mut conn.0)
    }
}

/// The scripted driver with the fault on top.
pub struct FaultyDriver(pub ScriptedDriver, pub Fault);

impl Driver<Manager> for FaultyDriver {
    fn is_bounded(&self) -> bool {
        let _ = self.1.at(Hook::IsBounded);
        self.0.is_bounded()
    }

    fn condition(&self, manager: &Manager, conn: &mut Frail) -> Condition {
        if self.1.at(Hook::Condition).is_err() || manager.has_broken(conn) {
            return Condition::Broken;
        }
        self.0.condition(&manager.0, &mut conn.0)
    }

    fn reset(
        &self,
        manager: &Manager,
        conn: &mut Frail,
        suspect: bool,
        limit: Duration,
    ) -> Result<(), ScriptedError> {
        self.1.at(Hook::Reset)?;
        self.0.reset(&manager.0, &mut conn.0, suspect, limit)
    }

    fn prepare_close(&self, conn: &mut Frail, polite: bool) {
        let _ = self.1.at(Hook::PrepareClose);
        self.0.prepare_close(&mut conn.0, polite);
    }

    fn classify(&self, _: &ScriptedError) -> FailureClass {
        let _ = self.1.at(Hook::Classify);
        FailureClass::Transient
    }

    fn code(&self, error: &ScriptedError) -> Option<String> {
        let _ = self.1.at(Hook::Code);
        error.code.clone()
    }
}

/// A customizer with the fault.
#[derive(Debug)]
pub struct Customizer(pub Fault);

impl CustomizeConnection<Frail, ScriptedError> for Customizer {
    fn on_acquire(&self, _: &mut Frail) -> Result<(), ScriptedError> {
        self.0.at(Hook::OnAcquire)
    }

    fn on_release(&self, conn: Frail) {
        let _ = self.0.at(Hook::OnRelease);
        drop(conn);
    }
}

/// A handler of events and errors with the fault.
#[derive(Debug)]
pub struct Handler(pub Fault);

impl Handler {
    fn told(&self) {
        let _ = self.0.at(Hook::EventHandler);
    }
}

impl HandleEvent for Handler {
    fn handle_acquire(&self, _: AcquireEvent) {
        self.told();
    }

    fn handle_release(&self, _: ReleaseEvent) {
        self.told();
    }

    fn handle_checkout(&self, _: CheckoutEvent) {
        self.told();
    }

    fn handle_timeout(&self, _: TimeoutEvent) {
        self.told();
    }

    fn handle_checkin(&self, _: CheckinEvent) {
        self.told();
    }

    fn handle_breaker(&self, _: BreakerEvent) {
        self.told();
    }

    fn handle_suspect(&self, _: SuspectEvent) {
        self.told();
    }

    fn handle_slow_checkout(&self, _: SlowCheckoutEvent) {
        self.told();
    }

    fn handle_long_hold(&self, _: LongHoldEvent) {
        self.told();
    }
}

impl HandleError<ScriptedError> for Handler {
    fn handle_error(&self, _: ScriptedError) {
        let _ = self.0.at(Hook::ErrorHandler);
    }
}
