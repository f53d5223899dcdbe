//! Checkin: what becomes of a connection when its borrower is done with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use r2d2::ManageConnection;

use super::body::{Fitness, ms};
use super::driver::Condition;
use super::shared::Entry;
use super::shared::{Counters, Lending, Shared};
use super::watch::Chore;
use crate::event::{CheckinEvent, Event};
use crate::stats::CloseCause;

/// After a whole generation was replaced for being misrouted, the next such replacement waits this long.
const MISROUTED_COOLDOWN: Duration = Duration::from_secs(5);

/// Takes a connection back. Never blocks, and calls nothing of the user's but the driver's `condition` (for a plain
/// manager: `has_broken`) and an event handler.
#[inline]
pub(crate) fn checkin<M: ManageConnection>(mut entry: Box<Entry<M>>) {
    let shared = &*entry.shared;
    let now = shared.clock.coarse_ms();
    let card = &shared.lending.slot(entry.seat.index()).card;
    let (held, warned) = card.returned(now);
    entry.body.uses += 1;

    let condition = {
        let Entry { body, shared, .. } = &mut *entry;
        let (driver, manager) = (&shared.driver, &shared.manager);
        shared.guarded("has_broken", || driver.condition(manager, &mut body.conn))
    };
    let shared = &*entry.shared;
    let fast = &shared.fast;
    // Relaxed: see `Fast`.
    let plain = matches!(condition, Ok(Condition::Clean))
        && !entry.body.marked_broken
        && entry.body.seen == fast.epoch.load(Ordering::Relaxed)
        && now < entry.body.expires_at()
        && entry.body.uses < fast.max_uses.load(Ordering::Relaxed)
        && fast.trim_above.load(Ordering::Relaxed) == u32::MAX
        && !warned
        && !shared.is_noisy()
        && log::max_level() < log::LevelFilter::Debug
        && !std::thread::panicking();
    if !plain {
        return checkin_closely(entry, condition, held, warned);
    }
    let ping_after = fast.ping_after_ms.load(Ordering::Relaxed);
    rest(entry, now, ping_after);
}

/// Puts a connection that is fit into its slot, or hands it on.
#[inline]
fn rest<M: ManageConnection>(mut entry: Box<Entry<M>>, now: u64, ping_after_ms: u64) {
    entry.body.rests(now, ping_after_ms);
    entry.shared.lending.slot(entry.seat.index()).card.set_idle_since(now);
    if let Err(entry) = Lending::<M>::put_owned(entry, |entry| (&entry.shared.lending, entry.seat.index())) {
        // The pool closed while it was out, or it was seized.
        let shared = Arc::clone(&entry.shared);
        let cause = shared.cause_of_refusal();
        shared.dispose(entry, cause);
    }
}

/// The checkin of a connection about which there is something to say.
#[cold]
fn checkin_closely<M: ManageConnection>(
    mut entry: Box<Entry<M>>,
    condition: Result<Condition, String>,
    held: u64,
    warned: bool,
) {
    let shared = Arc::clone(&entry.shared);
    // Here, and not when it is restored: a validation by the keeper does not end a rest.
    shared.lending.slot(entry.seat.index()).card.set_idle_since(shared.clock.coarse_ms());
    let id = entry.body.id;
    let duration = Duration::from_millis(held);
    log::debug!(target: &shared.target(), "connection {id} returned after {duration:.1?}");
    shared.tell_return(id, held, warned);
    shared.emit(|| Event::CheckedIn(CheckinEvent { id, duration }));
    let suspect = std::thread::panicking();
    match condition {
        // What was done to it tells nothing of the server.
        _ if shared.lending.slot(entry.seat.index()).card.is_seized() => {
            let cause = shared.cause_of_refusal();
            shared.dispose(entry, cause);
        }
        Ok(Condition::Broken) => shared.condemn(entry, CloseCause::Broken, "it was returned broken"),
        Err(panic) => shared.condemn(entry, CloseCause::Broken, &panic),
        Ok(_) if entry.body.marked_broken => shared.dispose(entry, CloseCause::Broken),
        Ok(Condition::Misrouted) => {
            // In what state it came back is not known.
            if let Some(entry) = shared.misrouted(entry) {
                shared.send_aside(entry, Chore::Reset { suspect }, None);
            }
        }
        Ok(_) if shared.lending.is_closed() => shared.dispose(entry, CloseCause::Closed),
        Ok(condition) if suspect || condition == Condition::Dirty => {
            if condition == Condition::Dirty {
                Counters::bump(&shared.counters.returned_dirty);
            }
            shared.send_aside(entry, Chore::Reset { suspect }, None);
        }
        Ok(_) => {
            // Relaxed: see `Fast`. A suspect stays one: `seen` is left as it is, and its next checkout validates it.
            if shared.fitness(&entry) == Fitness::Fit {
                entry.body.seen = shared.fast.epoch.load(Ordering::Relaxed);
            }
            shared.restore(entry);
        }
    }
}

impl<M: ManageConnection> Shared<M> {
    /// Gives a connection that works back to the pool: to a waiter, to its slot, or to be closed if it is too old,
    /// evicted or one too many.
    pub(crate) fn restore(self: &Arc<Self>, mut entry: Box<Entry<M>>) {
        let now = self.clock.coarse_ms();
        let settings = self.settings();
        if entry.body.is_evicted(self.evicted_before.load(Ordering::Relaxed)) {
            return self.dispose(entry, CloseCause::Evicted);
        }
        entry.body.spared = entry.body.is_due(now, settings.max_uses);
        if entry.body.spared && self.may_retire(&entry, now) {
            return self.dispose(entry, CloseCause::Expired);
        }
        let counts = self.lending.counts();
        if counts.size() > counts.ceiling {
            return self.dispose(entry, CloseCause::Idle);
        }
        let overflow = counts.size() > settings.base_size as usize;
        if overflow && settings.overflow_linger.is_zero() && counts.waiting == 0 {
            return self.dispose(entry, CloseCause::Overflow);
        }
        let index = entry.seat.index();
        entry.body.rests(now, settings.pre_ping.threshold().map_or(super::card::NEVER, ms));
        if let Err(entry) = self.lending.put(index, entry) {
            self.dispose(entry, self.cause_of_refusal());
        }
    }

    /// Whether a connection that is due may be closed now. While callers wait and the ceiling leaves room, its
    /// replacement is opened first, and it works on meanwhile, for a while.
    pub(crate) fn may_retire(self: &Arc<Self>, entry: &Entry<M>, now: u64) -> bool {
        if entry.body.is_overdue(now, self.settings().max_uses) {
            return true;
        }
        // Relaxed: a count; each credit is taken once.
        let take = |credits: u32| credits.checked_sub(1);
        if self.credits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            return true;
        }
        // One whose uses are up is due from now on: the demand for replacements is counted on the cards.
        let card = &self.lending.slot(entry.seat.index()).card;
        card.set_due_at(now);
        let counts = self.lending.counts();
        // At the ceiling one that is being opened already is as good as a replacement.
        if counts.waiting == 0 || (counts.size() >= counts.ceiling && counts.opening == 0) {
            return true;
        }
        self.demand();
        false
    }

    /// A connection leads to the wrong server: all of its generation are replaced, once in a while at the most. Until
    /// that is due again it is given back to be kept, and what it tells is not forgotten: closing each one that meets the
    /// wrong server would be a storm of openings for as long as there is no other.
    pub(crate) fn misrouted(self: &Arc<Self>, entry: Box<Entry<M>>) -> Option<Box<Entry<M>>> {
        // One of a generation replaced already tells nothing of those opened since.
        if entry.body.is_evicted(self.evicted_before.load(Ordering::Relaxed)) {
            self.dispose(entry, CloseCause::Evicted);
            return None;
        }
        let now = self.clock.coarse_ms();
        let until = now.saturating_add(ms(MISROUTED_COOLDOWN));
        // Relaxed: at worst two threads evict at once, which comes to the same.
        let due = self
            .misrouted_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |t| (now >= t).then_some(until))
            .is_ok();
        if !due {
            return Some(entry);
        }
        self.dispose(entry, CloseCause::Evicted);
        log::warn!(target: &self.target(), "a connection leads to the wrong server: replacing all of them");
        self.evict();
        None
    }
}
