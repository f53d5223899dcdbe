//! The tempo of a line: how soon values come back, and whether it is worth a thread's while to linger for one.
//!
//! To sleep and to be woken costs a thread some ten to twenty microseconds, which is most of a turn where values are
//! out for less. To linger costs processor time, which pays only where the next value comes sooner than that, and not
//! where other threads want the cores. What is known of both is told in by the floor above, which has the clock: all
//! numbers here are nanoseconds of its measuring. Until it tells any, nobody lingers and nobody is alerted.

/// In how many waits nobody lingers once the cores were crowded: at first, and at the least. A fraction of a second
/// where lines move fast.
pub(crate) const LEAST_BRAKE: u32 = 256;
/// At the most: a second or more, so that programs which take the cores for good meet hardly any lingering.
pub(crate) const MOST_BRAKE: u32 = 1 << 17;
/// So many lingerings that paid halve the brake.
pub(crate) const PAID_TO_LET_UP: u32 = 4_096;

/// How one wait went, as the floor above tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waited {
    /// The time of one turn: that of the whole wait, by the number of turns in it. `None` where it would mislead.
    pub(crate) turn_ns: Option<u32>,
    pub(crate) lingered: Lingered,
}

/// How a thread fared that lingered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lingered {
    /// Not at all, or the value came later.
    #[default]
    InVain,
    /// The value came meanwhile.
    Paid,
    /// Others wanted the cores.
    Crowded,
}

/// The pace at which a line moves, and the brake for crowded cores. A plain value: the desk's lock guards it.
#[derive(Debug)]
pub(super) struct Tempo {
    /// From one hand-off to the next, a decaying mean.
    pace_ns: u32,
    /// Waits to come in which nobody lingers, since the cores were crowded.
    braked: u32,
    /// The length of the next brake.
    brake: u32,
    /// Lingerings that paid since the cores were crowded last, or since the brake was last let up.
    paid: u32,
}

impl Tempo {
    /// No line moves so slowly: a pace that nobody has told.
    const UNKNOWN_NS: u32 = u32::MAX;

    /// The longest that a value may be out, on the mean, for the line to be brisk. With less some of the threads that
    /// would linger sleep; with more, where holds are sleeps or queries, the cores are burnt for nothing: at 200 µs
    /// holds of 100 µs cost five times the processor time for 6 % of throughput.
    const BRISK_NS: u64 = 50_000;

    /// The longest that a thread lingers on the chance that those ahead of it are served soon.
    const HOPE_NS: u64 = 100_000;

    /// Of a pace above this many samples only a new hold can be the cause, and a mean would take long to tell.
    const LEAP: u32 = 16;
    /// Samples below this count as this much for a leap: scheduling alone makes some waits so much longer.
    const LEAP_FROM_NS: u32 = 10_000;

    pub(super) fn new() -> Self {
        Tempo { pace_ns: Self::UNKNOWN_NS, braked: 0, brake: LEAST_BRAKE, paid: 0 }
    }

    /// Whether the `open` values there are come back so soon that it is worth lingering for the next. By the time for
    /// which each is out and not by the pace alone: many values that are out for long make a fast line, too.
    pub(super) fn is_brisk(&self, open: usize) -> bool {
        self.braked == 0 && u64::from(self.pace_ns).saturating_mul(open.max(1) as u64) <= Self::BRISK_NS
    }

    /// The time in which one that joins behind so many is likely to be served, if it is to linger for that: the first,
    /// and whoever has few enough ahead. Never all, who would keep the cores from those that they wait for.
    pub(super) fn hope_ns(&self, ahead: usize, open: usize) -> Option<u32> {
        let hope = u64::from(self.pace_ns).saturating_mul(ahead as u64 + 1);
        let is_near = ahead == 0 || hope <= Self::HOPE_NS;
        (is_near && self.is_brisk(open)).then(|| u32::try_from(hope).unwrap_or(u32::MAX))
    }

    /// Takes note of how one wait went that ended with a value.
    pub(super) fn learn(&mut self, waited: Waited) {
        if let Some(turn_ns) = waited.turn_ns {
            let leap_at = turn_ns.max(Self::LEAP_FROM_NS).saturating_mul(Self::LEAP);
            self.pace_ns = if self.pace_ns > leap_at {
                2 * turn_ns
            } else {
                self.pace_ns - self.pace_ns / 8 + turn_ns / 8
            };
        }
        self.braked = self.braked.saturating_sub(1);
        match waited.lingered {
            Lingered::InVain => {}
            Lingered::Paid => self.lets_up(),
            // All who lingered on a core met the same crowd, and nobody begins to while the brake is on: this one tells
            // of what put it on. Counted by heads, the short work of one program would brake a long line for good.
            Lingered::Crowded if self.braked > 0 => {}
            Lingered::Crowded => {
                self.braked = self.brake;
                self.brake = (2 * self.brake).min(MOST_BRAKE);
                self.paid = 0;
            }
        }
    }

    fn lets_up(&mut self) {
        self.paid += 1;
        if self.paid >= PAID_TO_LET_UP {
            self.paid = 0;
            self.brake = (self.brake / 2).max(LEAST_BRAKE);
        }
    }
}

#[cfg(all(test, not(tierpool_loom)))]
mod tests {
    use super::{LEAST_BRAKE, Lingered, PAID_TO_LET_UP, Tempo, Waited};

    fn turn(ns: u32) -> Waited {
        Waited { turn_ns: Some(ns), lingered: Lingered::InVain }
    }

    fn lingered(lingered: Lingered) -> Waited {
        Waited { turn_ns: None, lingered }
    }

    fn at_pace(ns: u32) -> Tempo {
        let mut tempo = Tempo::new();
        (0..64).for_each(|_| tempo.learn(turn(ns)));
        tempo
    }

    #[test]
    fn nobody_lingers_in_a_line_of_which_nothing_was_told() {
        let mut tempo = Tempo::new();
        tempo.learn(lingered(Lingered::InVain));
        assert_eq!((tempo.is_brisk(1), tempo.hope_ns(0, 1)), (false, None));
    }

    #[test]
    fn the_pace_follows_the_holds_both_ways() {
        let mut tempo = at_pace(5_000);
        assert!(tempo.is_brisk(1) && tempo.is_brisk(8));
        tempo.learn(turn(1_000_000));
        assert!(!tempo.is_brisk(1), "one long turn tells that holds are long now");
        (0..64).for_each(|_| tempo.learn(turn(1_000_000)));
        (0..3).for_each(|_| tempo.learn(turn(5_000)));
        assert!(tempo.is_brisk(1), "{tempo:?}");
        tempo.learn(turn(u32::MAX));
        assert!(!tempo.is_brisk(1));
    }

    #[test]
    fn a_fast_line_of_long_holds_is_not_brisk() {
        let tempo = at_pace(15_000);
        assert!(tempo.is_brisk(2));
        assert!(!tempo.is_brisk(64), "each is out for a millisecond");
        assert_eq!(tempo.hope_ns(0, 64), None);
    }

    #[test]
    fn the_first_lingers_and_those_who_are_served_soon_but_never_all() {
        let tempo = at_pace(40_000);
        assert!(tempo.hope_ns(0, 1).is_some());
        assert!(tempo.hope_ns(1, 1).is_some());
        assert_eq!(tempo.hope_ns(3, 1), None);
    }

    // Plain numbers of one thread, and half a million steps, which take miri too long.
    #[test]
    #[cfg_attr(miri, ignore)]
    fn crowded_cores_brake_for_longer_each_time_and_lingering_that_pays_lets_up() {
        let mut tempo = at_pace(1_000);
        let braked = |tempo: &mut Tempo| {
            tempo.learn(lingered(Lingered::Crowded));
            (1..).find(|_| {
                tempo.learn(turn(1_000));
                tempo.is_brisk(1)
            })
        };
        let lengths: Vec<_> = (0..12).map(|_| braked(&mut tempo).unwrap()).collect();
        assert_eq!(lengths[..3], [256, 512, 1_024]);
        assert_eq!(lengths[9..], [1 << 17; 3]);
        (0..2 * PAID_TO_LET_UP).for_each(|_| tempo.learn(lingered(Lingered::Paid)));
        assert_eq!(braked(&mut tempo), Some(1 << 15));
    }

    #[test]
    fn a_crowd_that_many_meet_at_once_brakes_as_one() {
        let mut tempo = at_pace(1_000);
        (0..7).for_each(|_| tempo.learn(lingered(Lingered::Crowded)));
        (0..LEAST_BRAKE).for_each(|_| tempo.learn(turn(1_000)));
        assert!(tempo.is_brisk(1), "{tempo:?}");
        assert_eq!(tempo.brake, 2 * LEAST_BRAKE);
    }
}
