//! Time for ages: a clock that is cheap to read, and one that a test moves by hand.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The grain of the coarse reading while a pool is in use.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// No coarse reading is at hand: read the real clock.
const STALE: u64 = u64::MAX;

/// Readings of the real clock after which its keeper is asked to tick again: many for a burst of checkouts to cost
/// little, few enough that single ones in a quiet pool wake nobody.
const STALE_READINGS: u64 = 32;

/// Far beyond any wait, and little enough to be added to any reading of the clock.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The moment by which something must have ended, by real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// `limit` from now; of a limit too long to be expressed, a hundred years from now.
    pub(crate) fn of(limit: Duration) -> Self {
        Deadline::after(Instant::now(), limit)
    }

    /// `limit` after `start`, likewise.
    pub(crate) fn after(start: Instant, limit: Duration) -> Self {
        Deadline(start + limit.min(FAR))
    }

    /// The time left; none once it has passed.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// For whatever waits until a moment.
    pub(crate) fn instant(self) -> Instant {
        self.0
    }
}

/// A moment of a pool's clock, or a span of it, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(u64);

impl Millis {
    pub(crate) const ZERO: Millis = Millis(0);
    /// A moment that does not come: no sum reaches beyond it.
    pub(crate) const NEVER: Millis = Millis(u64::MAX);

    pub(crate) const fn new(ms: u64) -> Self {
        Millis(ms)
    }

    /// A span; one too long to be expressed never ends.
    pub(crate) fn of(span: Duration) -> Self {
        u64::try_from(span.as_millis()).map_or(Millis::NEVER, Millis)
    }

    pub(crate) fn get(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn plus(self, span: Millis) -> Self {
        Millis(self.0.saturating_add(span.0))
    }

    /// The span from an earlier moment to this one; none where it is later.
    #[inline]
    pub(crate) fn since(self, earlier: Millis) -> Self {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// The moment by this span earlier.
    pub(crate) fn less(self, span: Millis) -> Self {
        self.since(span)
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// A [`Millis`] that several threads write and read; at first a moment that does not come.
///
/// Relaxed throughout: a number on its own. Where more is concluded from it, the line that does so says what orders it.
pub(crate) struct AtomicMillis(AtomicU64);

impl Default for AtomicMillis {
    fn default() -> Self {
        AtomicMillis::new(Millis::NEVER)
    }
}

impl AtomicMillis {
    pub(crate) fn new(at: Millis) -> Self {
        AtomicMillis(AtomicU64::new(at.0))
    }

    #[inline]
    pub(crate) fn load(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn store(&self, at: Millis) {
        self.0.store(at.0, Ordering::Relaxed);
    }

    pub(crate) fn swap(&self, at: Millis) -> Millis {
        Millis(self.0.swap(at.0, Ordering::Relaxed))
    }

    /// Moves on from a moment that has come to `next`; false where it has not come, and nothing is changed.
    pub(crate) fn pass(&self, now: Millis, next: Millis) -> bool {
        let moved = |at: u64| (at <= now.0).then_some(next.0);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved).is_ok()
    }
}

type Waker = Box<dyn Fn() + Send + Sync>;

struct Inner {
    origin: Instant,
    is_manual: bool,
    /// The coarse reading in milliseconds since `origin`, or `STALE`.
    tick: AtomicU64,
    /// Readings since the coarse one was given up.
    stale_readings: AtomicU64,
    /// Whom to tell when the clock is moved by hand, or read often while it rests. Called under the lock: they only
    /// notify a thread.
    wakers: Mutex<Vec<Waker>>,
}

impl Inner {
    fn new(is_manual: bool) -> Self {
        Inner {
            origin: Instant::now(),
            is_manual,
            tick: AtomicU64::new(0),
            stale_readings: AtomicU64::new(0),
            wakers: Mutex::new(Vec::new()),
        }
    }

    fn wake(&self) {
        self.wakers.lock().iter().for_each(|wake| wake());
    }
}

/// The clock by which a pool measures ages: lifetime, idle time, hold time, back-off.
///
/// Reading the system's clock costs more than a whole checkout should, so the pool's keeper advances a coarse
/// reading every 10 ms while connections are being lent, and stops when they are not. Deadlines of callers are not
/// measured by it but by [`Instant`], exactly.
///
/// [`Clock::manual`] gives a test one that stands still until it is moved.
///
/// ```
/// use std::time::Duration;
/// use tierpool::Clock;
///
/// let (clock, hand) = Clock::manual();
/// let before = clock.elapsed();
/// hand.advance(Duration::from_secs(1800));
/// assert_eq!(clock.elapsed() - before, Duration::from_secs(1800));
/// ```
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

impl Default for Clock {
    /// The system's monotonic clock.
    fn default() -> Self {
        Clock(Arc::new(Inner::new(false)))
    }
}

impl Clock {
    /// Makes a clock that stands still, and the hand that moves it.
    pub fn manual() -> (Clock, ClockHand) {
        let clock = Clock(Arc::new(Inner::new(true)));
        (clock.clone(), ClockHand(clock))
    }

    /// The time since the clock was made.
    pub fn elapsed(&self) -> Duration {
        self.precise_ms().duration()
    }

    pub(crate) fn is_manual(&self) -> bool {
        self.0.is_manual
    }

    /// Milliseconds, up to one tick late.
    #[inline]
    pub(crate) fn coarse_ms(&self) -> Millis {
        // Relaxed: a number on its own; no other memory is concluded from it.
        let tick = self.0.tick.load(Ordering::Relaxed);
        if tick == STALE { self.stale_ms() } else { Millis(tick) }
    }

    /// Whether real time may have passed since a coarse reading, beyond its grain. Of one moved by hand nobody knows.
    pub(crate) fn has_moved(&self, since: Millis) -> bool {
        self.is_manual() || self.coarse_ms() != since
    }

    #[cold]
    fn stale_ms(&self) -> Millis {
        // Relaxed: a count that triggers once; nothing is concluded from its exactness.
        if self.0.stale_readings.fetch_add(1, Ordering::Relaxed) == STALE_READINGS {
            self.0.wake();
        }
        self.precise_ms()
    }

    /// Milliseconds, read from the system now.
    #[cold]
    pub(crate) fn precise_ms(&self) -> Millis {
        if self.is_manual() {
            // Relaxed: as in `coarse_ms`.
            return Millis(self.0.tick.load(Ordering::Relaxed));
        }
        Millis(u64::try_from(self.0.origin.elapsed().as_millis()).unwrap_or(STALE - 1))
    }

    /// Milliseconds, read from the system now and rounded up: a span from here to any other reading is never told as
    /// longer than it was.
    #[cold]
    pub(crate) fn begin_ms(&self) -> Millis {
        let part = if self.is_manual() { Millis::ZERO } else { Millis(1) };
        self.precise_ms().plus(part)
    }

    /// Brings the coarse reading up to date; the keeper's call.
    pub(crate) fn tick(&self) {
        if !self.is_manual() {
            // Relaxed: as in `coarse_ms`.
            self.0.tick.store(self.precise_ms().0, Ordering::Relaxed);
        }
    }

    /// Gives the coarse reading up until the next tick, so that it does not lie while nobody advances it.
    pub(crate) fn rest(&self) {
        if !self.is_manual() {
            // Relaxed: as in `coarse_ms`.
            self.0.stale_readings.store(0, Ordering::Relaxed);
            self.0.tick.store(STALE, Ordering::Relaxed);
        }
    }

    /// Has `waker` called whenever a hand moves this clock, and when it is read often while it rests. It must do no
    /// more than notify.
    pub(crate) fn on_call(&self, waker: Waker) {
        self.0.wakers.lock().push(waker);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_manual() { "manual" } else { "system" };
        write!(f, "Clock({kind}, {:?})", self.elapsed())
    }
}

/// Moves a [`Clock`] that was made by [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ClockHand(Clock);

impl ClockHand {
    /// Moves the clock forward and wakes the keepers that go by it. What falls due is done on their threads, so a
    /// test waits for the effect.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(0);
        // Relaxed: as in `coarse_ms`; the keeper takes a lock before it looks, which orders the two.
        self.0.0.tick.fetch_add(by, Ordering::Relaxed);
        self.0.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reckoned_from_its_begin_is_never_told_as_longer_than_it_was() {
        let (clock, (still, hand)) = (Clock::default(), Clock::manual());
        for _ in 0..100 {
            let before = clock.0.origin.elapsed();
            assert!(clock.begin_ms().duration() > before);
        }
        hand.advance(Duration::from_millis(7));
        assert_eq!(still.begin_ms(), Millis::new(7), "one moved by hand is exact");
    }
}
