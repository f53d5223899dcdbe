//! The gate: one word that tells a thread whether it may take a value directly.

use super::sync::{AtomicU32, Ordering};

/// Lending has ended for good.
const CLOSED: u32 = 1 << 31;
/// Lending is suspended.
const SUSPENDED: u32 = 1 << 30;
/// The bits below the flags count who stands in line. Each is one blocked thread, and no system runs the 2^30
/// threads that would reach the flags.
const REGISTERED: u32 = SUSPENDED - 1;

/// Zero while the direct way is free. Written with the desk locked only; read without it by takes.
///
/// Every order here is relaxed. Decisions are made under the desk's lock, which orders them; a direct take that reads
/// an old word came before the change, and a direct put does not look (README, I4).
pub(crate) struct Gate(AtomicU32);

impl Gate {
    pub(crate) fn new() -> Self {
        Gate(AtomicU32::new(0))
    }

    /// Whether the direct way is free: nobody in line, not suspended, not closed.
    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        // Relaxed: a stale answer only means that this thread came before the change.
        self.0.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Relaxed: decisions are made under the desk's lock, which orders this; elsewhere it is a gauge.
        self.0.load(Ordering::Relaxed) & CLOSED != 0
    }

    pub(crate) fn is_suspended(&self) -> bool {
        // Relaxed: as in `is_closed`.
        self.0.load(Ordering::Relaxed) & SUSPENDED != 0
    }

    /// Counts one more in line.
    pub(crate) fn enter(&self) {
        // Relaxed: who sees it late looks through slots in which there is nothing to take.
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        debug_assert!(before & REGISTERED < REGISTERED, "BUG: gate {before:#x} is full");
    }

    /// Counts one fewer in line.
    pub(crate) fn leave(&self) {
        // Relaxed: who sees it late takes the slow way once too often.
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before & REGISTERED > 0, "BUG: gate {before:#x} left by nobody");
    }

    /// Closes for good. The caller then sweeps.
    pub(crate) fn close(&self) {
        // Relaxed: the sweep's marks send every later put to the desk, whose lock orders this.
        self.0.fetch_or(CLOSED, Ordering::Relaxed);
    }

    /// False if it was suspended already.
    pub(crate) fn suspend(&self) -> bool {
        // Relaxed: a thread that still takes or puts directly came before; a value it puts stays in its slot, which
        // is what a suspended pool wants.
        self.0.fetch_or(SUSPENDED, Ordering::Relaxed) & SUSPENDED == 0
    }

    /// False if it was not suspended. The caller then sweeps.
    pub(crate) fn resume(&self) -> bool {
        // Relaxed: as in `close`.
        self.0.fetch_and(!SUSPENDED, Ordering::Relaxed) & SUSPENDED != 0
    }
}
