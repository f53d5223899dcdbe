//! The card in each slot: who has the connection, since when, and what the slot has counted.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::atomic::AtomicCell;
use parking_lot::Mutex;

use crate::stats::{Holder, Recorder};
use crate::threads;

/// No time: the slot's connection never falls due.
pub(crate) const NEVER: u64 = u64::MAX;

/// Written by whoever has the slot's connection in hand, so by one thread at a time, and read by anyone.
///
/// All its atomics are Relaxed: each is a fact for reports, and the swap that passes the connection on orders one
/// writer before the next. A reader may see a mixture of two borrowers; it prints, it does not decide. The keeper
/// does decide by `idle_since` and `due_at`, but only which slot to look at: it takes the connection before it acts.
#[derive(Default)]
pub(crate) struct Card {
    /// The thread that took the connection or last used it; 0 when nobody has it.
    thread: AtomicU64,
    /// When it was taken, in milliseconds of the pool's clock.
    since: AtomicU64,
    location: AtomicCell<Option<&'static Location<'static>>>,
    connection_id: AtomicU64,
    idle_since: AtomicU64,
    /// When the connection expires.
    due_at: AtomicU64,
    /// When the keeper validates it, if it has not been used since this was planned.
    keepalive_at: AtomicU64,
    /// Checkouts served without queueing.
    direct: AtomicU64,
    hold: Recorder,
    /// The warning about a long hold has been given.
    warned: AtomicBool,
    tagged: AtomicBool,
    /// Guards the tag alone.
    tag: Mutex<Option<String>>,
}

impl Card {
    #[inline]
    pub(crate) fn lent(&self, thread: u64, location: &'static Location<'static>, now: u64, direct: bool) {
        if direct {
            let count = self.direct.load(Ordering::Relaxed);
            self.direct.store(count + 1, Ordering::Relaxed);
        }
        self.location.store(Some(location));
        self.since.store(now, Ordering::Relaxed);
        self.thread.store(thread, Ordering::Relaxed);
    }

    /// Ends a checkout; returns how long it lasted in milliseconds, and whether a long hold had been warned of.
    #[inline]
    pub(crate) fn returned(&self, now: u64) -> (u64, bool) {
        let held = now.saturating_sub(self.since.load(Ordering::Relaxed));
        self.hold.record_alone(held);
        self.thread.store(0, Ordering::Relaxed);
        if self.tagged.load(Ordering::Relaxed) {
            self.tagged.store(false, Ordering::Relaxed);
            *self.tag.lock() = None;
        }
        let warned = self.warned.load(Ordering::Relaxed);
        if warned {
            self.warned.store(false, Ordering::Relaxed);
        }
        (held, warned)
    }

    /// The slot has a new connection.
    pub(crate) fn opened(&self, id: u64, now: u64, due_at: u64, keepalive_at: u64) {
        self.connection_id.store(id, Ordering::Relaxed);
        self.due_at.store(due_at, Ordering::Relaxed);
        self.keepalive_at.store(keepalive_at, Ordering::Relaxed);
        self.idle_since.store(now, Ordering::Relaxed);
    }

    pub(crate) fn set_due_at(&self, at: u64) {
        self.due_at.store(at, Ordering::Relaxed);
    }

    pub(crate) fn set_keepalive_at(&self, at: u64) {
        self.keepalive_at.store(at, Ordering::Relaxed);
    }

    pub(crate) fn keepalive_at(&self) -> u64 {
        self.keepalive_at.load(Ordering::Relaxed)
    }

    /// The slot's connection is gone.
    pub(crate) fn clear(&self) {
        self.due_at.store(NEVER, Ordering::Relaxed);
        self.thread.store(0, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn set_idle_since(&self, now: u64) {
        self.idle_since.store(now, Ordering::Relaxed);
    }

    pub(crate) fn set_thread(&self, thread: u64) {
        self.thread.store(thread, Ordering::Relaxed);
    }

    pub(crate) fn set_tag(&self, tag: String) {
        *self.tag.lock() = Some(tag);
        self.tagged.store(true, Ordering::Relaxed);
    }

    pub(crate) fn thread(&self) -> u64 {
        self.thread.load(Ordering::Relaxed)
    }

    pub(crate) fn idle_since(&self) -> u64 {
        self.idle_since.load(Ordering::Relaxed)
    }

    pub(crate) fn due_at(&self) -> u64 {
        self.due_at.load(Ordering::Relaxed)
    }

    pub(crate) fn direct(&self) -> u64 {
        self.direct.load(Ordering::Relaxed)
    }

    pub(crate) fn hold(&self) -> crate::stats::Histogram {
        self.hold.snapshot()
    }

    /// Who has the connection, if anybody.
    pub(crate) fn holder(&self, now: u64) -> Option<Holder> {
        let thread = self.thread();
        let location = self.location.load().filter(|_| thread != 0)?;
        Some(Holder {
            connection_id: self.connection_id.load(Ordering::Relaxed),
            thread: threads::name(thread),
            location,
            tag: self.tag.lock().clone(),
            held: Duration::from_millis(now.saturating_sub(self.since.load(Ordering::Relaxed))),
        })
    }

    /// Whether a hold has now lasted `threshold` and is to be warned of; says so once for each checkout.
    pub(crate) fn overdue(&self, now: u64, threshold: u64) -> bool {
        self.thread() != 0
            && now.saturating_sub(self.since.load(Ordering::Relaxed)) >= threshold
            && !self.warned.swap(true, Ordering::Relaxed)
    }
}
