//! Whether a stream is still in the process that opened it.

use crate::process::Process;

/// Asked for before anything is done to the socket, and a system call each time: so the answer holds for one turn of
/// the client, in which it reads, writes and flushes. No code of the program runs within one, and so none that forks.
/// A turn ends with the flush, with a write that has to wait, or with a failure of the stream.
pub(super) struct Home {
    process: Process,
    /// It was asked for in the present turn, and it is.
    is_known: bool,
}

impl Home {
    pub fn here() -> Self {
        Home { process: Process::this(), is_known: false }
    }

    /// Whether this is the process, asked for now.
    pub fn is_here(&self) -> bool {
        self.process.is_this()
    }

    /// Whether this is the process.
    pub fn is_this(&mut self) -> bool {
        self.is_known = self.is_known || self.is_here();
        self.is_known
    }

    /// The turn may be over.
    pub fn turn_ends(&mut self) {
        self.is_known = false;
    }
}
