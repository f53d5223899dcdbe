//! The driver of the scripted manager.

use std::time::Duration;

use tierpool::{Condition, Driver, FailureClass, ManageConnection};

use super::{Call, ScriptedConnection, ScriptedError, ScriptedManager};

/// Reports what the scripts and the errors of [`ScriptedManager`] say.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScriptedDriver {
    bounded: bool,
    looking: bool,
}

impl ScriptedDriver {
    /// A driver whose validation may exceed its limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// A driver that fails by the limit what takes longer.
    pub fn bounded() -> Self {
        ScriptedDriver { bounded: true, ..Self::new() }
    }

    /// A driver whose probe does what the validation would, and fails by the limit what takes longer.
    pub fn looking() -> Self {
        ScriptedDriver { looking: true, ..Self::new() }
    }
}

impl Driver<ScriptedManager> for ScriptedDriver {
    fn connect(
        &self,
        manager: &ScriptedManager,
        limit: Duration,
    ) -> Result<ScriptedConnection, ScriptedError> {
        manager.open(Some(limit), self.bounded)
    }

    fn validate(
        &self,
        manager: &ScriptedManager,
        conn: &mut ScriptedConnection,
        limit: Duration,
    ) -> Result<(), ScriptedError> {
        manager.check(conn.id(), Some(limit), self.bounded)
    }

    fn probe(
        &self,
        manager: &ScriptedManager,
        conn: &mut ScriptedConnection,
        limit: Duration,
    ) -> Option<Result<(), ScriptedError>> {
        self.looking.then(|| manager.check(conn.id(), Some(limit), true))
    }

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    fn condition(&self, manager: &ScriptedManager, conn: &mut ScriptedConnection) -> Condition {
        if manager.has_broken(conn) {
            return Condition::Broken;
        }
        manager.next_condition().unwrap_or(Condition::Clean)
    }

    fn reset(
        &self,
        manager: &ScriptedManager,
        conn: &mut ScriptedConnection,
        suspect: bool,
        limit: Duration,
    ) -> Result<(), ScriptedError> {
        manager.perform(Call::Reset, conn.id(), Some(limit), self.bounded, Some(suspect))
    }

    fn prepare_close(&self, conn: &mut ScriptedConnection, polite: bool) {
        conn.prepare_close(polite);
    }

    fn classify(&self, error: &ScriptedError) -> FailureClass {
        error.class
    }

    fn code(&self, error: &ScriptedError) -> Option<String> {
        error.code.clone()
    }
}
