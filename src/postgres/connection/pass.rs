//! What a connection has of a budget that its pool shares with other processes.

use std::fmt;
use std::sync::Arc;

use crate::process::Process;

/// Knows what the connections hold that were let in, by their numbers. Must neither block nor do I/O.
pub(crate) trait Holding: Send + Sync {
    /// The connection is gone.
    fn lost(&self, number: u64);

    /// The statements that a connection has to run, in one message, before and after one that frees whatever its
    /// session holds, so that it keeps what it was let in by at every moment. They fail where it has lost that.
    fn kept(&self, number: u64) -> [String; 2];
}

/// The right to be open. It ends with the connection, by its drop.
pub(crate) struct Pass {
    number: u64,
    of: Arc<dyn Holding>,
    process: Process,
}

impl Pass {
    /// That of the connection of this number.
    pub(crate) fn new(number: u64, of: Arc<dyn Holding>) -> Self {
        Pass { number, of, process: Process::this() }
    }

    /// The number that was given to it.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// As [`Holding::kept`].
    pub(super) fn kept(&self) -> [String; 2] {
        self.of.kept(self.number)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // In a child made by `fork` the connection is its parent's, and so is what it holds.
        if self.process.is_this() {
            self.of.lost(self.number);
        }
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("number", &self.number).finish_non_exhaustive()
    }
}
