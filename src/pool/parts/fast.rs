//! What every checkout and checkin reads.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::atomic::AtomicCell;

use super::generations::{AtomicGeneration, Generation};
use crate::clock::{AtomicMillis, Millis};
use crate::config::{Settings, WaitMode};

/// Somebody listens to events: checkouts and checkins have to be told.
const NOISY: u8 = 1;
/// A checkin may have to close its connection, since overflow does not linger.
const TRIMS: u8 = 2;

/// On a line of its own that is written only when something changes. What it has of the settings is here so that no
/// checkout that finds an idle connection has to read them, which would write to memory that all threads share.
///
/// All Relaxed, or in a cell that orders more than is needed: a checkout that reads an old value came before the
/// change, and one that reads some old and some new came amid it.
pub(crate) struct Fast {
    /// Raised by every change that makes idle connections worth a closer look.
    generation: AtomicGeneration,
    /// The idle time from which on a connection is validated.
    ping_after: AtomicMillis,
    /// [`NOISY`] and [`TRIMS`].
    care: AtomicU8,
    /// Checkouts after which a connection is replaced.
    max_uses: AtomicU64,
    wait_mode: AtomicCell<WaitMode>,
    /// In nanoseconds, as the next two.
    connection_timeout: AtomicU64,
    validation_timeout: AtomicU64,
    /// The longest that a checkout may take without being told of.
    slow_checkout: AtomicU64,
}

/// A span in nanoseconds; one of more than 584 years is as good as that.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Fast {
    pub(crate) fn new(settings: &Settings, noisy: bool) -> Self {
        let fast = Fast {
            generation: AtomicGeneration::first(),
            ping_after: AtomicMillis::default(),
            care: AtomicU8::new(if noisy { NOISY } else { 0 }),
            max_uses: AtomicU64::new(u64::MAX),
            wait_mode: AtomicCell::default(),
            connection_timeout: AtomicU64::new(u64::MAX),
            validation_timeout: AtomicU64::new(u64::MAX),
            slow_checkout: AtomicU64::new(u64::MAX),
        };
        fast.adopt(settings);
        fast
    }

    pub(crate) fn adopt(&self, settings: &Settings) {
        self.ping_after.store(settings.pre_ping.threshold().map_or(Millis::NEVER, Millis::of));
        self.max_uses.store(settings.max_uses.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.wait_mode.store(settings.wait_mode);
        self.connection_timeout.store(nanos(settings.connection_timeout), Ordering::Relaxed);
        self.validation_timeout.store(nanos(settings.validation_timeout), Ordering::Relaxed);
        self.slow_checkout.store(settings.slow_checkout.map_or(u64::MAX, nanos), Ordering::Relaxed);
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

    pub(crate) fn wait_mode(&self) -> WaitMode {
        self.wait_mode.load()
    }

    pub(crate) fn connection_timeout(&self) -> Duration {
        Duration::from_nanos(self.connection_timeout.load(Ordering::Relaxed))
    }

    pub(crate) fn validation_timeout(&self) -> Duration {
        Duration::from_nanos(self.validation_timeout.load(Ordering::Relaxed))
    }

    pub(crate) fn slow_checkout(&self) -> Duration {
        Duration::from_nanos(self.slow_checkout.load(Ordering::Relaxed))
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
