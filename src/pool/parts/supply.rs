//! What rules the opening of connections: the breaker, the part in a budget, and what is wanted beyond what the desk
//! can tell.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::breaker::Breaker;
use super::budget::Part;
use super::contact::Contact;
use super::counters::{Counted, Gauge};
use crate::config::Settings;
use crate::stats::BreakerState;

/// The breaker and the part in a budget, with the demand that they rule over.
///
/// Atomics are Relaxed: each is a count or a hint on its own; but for one, see [`Supply::introductions`].
pub(crate) struct Supply {
    /// Guards the policy of opening. The desk's lock may be taken under it, never the other way round; nothing foreign
    /// runs under it.
    breaker: Mutex<Breaker>,
    /// Whether the breaker leaves openings alone, as it was last let go of.
    breaker_rests: AtomicBool,
    part: Part,
    /// Somebody who does not wait wants the pool to grow by one. One that is lost is given again.
    hint: AtomicBool,
    /// Opened replacements whose predecessors may now be closed.
    credits: AtomicU32,
    /// Replacements being opened.
    renewing: Gauge,
    /// Connections opened that are not yet in their slots or with a waiter.
    introducing: Gauge,
    /// Such introductions that have begun.
    introduced: AtomicU64,
    /// Those who wait for a first connection, whatever the pool keeps.
    awaiting: Gauge,
    contact: Contact,
}

impl Supply {
    pub(crate) fn new(settings: &Settings, part: Part) -> Self {
        Supply {
            breaker: Mutex::new(Breaker::new(settings)),
            breaker_rests: AtomicBool::new(true),
            part,
            hint: AtomicBool::new(false),
            credits: AtomicU32::new(0),
            renewing: Gauge::default(),
            introducing: Gauge::default(),
            introduced: AtomicU64::new(0),
            awaiting: Gauge::default(),
            contact: Contact::default(),
        }
    }

    pub(crate) fn breaker(&self) -> LockedBreaker<'_> {
        LockedBreaker { breaker: self.breaker.lock(), rests: &self.breaker_rests }
    }

    /// Whether neither the breaker nor a budget has anything to decide for a pool that is at its ceiling.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.breaker_rests.load(Ordering::Relaxed) && !self.part.growth_waits()
    }

    pub(crate) fn contact(&self) -> &Contact {
        &self.contact
    }

    pub(crate) fn part(&self) -> &Part {
        &self.part
    }

    pub(crate) fn hint(&self) {
        self.hint.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_hinted(&self) -> bool {
        self.hint.load(Ordering::Relaxed)
    }

    pub(crate) fn forget_hint(&self) {
        self.hint.store(false, Ordering::Relaxed);
    }

    pub(crate) fn begin_renewal(&self) -> Counted {
        self.renewing.enter()
    }

    /// Replacements being opened, and those opened that have replaced nothing yet.
    pub(crate) fn renewals(&self) -> u32 {
        self.renewing.get() + self.credits.load(Ordering::Relaxed)
    }

    /// A replacement has been opened.
    pub(crate) fn add_credit(&self) {
        self.credits.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a replacement for one that is due; each is taken once.
    pub(crate) fn take_credit(&self) -> bool {
        let take = |credits: u32| credits.checked_sub(1);
        self.credits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Has a connection be wanted for as long as the guard lives, whatever the pool keeps.
    pub(crate) fn await_first(&self) -> Counted {
        self.awaiting.enter()
    }

    pub(crate) fn is_first_awaited(&self) -> bool {
        self.awaiting.get() > 0
    }

    /// Counts a connection that was opened, until it is in its slot or with a waiter. Before the desk has it open.
    pub(crate) fn introduce(&self) -> Counted {
        let introducing = self.introducing.enter();
        self.introduced.fetch_add(1, Ordering::Release);
        introducing
    }

    pub(crate) fn introducing(&self) -> u32 {
        self.introducing.get()
    }

    /// How many introductions have begun, and how many are under way. Asked before the desk is and once more after it:
    /// one that the desk has as open has begun by the second time, since it began ahead of the desk's lock. Acquire
    /// with the Release of its beginning: what is counted as begun is under way here too, or over; and the desk is
    /// read after the first time.
    pub(crate) fn introductions(&self) -> (u64, u32) {
        (self.introduced.load(Ordering::Acquire), self.introducing.get())
    }
}

/// The breaker with its lock, which notes as it is let go of whether it leaves openings alone.
pub(crate) struct LockedBreaker<'a> {
    breaker: MutexGuard<'a, Breaker>,
    rests: &'a AtomicBool,
}

impl Deref for LockedBreaker<'_> {
    type Target = Breaker;

    fn deref(&self) -> &Breaker {
        &self.breaker
    }
}

impl DerefMut for LockedBreaker<'_> {
    fn deref_mut(&mut self) -> &mut Breaker {
        &mut self.breaker
    }
}

impl Drop for LockedBreaker<'_> {
    fn drop(&mut self) {
        let rests = self.breaker.state() == BreakerState::Closed && !self.breaker.is_permanent();
        // Under the lock still, so that of two the later one's note stays. Only a change is written.
        if self.rests.load(Ordering::Relaxed) != rests {
            self.rests.store(rests, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Millis;
    use crate::error::{FailureClass, OpenFailure};
    use std::sync::Arc;

    #[test]
    fn a_breaker_that_decides_over_openings_is_not_at_rest() {
        let settings = Settings { failure_threshold: 1, ..Settings::of_tier("batch") };
        let supply = Supply::new(&settings, Part::default());
        assert!(supply.is_at_rest());
        for class in [FailureClass::Transient, FailureClass::Permanent] {
            let failure = Arc::new(OpenFailure::from_text("refused".into(), class, 1));
            supply.breaker().failed(Millis::new(9), Millis::new(9), failure, 0.0, false);
            assert!(!supply.is_at_rest(), "{class:?}");
            supply.breaker().succeeded();
            assert!(supply.is_at_rest(), "{class:?}");
        }
    }
}
