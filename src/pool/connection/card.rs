//! The card in each slot: who has the connection, since when, and what the slot has counted.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};

use crossbeam_utils::atomic::AtomicCell;
use parking_lot::Mutex;

use crate::clock::{AtomicMillis, Millis};
use crate::pool::driver::control::SessionControl;
use crate::stats::{Holder, Recorder};
use crate::text::harmless;
use crate::threads;

/// Its tag is set.
const TAGGED: u8 = 1;
/// The borrower's guard is on its stack and cannot be passed on.
const ON_STACK: u8 = 2;
/// All that rest were to be closed, and the pool itself had this one in hand: whoever puts it back closes it.
const UNWANTED: u8 = 4;

/// Written by whoever has the slot's connection in hand, so by one thread at a time, and read by anyone.
///
/// Its atomics are Relaxed but for `thread`: each is a fact for reports, and the swap that passes the connection on
/// orders one writer before the next. A reader may see a mixture of two borrowers; it prints, it does not decide. The
/// keeper does decide by `idle_since` and `due_at`, but only which slot to look at: it takes the connection before it
/// acts. It also acts on a connection that is out, by [`Card::checkout`]: there the Release of `thread` counts, which
/// publishes `since`. So does the deadlock check, by [`Card::borrower`]. Whoever puts a connection back decides by
/// [`Card::is_unwanted`], which fences order with the slot.
#[derive(Default)]
pub(crate) struct Card {
    /// The thread that took the connection or last used it; 0 when nobody has it.
    thread: AtomicU64,
    /// When it was taken, by the pool's clock.
    since: AtomicMillis,
    location: AtomicCell<Option<&'static Location<'static>>>,
    connection_id: AtomicU64,
    idle_since: AtomicMillis,
    /// Since when a caller's own thread has been validating the connection for it.
    proved_since: AtomicMillis,
    /// When the connection expires.
    due_at: AtomicMillis,
    /// When the keeper validates it, if it has not been used since this was planned.
    keepalive_at: AtomicMillis,
    /// When the pool last validated the connection for nobody in particular.
    checked_at: AtomicMillis,
    /// Since when the connection had rested by then.
    rested_since: AtomicMillis,
    /// Checkouts served without queueing.
    direct: AtomicU64,
    hold: Recorder,
    /// The [`Stage`] of the present checkout.
    stage: AtomicU8,
    /// The connection is not to be lent again.
    seized: AtomicBool,
    /// Its capacity has been given to another.
    forfeited: AtomicBool,
    /// With the id of the connection that it is for. Guards nothing else; no method of the control runs under it.
    control: Mutex<Option<(u64, Arc<dyn SessionControl>)>>,
    /// What has been said of the present checkout: [`TAGGED`], [`ON_STACK`]; or of a rest, by somebody who does not
    /// have the connection: [`UNWANTED`]. One field, so that a checkin looks once.
    remarks: AtomicU8,
    /// Guards the tag alone.
    tag: Mutex<Option<String>>,
}

impl Card {
    /// Begins a checkout that was served without queueing.
    #[inline]
    pub(crate) fn lent_directly(&self, thread: u64, location: &'static Location<'static>, now: Millis) {
        let count = self.direct.load(Ordering::Relaxed);
        self.direct.store(count + 1, Ordering::Relaxed);
        self.lent(thread, location, now);
    }

    #[inline]
    pub(crate) fn lent(&self, thread: u64, location: &'static Location<'static>, now: Millis) {
        self.location.store(Some(location));
        self.since.store(now);
        // Release: pairs with the Acquire in `checkout`, so that whoever sees this borrower sees its `since`.
        self.thread.store(thread, Ordering::Release);
    }

    /// Ends a checkout, and begins a rest, which a validation by the keeper does not end.
    #[inline]
    pub(crate) fn returned(&self, now: Millis) -> Returned {
        let held = now.since(self.since.load());
        self.hold.record_alone(held.get());
        self.idle_since.store(now);
        self.thread.store(0, Ordering::Relaxed);
        let remarks = self.remarks.load(Ordering::Relaxed);
        if remarks != 0 {
            self.forget_remarks(remarks);
        }
        let warned = self.stage.load(Ordering::Relaxed) != 0;
        if warned {
            self.set_stage(Stage::None);
        }
        Returned { held, warned }
    }

    fn forget_remarks(&self, remarks: u8) {
        self.remarks.store(0, Ordering::Relaxed);
        if remarks & TAGGED != 0 {
            *self.tag.lock() = None;
        }
    }

    /// The slot has a new connection.
    pub(crate) fn opened(&self, id: u64, now: Millis, due_at: Millis, keepalive_at: Millis) {
        self.set_stage(Stage::None);
        self.seized.store(false, Ordering::Relaxed);
        self.forfeited.store(false, Ordering::Relaxed);
        self.remarks.fetch_and(!UNWANTED, Ordering::Relaxed);
        self.connection_id.store(id, Ordering::Relaxed);
        self.due_at.store(due_at);
        self.keepalive_at.store(keepalive_at);
        self.idle_since.store(now);
    }

    /// A caller's own thread begins to validate the connection.
    pub(crate) fn prove_begins(&self, now: Millis) {
        self.proved_since.store(now);
    }

    /// That validation has ended, well or not.
    pub(crate) fn prove_ends(&self) {
        self.proved_since.store(Millis::NEVER);
    }

    /// For how long a caller's own thread has been validating the connection, if one does.
    pub(crate) fn proved_for(&self, now: Millis) -> Option<Millis> {
        let since = self.proved_since.load();
        (since != Millis::NEVER).then(|| now.since(since))
    }

    pub(crate) fn set_due_at(&self, at: Millis) {
        self.due_at.store(at);
    }

    pub(crate) fn set_keepalive_at(&self, at: Millis) {
        self.keepalive_at.store(at);
    }

    pub(crate) fn keepalive_at(&self) -> Millis {
        self.keepalive_at.load()
    }

    /// The pool has validated the connection.
    pub(crate) fn set_checked_at(&self, at: Millis) {
        self.rested_since.store(self.idle_since());
        self.checked_at.store(at);
    }

    /// When the connection was last in use, or validated by the pool since.
    pub(crate) fn heard_at(&self) -> Millis {
        let (used, checked) = (self.idle_since(), self.checked_at.load());
        if checked == Millis::NEVER { used } else { used.max(checked) }
    }

    /// When a connection that the pool had validated was taken, if it had rested for longer by then than it is trusted.
    /// Told once, when it is back. Of several checkouts the last counts: to be exact, ask also at
    /// [`Card::outlives_trust_at`].
    pub(crate) fn spared_at(&self, trusted: Millis) -> Option<Millis> {
        if self.checked_at.load() >= self.idle_since() {
            return None;
        }
        self.checked_at.store(Millis::NEVER);
        let taken_at = self.since.load();
        (taken_at >= self.rested_since.load().plus(trusted)).then_some(taken_at)
    }

    /// When a connection that the pool has validated will have rested for longer than it is trusted.
    pub(crate) fn outlives_trust_at(&self, trusted: Millis) -> Option<Millis> {
        (self.checked_at.load() != Millis::NEVER).then(|| self.rested_since.load().plus(trusted))
    }

    /// The slot's connection is gone. Returns its control, whose drop is foreign code.
    #[must_use]
    pub(crate) fn clear(&self) -> Option<Arc<dyn SessionControl>> {
        self.due_at.store(Millis::NEVER);
        self.idle_since.store(Millis::NEVER);
        self.checked_at.store(Millis::NEVER);
        self.thread.store(0, Ordering::Relaxed);
        self.control.lock().take().map(|(_, control)| control)
    }

    pub(crate) fn set_control(&self, id: u64, control: Option<Arc<dyn SessionControl>>) {
        *self.control.lock() = control.map(|control| (id, control));
    }

    /// The control of this connection, if it is still the slot's.
    pub(crate) fn control(&self, id: u64) -> Option<Arc<dyn SessionControl>> {
        self.control.lock().as_ref().filter(|(of, _)| *of == id).map(|(_, control)| Arc::clone(control))
    }

    /// The control of the slot's connection, whichever that is.
    pub(crate) fn present_control(&self) -> Option<Arc<dyn SessionControl>> {
        self.control.lock().as_ref().map(|(_, control)| Arc::clone(control))
    }

    /// The checkout that is out, if there is one.
    pub(crate) fn checkout(&self) -> Option<Checkout> {
        // Acquire: pairs with the Release in `lent` and `set_thread`.
        if self.thread.load(Ordering::Acquire) == 0 {
            return None;
        }
        Some(Checkout { connection_id: self.connection_id.load(Ordering::Relaxed), since: self.since.load() })
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::None,
            1 => Stage::Warned,
            2 => Stage::Cancelled,
            _ => Stage::Terminated,
        }
    }

    pub(crate) fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// With the step for which it was seized.
    pub(crate) fn set_seized(&self, stage: Stage) {
        self.set_stage(stage);
        self.seized.store(true, Ordering::Relaxed);
    }

    /// A hint for the checkin: what is decided about a seizure is decided in the core.
    pub(crate) fn is_seized(&self) -> bool {
        self.seized.load(Ordering::Relaxed)
    }

    /// Has whoever puts the connection back close it instead, but for its borrower: a checkin takes that back. Asked
    /// where the slot was found empty, and followed by another look into it.
    pub(crate) fn ask_to_close(&self) {
        self.remarks.fetch_or(UNWANTED, Ordering::Relaxed);
        // Pairs with that of `is_unwanted`: either that look finds the connection put back, or the remark is seen by
        // whoever put it back, or by whoever has taken it since and puts it back.
        fence(Ordering::SeqCst);
    }

    /// Whether that was asked since its last checkin. To be asked by whoever has put the connection back, afterwards.
    pub(crate) fn is_unwanted(&self) -> bool {
        fence(Ordering::SeqCst);
        self.remarks.load(Ordering::Relaxed) & UNWANTED != 0
    }

    /// It is no longer the pool's to count, nor to replace when it is due.
    pub(crate) fn set_forfeited(&self) {
        self.set_due_at(Millis::NEVER);
        self.forfeited.store(true, Ordering::Relaxed);
    }

    /// Who counts as having a connection of the pool's; 0 for nobody.
    pub(crate) fn counted_thread(&self) -> u64 {
        if self.forfeited.load(Ordering::Relaxed) { 0 } else { self.thread() }
    }

    /// Who has a connection of the pool's, for those who decide by it.
    pub(crate) fn borrower(&self) -> Option<Borrower> {
        // Acquire: pairs with the Release in `lent` and `set_thread`. What an earlier checkout was marked with was
        // taken back before its connection could be lent again, so whoever sees this borrower does not see that.
        let thread = self.thread.load(Ordering::Acquire);
        if thread == 0 || self.forfeited.load(Ordering::Relaxed) {
            return None;
        }
        Some(Borrower { thread, is_on_stack: self.remarks.load(Ordering::Relaxed) & ON_STACK != 0 })
    }

    /// The borrower holds its guard in a call of its own that lends it to nobody: only the end of that call returns it.
    #[cfg(feature = "postgres")]
    pub(crate) fn set_on_stack(&self) {
        self.remarks.fetch_or(ON_STACK, Ordering::Relaxed);
    }

    pub(crate) fn set_thread(&self, thread: u64) {
        // Release: as in `lent`.
        self.thread.store(thread, Ordering::Release);
    }

    pub(crate) fn set_tag(&self, tag: String) {
        *self.tag.lock() = Some(tag);
        self.remarks.fetch_or(TAGGED, Ordering::Relaxed);
    }

    pub(crate) fn thread(&self) -> u64 {
        self.thread.load(Ordering::Relaxed)
    }

    pub(crate) fn idle_since(&self) -> Millis {
        self.idle_since.load()
    }

    pub(crate) fn due_at(&self) -> Millis {
        self.due_at.load()
    }

    pub(crate) fn direct(&self) -> u64 {
        self.direct.load(Ordering::Relaxed)
    }

    pub(crate) fn hold(&self) -> crate::stats::Histogram {
        self.hold.snapshot()
    }

    /// Who has the connection, if anybody.
    pub(crate) fn holder(&self, now: Millis) -> Option<Holder> {
        let thread = self.thread();
        let location = self.location.load().filter(|_| thread != 0)?;
        Some(Holder {
            connection_id: self.connection_id.load(Ordering::Relaxed),
            thread: threads::name(thread),
            location,
            tag: self.tag.lock().as_deref().map(harmless),
            held: now.since(self.since.load()).duration(),
            backend_pid: None,
        })
    }
}

/// Who has a connection, going by who took it or last used it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Borrower {
    pub(crate) thread: u64,
    /// The guard is where no other thread can have it.
    pub(crate) is_on_stack: bool,
}

/// A checkout that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned {
    /// How long it lasted.
    pub(crate) held: Millis,
    /// It had been warned of as a long hold.
    pub(crate) warned: bool,
}

/// One checkout among those of a slot: no two that last longer than the clock's grain have both in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkout {
    pub(crate) connection_id: u64,
    /// When it began, by the pool's clock.
    since: Millis,
}

impl Checkout {
    /// For how long it has been out.
    pub(crate) fn held(self, now: Millis) -> Millis {
        now.since(self.since)
    }
}

/// How far a checkout that lasts long has been dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    None,
    Warned,
    Cancelled,
    Terminated,
}
