//! Waiting awake, for a moment, for what another thread is about to do: cheaper than to be put to sleep and woken.
//!
//! What is awaited is told by a hint, an atomic beside the state that counts. Nothing is concluded from the hint but
//! that a look at the state is worth it, so one that is missed or late costs time alone.

use std::hint::spin_loop;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::{available_parallelism, yield_now};
use std::time::{Duration, Instant};

use crate::core::{LEAST_BRAKE, MOST_BRAKE, PAID_TO_LET_UP};

/// The longest that a thread waits awake.
pub(crate) const LONGEST: Duration = Duration::from_micros(50);

/// Looks with nothing but a pause between them: some two microseconds, which a hand-over between two cores that are at
/// it takes at the most. After them every look gives the core to whoever else wants it.
const PAUSES: u32 = 64;

/// A yield that takes this long has given the core to others, who want it more: not threads of the pool, whose turns
/// are short, but programs that use their time slices up.
pub(crate) const CROWDED: Duration = Duration::from_micros(300);

/// As many fruitless waits in a row as show that the work takes longer, and the waits that sleep then: the cost of
/// the next try is spread over them. It is fruitless once more, or ends this.
const FRUITLESS: u32 = 2;
const SLOW: u32 = 64;

/// Whether and how threads of one group linger. All Relaxed: estimates, by which nothing is published.
pub(crate) struct Linger {
    /// On a single core nobody else can do anything while this thread is awake.
    is_alone: bool,
    /// Waits for which nobody lingers.
    skip: AtomicU32,
    /// What the next crowd sets it to.
    brake: AtomicU32,
    paid: AtomicU32,
    /// Waits in a row that ended without what was awaited.
    fruitless: AtomicU32,
}

/// The cores that this process may use; asked once, since that reads files.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| available_parallelism().map_or(1, usize::from))
}

impl Default for Linger {
    fn default() -> Self {
        Linger::with_cores(cores())
    }
}

impl Linger {
    fn with_cores(cores: usize) -> Self {
        Linger {
            is_alone: cores < 2,
            skip: AtomicU32::new(0),
            brake: AtomicU32::new(LEAST_BRAKE),
            paid: AtomicU32::new(0),
            fruitless: AtomicU32::new(0),
        }
    }

    /// Whether the next wait is to be one awake; asked once for each.
    pub(crate) fn may(&self) -> bool {
        if self.is_alone {
            return false;
        }
        self.skip.load(Relaxed) == 0
            || self.skip.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err()
    }

    /// Whether waits are awake just now.
    pub(crate) fn is_on(&self) -> bool {
        !self.is_alone && self.skip.load(Relaxed) == 0
    }

    /// Waits awake until `is_there`, for [`LONGEST`] and not beyond the deadline. Says whether it is.
    pub(crate) fn until(&self, deadline: Option<Instant>, is_there: impl Fn() -> bool) -> bool {
        self.until_by(deadline, is_there, || {
            yield_now();
            Instant::now()
        })
    }

    /// The same, with a yield that tells the time after it.
    fn until_by(
        &self,
        deadline: Option<Instant>,
        is_there: impl Fn() -> bool,
        yielded: impl Fn() -> Instant,
    ) -> bool {
        for _ in 0..PAUSES {
            if is_there() {
                return true;
            }
            spin_loop();
        }
        let begun = Instant::now();
        let end = deadline.map_or(begun + LONGEST, |deadline| deadline.min(begun + LONGEST));
        let mut last = begun;
        while last < end {
            let now = yielded();
            if now.duration_since(last) > CROWDED {
                self.gives_way();
                return is_there();
            }
            if is_there() {
                self.pays();
                return true;
            }
            last = now;
        }
        is_there()
    }

    /// Tells whether a wait awake was worth it, of one whose length is that of the work awaited: where that takes
    /// longer twice in a row, the next ones sleep.
    pub(crate) fn learn(&self, was_worth_it: bool) {
        if was_worth_it {
            if self.fruitless.load(Relaxed) != 0 {
                self.fruitless.store(0, Relaxed);
            }
        } else if self.fruitless.fetch_add(1, Relaxed) + 1 >= FRUITLESS {
            self.skip.fetch_max(SLOW, Relaxed);
        }
    }

    #[cold]
    fn gives_way(&self) {
        let brake = self.brake.load(Relaxed);
        self.skip.store(brake, Relaxed);
        self.brake.store((brake * 2).min(MOST_BRAKE), Relaxed);
    }

    fn pays(&self) {
        if self.paid.fetch_add(1, Relaxed) % PAID_TO_LET_UP == PAID_TO_LET_UP - 1 {
            let brake = self.brake.load(Relaxed);
            self.brake.store((brake / 2).max(LEAST_BRAKE), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How often one looks for what never comes.
    fn looks(linger: &Linger, deadline: Option<Instant>) -> u32 {
        let looks = Cell::new(0);
        assert!(!linger.until(deadline, || {
            looks.set(looks.get() + 1);
            false
        }));
        looks.get()
    }

    /// How many waits sleep before one is awake.
    fn skipped(linger: &Linger) -> u32 {
        assert_eq!(linger.is_on(), linger.skip.load(Relaxed) == 0);
        (0..).find(|_| linger.may()).expect("the brake is let go")
    }

    #[test]
    fn on_a_single_core_nobody_lingers() {
        let alone = Linger::with_cores(1);
        assert!(!alone.may() && !alone.is_on());
        let two = Linger::with_cores(2);
        assert!(two.may() && two.is_on());
    }

    #[test]
    fn what_is_there_is_found_at_once_and_nobody_lingers_beyond_its_deadline() {
        let linger = Linger::with_cores(2);
        assert!(linger.until(Some(Instant::now()), || true));
        assert_eq!(looks(&linger, Some(Instant::now())), PAUSES + 1);
    }

    #[test]
    fn whoever_meets_a_crowd_gives_way_for_a_while_and_longer_each_time() {
        let linger = Linger::with_cores(2);
        for times in 0..3 {
            assert!(!linger.until_by(None, || false, || Instant::now() + CROWDED * 2));
            assert_eq!(skipped(&linger), LEAST_BRAKE << times);
        }
        (0..2 * PAID_TO_LET_UP).for_each(|_| linger.pays());
        linger.gives_way();
        assert_eq!(skipped(&linger), LEAST_BRAKE << 1, "halved twice by what was worth it");
    }

    #[test]
    fn for_work_that_takes_long_most_waits_sleep() {
        let linger = Linger::with_cores(2);
        linger.learn(false);
        assert_eq!(skipped(&linger), 0, "once may be by chance");
        linger.learn(true);
        linger.learn(false);
        assert_eq!(skipped(&linger), 0);
        for _ in 0..3 {
            linger.learn(false);
            assert_eq!(skipped(&linger), SLOW);
        }
        linger.learn(true);
        linger.learn(false);
        assert_eq!(skipped(&linger), 0);
    }
}
