//! What every checkout and checkin reads.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::generations::{AtomicGeneration, Generation};
use crate::clock::{AtomicMillis, Millis};
use crate::config::Settings;

/// Somebody listens to events: checkouts and checkins have to be told.
const NOISY: u8 = 1;
/// A checkin may have to close its connection, since overflow does not linger.
const TRIMS: u8 = 2;

/// On a line of its own that is written only when something changes.
///
/// All Relaxed: a checkout that reads an old value came before the change.
pub(crate) struct Fast {
    /// Raised by every change that makes idle connections worth a closer look.
    generation: AtomicGeneration,
    /// The idle time from which on a connection is validated.
    ping_after: AtomicMillis,
    /// [`NOISY`] and [`TRIMS`].
    care: AtomicU8,
    /// Checkouts after which a connection is replaced.
    max_uses: AtomicU64,
}

impl Fast {
    pub(crate) fn new(settings: &Settings, noisy: bool) -> Self {
        let fast = Fast {
            generation: AtomicGeneration::first(),
            ping_after: AtomicMillis::default(),
            care: AtomicU8::new(if noisy { NOISY } else { 0 }),
            max_uses: AtomicU64::new(u64::MAX),
        };
        fast.adopt(settings);
        fast
    }

    pub(crate) fn adopt(&self, settings: &Settings) {
        self.ping_after.store(settings.pre_ping.threshold().map_or(Millis::NEVER, Millis::of));
        self.max_uses.store(settings.max_uses.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.set_care(TRIMS, settings.ceiling() > settings.kept_size() && settings.overflow_linger.is_zero());
        self.generation.begin_next();
    }

    #[inline]
    pub(crate) fn generation(&self) -> Generation {
        self.generation.load()
    }

    /// Begins the next generation, so that every idle connection is looked at before its next checkout.
    pub(crate) fn next_generation(&self) -> Generation {
        self.generation.begin_next()
    }

    #[inline]
    pub(crate) fn ping_after(&self) -> Millis {
        self.ping_after.load()
    }

    #[inline]
    pub(crate) fn max_uses(&self) -> u64 {
        self.max_uses.load(Ordering::Relaxed)
    }

    /// Whether anybody listens to events.
    #[inline]
    pub(crate) fn is_noisy(&self) -> bool {
        self.care.load(Ordering::Relaxed) & NOISY != 0
    }

    pub(crate) fn set_noisy(&self, noisy: bool) {
        self.set_care(NOISY, noisy);
    }

    /// Whether a checkin has nothing to tell and nothing to trim.
    #[inline]
    pub(crate) fn is_carefree(&self) -> bool {
        self.care.load(Ordering::Relaxed) == 0
    }

    fn set_care(&self, bit: u8, on: bool) {
        if on {
            self.care.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.care.fetch_and(!bit, Ordering::Relaxed);
        }
    }
}
