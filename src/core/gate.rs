//! The gate: one word that tells a thread whether the direct way is free.

use super::sync::{AtomicU32, Ordering};

/// Lending has ended for good.
const CLOSED: u32 = 1 << 31;
/// Lending is suspended.
const SUSPENDED: u32 = 1 << 30;
/// The bits below the flags count who is registered: everybody in line, and a caller that is sweeping the slots.
/// One registration is one blocked thread, and no system runs the 2^30 threads that would reach the flags.
const REGISTERED: u32 = SUSPENDED - 1;

/// Zero while the direct way is free. Written with the desk locked only; read without it (README, I4).
///
/// Every order here is relaxed, for one reason: a registration, or a close, is published to the putters not by the
/// gate but by the swaps of the sweep that follows it, and whoever reads the gate under the desk's lock is ordered
/// by that lock.
pub(crate) struct Gate(AtomicU32);

impl Gate {
    pub(crate) fn new() -> Self {
        Gate(AtomicU32::new(0))
    }

    /// Whether the direct way is free: nobody registered, not suspended, not closed.
    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        // Relaxed. Before a take or a put a stale answer only means that this thread came before the change. After
        // a put's swap the answer cannot be stale where it matters: the swap has synchronised, through
        // `Cell::take_surely`, with everyone who registered and then swept that cell before.
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

    /// Registers one caller. The sweep comes after this, never before.
    pub(crate) fn enter(&self) {
        // Relaxed: the Release of the sweep's swaps that follow (`Cell::take_surely`) publishes it.
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        debug_assert!(before & REGISTERED < REGISTERED, "BUG: gate {before:#x} is full");
    }

    /// Takes one registration back.
    pub(crate) fn leave(&self) {
        // Relaxed: who sees it late takes the slow way once too often.
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before & REGISTERED > 0, "BUG: gate {before:#x} left by nobody");
    }

    /// Closes for good. The caller then sweeps.
    pub(crate) fn close(&self) {
        // Relaxed: published as in `enter`.
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
        // Relaxed: those in line registered before, under the desk's lock, and the sweep that follows publishes
        // their registrations as in `enter`.
        self.0.fetch_and(!SUSPENDED, Ordering::Relaxed) & SUSPENDED != 0
    }
}
