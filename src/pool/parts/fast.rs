//! What every checkout and checkin reads.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use super::generations::{AtomicGeneration, Generation};
use crate::clock::{AtomicMillis, Millis};
use crate::config::{Settings, WaitMode};
#[cfg(feature = "tracing")]
use crate::lines::wants_debug;

/// Somebody listens to events: checkouts and checkins have to be told.
const NOISY: u8 = 1;
/// A checkin may have to close its connection, since overflow does not linger.
const TRIMS: u8 = 2;
/// A subscriber may want to be told of checkouts and checkins. A logger's level is asked for each time, which no bit
/// could follow; a subscriber's is looked at by the keeper, so that it costs them nothing.
const TRACED: u8 = 4;

/// A deadlock is looked for.
const DETECTS: u8 = 1;
/// One that is no more than apparent is refused, too.
const REFUSES: u8 = 2;

/// Beside a time to wait: not for others.
const NO_WAIT: u64 = 1 << 63;
/// In place of a time to wait: without an end.
const FOREVER: u64 = u64::MAX;

/// On a line of its own that is written only when something changes. What it has of the settings is here so that no
/// checkout that finds an idle connection, or waits for one, has to read them, which would be a write to memory that
/// all threads share.
///
/// All Relaxed: a checkout that reads an old value came before the change.
pub(crate) struct Fast {
    /// Raised by every change that makes idle connections worth a closer look.
    generation: AtomicGeneration,
    /// The idle time from which on a connection is validated.
    ping_after: AtomicMillis,
    /// [`NOISY`], [`TRIMS`] and [`TRACED`].
    care: AtomicU8,
    /// Checkouts after which a connection is replaced.
    max_uses: AtomicU64,
    /// How a plain `get` waits: so many nanoseconds, with [`NO_WAIT`] or without; or [`FOREVER`].
    wait: AtomicU64,
    /// In nanoseconds, as the next.
    validation_timeout: AtomicU64,
    /// The longest that a checkout may take without being told of.
    slow_checkout: AtomicU64,
    /// The most that may stand in line.
    max_waiting: AtomicU64,
    /// [`DETECTS`] and [`REFUSES`].
    deadlock: AtomicU8,
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
            wait: AtomicU64::new(FOREVER),
            validation_timeout: AtomicU64::new(u64::MAX),
            slow_checkout: AtomicU64::new(u64::MAX),
            max_waiting: AtomicU64::new(u64::MAX),
            deadlock: AtomicU8::new(0),
        };
        fast.adopt(settings);
        #[cfg(feature = "tracing")]
        fast.look_for_subscribers();
        fast
    }

    pub(crate) fn adopt(&self, settings: &Settings) {
        self.ping_after.store(settings.pre_ping.threshold().map_or(Millis::NEVER, Millis::of));
        self.max_uses.store(settings.max_uses.unwrap_or(u64::MAX), Ordering::Relaxed);
        let limit = nanos(settings.connection_timeout).min(NO_WAIT - 2);
        let wait = match settings.wait_mode {
            WaitMode::Timed => limit,
            WaitMode::NoWait => limit | NO_WAIT,
            WaitMode::Forever => FOREVER,
        };
        self.wait.store(wait, Ordering::Relaxed);
        self.validation_timeout.store(nanos(settings.validation_timeout), Ordering::Relaxed);
        self.slow_checkout.store(settings.slow_checkout.map_or(u64::MAX, nanos), Ordering::Relaxed);
        self.max_waiting.store(settings.max_waiting.map_or(u64::MAX, u64::from), Ordering::Relaxed);
        let deadlock = if settings.deadlock_detection { DETECTS } else { 0 }
            | if settings.deadlock_refusal { REFUSES } else { 0 };
        self.deadlock.store(deadlock, Ordering::Relaxed);
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

    /// How a plain `get` waits, and how long at most.
    pub(crate) fn wait(&self) -> (WaitMode, Duration) {
        match self.wait.load(Ordering::Relaxed) {
            FOREVER => (WaitMode::Forever, Duration::MAX),
            wait if wait & NO_WAIT != 0 => (WaitMode::NoWait, Duration::from_nanos(wait & !NO_WAIT)),
            limit => (WaitMode::Timed, Duration::from_nanos(limit)),
        }
    }

    pub(crate) fn validation_timeout(&self) -> Duration {
        Duration::from_nanos(self.validation_timeout.load(Ordering::Relaxed))
    }

    pub(crate) fn slow_checkout(&self) -> Duration {
        Duration::from_nanos(self.slow_checkout.load(Ordering::Relaxed))
    }

    /// The most that may stand in line, if there is a bound.
    pub(crate) fn max_waiting(&self) -> Option<usize> {
        let most = self.max_waiting.load(Ordering::Relaxed);
        (most != u64::MAX).then(|| usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// Whether one that stands in line looks for a deadlock.
    pub(crate) fn detects_deadlocks(&self) -> bool {
        self.deadlock.load(Ordering::Relaxed) & DETECTS != 0
    }

    /// Whether it is refused, too, where a deadlock is no more than apparent.
    pub(crate) fn refuses_deadlocks(&self) -> bool {
        self.deadlock.load(Ordering::Relaxed) & REFUSES != 0
    }

    /// Whether anybody listens to events.
    #[inline]
    pub(crate) fn is_noisy(&self) -> bool {
        self.care.load(Ordering::Relaxed) & NOISY != 0
    }

    /// Whether anybody is to be told of a checkout, but for a logger.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.care.load(Ordering::Relaxed) & (NOISY | TRACED) != 0
    }

    /// Asks whether a subscriber may want to be told of checkouts.
    #[cfg(feature = "tracing")]
    pub(crate) fn look_for_subscribers(&self) {
        let (was, is) = (self.care.load(Ordering::Relaxed) & TRACED != 0, wants_debug());
        if was != is {
            self.set_care(TRACED, is);
        }
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
