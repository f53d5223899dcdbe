//! What the keeper does for a pool: keep its minimum, retire what is old or idle for long, validate what may have
//! died unseen, warn of a pool nearly used up. Checkouts that last too long are in `stuck`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;

use super::body::{ms, plan_keepalive};
use super::breaker::Advice;
use super::card::{Card, NEVER};
use super::keeper::Kept;
use super::shared::Entry;
use super::shared::Shared;
use super::watch::Chore;
use crate::config::Settings;
use crate::core::Counts;
use crate::stats::{BreakerState, CloseCause};

/// The part of the ceiling in use from which on the pool warns that it is nearly used up.
const CROWDED: f64 = 0.9;
/// How long it must not have been so for the warning to be over.
const CROWDED_MEMORY_MS: u64 = 10_000;

impl<M: ManageConnection> Kept for Shared<M> {
    fn tend(self: Arc<Self>, now: u64) -> (u64, Option<Instant>) {
        let due_by = self.give_up_errands(Instant::now());
        let settings = self.settings();
        self.sweep(now, &settings);
        self.watch_holds(now, &settings);
        self.watch_load(now);
        self.openers.staff();
        self.closers.staff();
        self.demand();
        let next = now.saturating_add(ms(settings.reaper_rate));
        let breaker = self.breaker.lock();
        let retry = match breaker.advice(now) {
            Advice::NotBefore(at) => at,
            _ => NEVER,
        };
        (next.min(retry), due_by)
    }

    fn pulse(self: Arc<Self>) -> u64 {
        self.sample_in_use();
        self.top_up();
        self.lending.slots().map(|slot| slot.card.direct()).fold(0, u64::wrapping_add)
    }

    fn is_over(&self) -> bool {
        // Somebody may wait for an errand that hangs, with no deadline of its own.
        self.lending.is_closed() && self.errands.lock().is_empty()
    }
}

impl<M: ManageConnection> Shared<M> {
    /// Takes note of the number of connections in use, for its peak.
    pub(crate) fn sample_in_use(&self) {
        let held = self.lending.slots().filter(|slot| slot.card.counted_thread() != 0).count();
        // Relaxed: a maximum of samples.
        self.counters.peak_in_use.fetch_max(u32::try_from(held).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Opens what `min_idle` asks for soon after direct checkouts, which do not look, have used it up.
    fn top_up(self: &Arc<Self>) {
        let counts = self.lending.counts();
        let least = self.settings().effective_min_idle() as usize;
        if counts.idle + counts.opening < least && counts.size() < counts.ceiling {
            self.demand();
        }
    }

    /// Looks at every idle connection and does what is due with it.
    fn sweep(self: &Arc<Self>, now: u64, settings: &Settings) {
        // Relaxed: see `Fast`. All are looked at once after each change; what is in use meanwhile is looked at when
        // it is returned, or lent again.
        let epoch = self.fast.epoch.load(Ordering::Relaxed);
        let changed = self.swept.swap(epoch, Ordering::Relaxed) != epoch;
        for index in 0..self.lending.slots().count() {
            let card = &self.lending.slot(index).card;
            let look = changed
                || self.is_due_for_validation(card, now, settings)
                || self.needs_a_look(card, now, settings);
            if look && let Some(entry) = self.lending.take_at(index) {
                self.tidy(entry, now, settings);
            }
        }
    }

    /// Whether there is reason to take a slot's connection out for a moment. A caller finds it missing meanwhile, and
    /// the gauges show it in use, so one that would be put back is left alone.
    fn needs_a_look(&self, card: &Card, now: u64, settings: &Settings) -> bool {
        let idle_for = now.saturating_sub(card.idle_since());
        let past = |limit: Duration| idle_for >= ms(limit);
        let size = self.lending.size();
        card.due_at() <= now
            || (size > settings.min_size as usize && settings.idle_timeout.is_some_and(past))
            || (size > settings.base_size as usize && past(settings.overflow_linger))
            || size > settings.ceiling() as usize
    }

    /// Whether nothing has been heard of a connection for the time of its keepalive. One used since that was planned
    /// gets a new plan, so that connections that fell idle together are not validated together.
    fn is_due_for_validation(&self, card: &Card, now: u64, settings: &Settings) -> bool {
        let Some(period) = settings.keepalive else { return false };
        let at = card.keepalive_at();
        if now < at && at != NEVER {
            return false;
        }
        // A plan is at least nine tenths of the period ahead, or without end when there was none.
        if at == NEVER || card.idle_since() > at.saturating_sub(ms(period - period / 10)) {
            card.set_keepalive_at(plan_keepalive(card.idle_since(), settings.keepalive));
        }
        card.keepalive_at() <= now
    }

    fn tidy(self: &Arc<Self>, entry: Box<Entry<M>>, now: u64, settings: &Settings) {
        let card = &self.lending.slot(entry.seat.index()).card;
        let idle_for = now.saturating_sub(card.idle_since());
        let counts = self.lending.counts();
        // This one counts as in use while the keeper has it in hand.
        let idle_others = counts.idle;
        if let Some(cause) = self.reason_to_close(&entry, now, idle_for, idle_others, &counts, settings) {
            return self.dispose(entry, cause);
        }
        let suspect = entry.body.is_suspect(self.suspect_before.load(Ordering::Relaxed));
        if suspect || self.is_due_for_validation(card, now, settings) {
            return self.send_aside(entry, Chore::Validate { suspect }, None);
        }
        let index = entry.seat.index();
        if let Err(entry) = self.lending.put(index, entry) {
            self.dispose(entry, CloseCause::Closed);
        }
    }

    fn reason_to_close(
        self: &Arc<Self>,
        entry: &Entry<M>,
        now: u64,
        idle_for: u64,
        idle_others: usize,
        counts: &Counts,
        settings: &Settings,
    ) -> Option<CloseCause> {
        let size = counts.size();
        let past = |limit: Duration| idle_for >= ms(limit);
        if entry.body.is_evicted(self.evicted_before.load(Ordering::Relaxed)) {
            return Some(CloseCause::Evicted);
        }
        if entry.body.is_due(now, settings.max_uses) && self.may_retire(entry, now) {
            return Some(CloseCause::Expired);
        }
        if size > counts.ceiling {
            return Some(CloseCause::Idle);
        }
        // A minimum that was asked for stays, also where it reaches into the overflow: it would be opened again.
        let above_min =
            size > settings.min_size as usize && idle_others >= settings.min_idle.unwrap_or(0) as usize;
        if above_min && size > settings.base_size as usize && past(settings.overflow_linger) {
            return Some(CloseCause::Overflow);
        }
        let spare = size > settings.min_size as usize;
        (spare && settings.idle_timeout.is_some_and(past)).then_some(CloseCause::Idle)
    }

    /// Tells of the end of a hold that was warned of.
    pub(crate) fn tell_return(&self, id: u64, held_ms: u64, warned: bool) {
        if warned {
            let held = Duration::from_millis(held_ms);
            log::info!(target: &self.target(), "connection {id}, held for long, came back after {held:.1?}");
        }
    }

    /// Warns once when nearly all of the ceiling is in use, and tells when that has been over for a while: a small
    /// pool is full at one look and not at the next.
    fn watch_load(&self, now: u64) {
        let Counts { in_use, ceiling, waiting, .. } = self.lending.counts();
        // Relaxed: only the keeper touches it.
        let last = self.crowded_at.load(Ordering::Relaxed);
        if in_use as f64 > CROWDED * ceiling as f64 {
            self.crowded_at.store(now, Ordering::Relaxed);
            if last == NEVER {
                log::warn!(target: &self.target(), "{in_use} of {ceiling} connections in use, {waiting} waiting");
            }
        } else if last != NEVER && now.saturating_sub(last) >= CROWDED_MEMORY_MS {
            self.crowded_at.store(NEVER, Ordering::Relaxed);
            log::info!(target: &self.target(), "{in_use} of {ceiling} connections in use again");
        }
    }

    /// The state of the breaker, for reports.
    pub(crate) fn breaker_state(&self) -> BreakerState {
        self.breaker.lock().state()
    }
}
