//! Waiting awake, for a moment, for what another thread is about to do: cheaper than to be put to sleep and woken.
//!
//! What is awaited is told by a hint, an atomic beside the state that counts. Nothing is concluded from the hint but
//! that a look at the state is worth it, so one that is missed or late costs time alone.
//!
//! Both threads may have come to lie on one core, while another is idle: systems put a thread that is woken where it
//! slept or beside its waker, and leave two that are never at rest where they are. It shows by the yields: the first
//! one runs the other thread, and what was awaited is there. Such threads lose no time by pauses any more, and a thread
//! of the pool's own has a new one take its place ([`Linger::is_to_move`]), since one that starts is put on a core that
//! is idle.

use std::hint::spin_loop;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::{available_parallelism, yield_now};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::core::{LEAST_BRAKE, MOST_BRAKE, PAID_TO_LET_UP};

/// The longest that a thread waits awake.
pub(crate) const LONGEST: Duration = Duration::from_micros(50);

/// For how long there is nothing but a pause between two looks: a hand-over between two cores that are at it takes no
/// longer. Afterwards every look gives the core to whoever else wants it, which takes a call of the system.
const PAUSED: Duration = Duration::from_micros(4);

/// Looks between two readings of the clock meanwhile. A pause is anything from 3 to 45 ns, by the processor.
const PAUSES: u32 = 16;

/// A yield that takes this long has given the core to others, who want it more: not threads of the pool, whose turns
/// are short, but programs that use their time slices up.
pub(crate) const CROWDED: Duration = Duration::from_micros(300);

/// As many fruitless waits in a row as show that the work takes longer, and the waits that sleep then: the cost of
/// the next try is spread over them. It is fruitless once more, or ends this.
const FRUITLESS: u32 = 2;
const SLOW: u32 = 64;

/// A yield for which another thread has run takes this long at the least: a yield to nobody takes half of it.
const TURN: Duration = Duration::from_micros(1);

/// Waits in a row that were ended by the first yield: as many show that there is one core for both threads, and as many
/// are worth the start of a thread.
const SHARED: u32 = 4;
const WORTH_A_MOVE: u32 = 16;

/// The time between two moves at the least, doubled up to the second by each that did not help: that was not followed
/// by some waits which ended while the thread paused.
const LEAST_STAY: Duration = Duration::from_millis(1);
const MOST_STAY: Duration = Duration::from_secs(1);
const HELPED: u32 = 64;

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
    /// Waits in a row that were ended by the first yield.
    shared: AtomicU32,
    /// Waits on a core of one's own that are still to come for the last move to have helped.
    unproven: AtomicU32,
    moved: Mutex<Option<Moved>>,
}

/// The last time that a thread had another take its place.
struct Moved {
    at: Instant,
    /// How long nobody else does from then on.
    stay: Duration,
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
            shared: AtomicU32::new(0),
            unproven: AtomicU32::new(0),
            moved: Mutex::new(None),
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
        self.until_by(deadline, is_there, Instant::now, || {
            yield_now();
            Instant::now()
        })
    }

    /// The same, with a clock, and a yield that tells the time after it.
    fn until_by(
        &self,
        deadline: Option<Instant>,
        is_there: impl Fn() -> bool,
        clock: impl Fn() -> Instant,
        yielded: impl Fn() -> Instant,
    ) -> bool {
        if is_there() {
            self.paid_at_once();
            return true;
        }
        let begun = clock();
        let end = deadline.map_or(begun + LONGEST, |deadline| deadline.min(begun + LONGEST));
        let mut last = begun;
        // Where both threads share a core, no pause brings the other one nearer.
        let pauses = if self.shared.load(Relaxed) < SHARED { end.min(begun + PAUSED) } else { begun };
        while last < pauses {
            for _ in 0..PAUSES {
                if is_there() {
                    self.paid_at_once();
                    return true;
                }
                spin_loop();
            }
            last = clock();
        }
        let paused = last;
        while last < end {
            let now = yielded();
            if now.duration_since(last) > CROWDED {
                self.gives_way();
                return is_there();
            }
            if is_there() {
                self.pays();
                if last == paused && now.duration_since(paused) >= TURN {
                    self.shared.fetch_add(1, Relaxed);
                } else {
                    self.had_its_core();
                }
                return true;
            }
            last = now;
        }
        self.had_its_core();
        is_there()
    }

    /// What was awaited came while this thread did nothing but look. Writes nothing where nothing is to be let up or
    /// judged, since both threads come here each time.
    fn paid_at_once(&self) {
        self.had_its_core();
        self.proves_the_move();
        if self.brake.load(Relaxed) > LEAST_BRAKE {
            self.pays();
        }
    }

    fn had_its_core(&self) {
        if self.shared.load(Relaxed) != 0 {
            self.shared.store(0, Relaxed);
        }
    }

    fn proves_the_move(&self) {
        let left = self.unproven.load(Relaxed);
        if left != 0 {
            self.unproven.store(left - 1, Relaxed);
        }
    }

    /// Whether a thread that has just waited awake shares its core with those for whom it works, and is to have a new
    /// one take its place. Whoever is told so does it.
    pub(crate) fn is_to_move(&self) -> bool {
        self.shared.load(Relaxed) >= WORTH_A_MOVE && self.may_move_at(Instant::now())
    }

    #[cold]
    fn may_move_at(&self, now: Instant) -> bool {
        let mut moved = self.moved.lock();
        let stay = match &*moved {
            Some(Moved { at, stay }) if now < *at + *stay => return false,
            Some(Moved { stay, .. }) if self.unproven.load(Relaxed) > 0 => (*stay * 2).min(MOST_STAY),
            _ => LEAST_STAY,
        };
        *moved = Some(Moved { at: now, stay });
        self.shared.store(0, Relaxed);
        self.unproven.store(HELPED, Relaxed);
        true
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

    /// A clock of a test's own, which goes on by a microsecond with each reading: by the system's, a thread that loses
    /// its core for a moment would meet what the test does not mean.
    struct Ticking(Cell<Instant>);

    impl Ticking {
        fn new() -> Self {
            Ticking(Cell::new(Instant::now()))
        }

        fn goes_on(&self, by: Duration) -> Instant {
            self.0.set(self.0.get() + by);
            self.0.get()
        }

        fn reads(&self) -> Instant {
            self.goes_on(Duration::from_micros(1))
        }
    }

    /// How often one looks before it yields.
    fn looks(linger: &Linger) -> u32 {
        let (clock, looks, by_then) = (Ticking::new(), Cell::new(0), Cell::new(None));
        let is_there = || {
            looks.set(looks.get() + 1);
            false
        };
        // As long as all that one waits, so that there is one.
        let yielded = || {
            assert_eq!(by_then.replace(Some(looks.get())), None);
            clock.goes_on(LONGEST * 2)
        };
        assert!(!linger.until_by(None, is_there, || clock.reads(), yielded));
        by_then.get().expect("it yields")
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
        let now = Instant::now();
        assert!(linger.until_by(None, || true, || panic!("it reads the clock"), || panic!("it yields")));
        let looks = Cell::new(0);
        let is_there = || {
            looks.set(looks.get() + 1);
            false
        };
        assert!(!linger.until_by(Some(now), is_there, || now, || panic!("it yields")));
        assert_eq!(looks.get(), 2, "at first and at the end");
    }

    #[test]
    fn whoever_waits_pauses_at_first_and_yields_then() {
        let linger = Linger::with_cores(2);
        assert_eq!(looks(&linger), 1 + PAUSES * u32::try_from(PAUSED.as_micros()).unwrap());
    }

    #[test]
    fn whoever_meets_a_crowd_gives_way_for_a_while_and_longer_each_time() {
        let linger = Linger::with_cores(2);
        for times in 0..3 {
            let clock = Ticking::new();
            assert!(!linger.until_by(None, || false, || clock.reads(), || clock.goes_on(CROWDED * 2)));
            assert_eq!(skipped(&linger), LEAST_BRAKE << times);
        }
        // What is there at once was worth it as well.
        (0..2 * PAID_TO_LET_UP).for_each(|_| assert!(linger.until(None, || true)));
        linger.gives_way();
        assert_eq!(skipped(&linger), LEAST_BRAKE << 1, "halved twice by what was worth it");
    }

    #[test]
    fn threads_on_one_core_are_told_by_the_yields_and_one_moves_now_and_then() {
        let linger = Linger::with_cores(2);
        let wait = |yields: u32| {
            let (clock, done) = (Ticking::new(), Cell::new(0));
            let yielded = || {
                done.set(done.get() + 1);
                clock.goes_on(TURN)
            };
            assert!(linger.until_by(None, || done.get() == yields, || clock.reads(), yielded));
        };
        (1..WORTH_A_MOVE).for_each(|_| wait(1));
        assert!(!linger.is_to_move());
        // On a core of its own: found while it paused, and after several yields.
        for yields in [0, 3] {
            wait(yields);
            assert_eq!(linger.shared.load(Relaxed), 0);
            (1..WORTH_A_MOVE).for_each(|_| wait(1));
        }
        wait(1);
        assert_eq!(looks(&linger), 1, "no time is lost by pauses");
        (0..WORTH_A_MOVE).for_each(|_| wait(1));
        assert!(linger.is_to_move() && !linger.is_to_move());

        (0..HELPED).for_each(|_| wait(0));
        let mut at = Instant::now() + MOST_STAY * 20;
        assert!(linger.may_move_at(at));
        for stay in [1, 2, 4].map(|ms| LEAST_STAY * ms) {
            assert!(!linger.may_move_at(at + stay / 2));
            at += stay;
            assert!(linger.may_move_at(at), "{stay:?} after the last, which did not help");
        }
        at += LEAST_STAY * 8;
        (0..HELPED).for_each(|_| wait(0));
        assert!(linger.may_move_at(at) && linger.may_move_at(at + LEAST_STAY), "the one before did");
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
