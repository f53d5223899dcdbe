//! When a process without a connection asks again (R2, R3).

use std::time::Duration;

use super::words::Moment;

/// First attempts are spread over so long, so that processes which start together do not log in together. As many
/// attempts a second as twice the processes is then the most at a start.
pub const SPREAD: Duration = Duration::from_millis(500);
/// The longest that an asker stays, counted from the answer to its first question.
pub const ASK_FOR: Duration = Duration::from_secs(2);
/// The least pause between two attempts: what a log-in and its refusal take.
pub const LEAST_PAUSE: Duration = Duration::from_millis(100);
/// The limit of the first pause; it doubles with each failure.
const FIRST_LIMIT: Duration = Duration::from_millis(200);
/// The most that the limit of the pauses grows to where there is a slot for every process: together with the time
/// between two looks and the longest hold it keeps a process from starving for more than 5 s.
pub const MOST_PAUSE_WHERE_ALL_FIT: Duration = Duration::from_millis(1_500);
/// The most that it grows to where there is not.
pub const MOST_PAUSE: Duration = Duration::from_secs(30);
/// For so long it is believed what somebody counted.
const FRESH: Duration = Duration::from_secs(10);
/// Who is refused so often, without a count of the members, reckons that not all fit: that takes 8 s on the mean, and
/// where all fit nobody is without a connection for so long. It is no time, since a process may have been stopped.
const PATIENCE: u32 = 10;
/// After so many failures the limit is 3.2 s, and so the most where all fit.
const IN_A_CROWD: u32 = 4;

/// Why an attempt came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There was a place to ask from, and no slot.
    NoSlot,
    /// So many ask that there was not even a place.
    Crowd,
    /// Server or network failed.
    Trouble,
}

/// The pauses of a process that has no connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// Attempts that met a crowd, since somebody counted the members.
    refusals: u32,
    /// When it was last known whether all fit, and whether they do.
    told: Option<(Duration, bool)>,
}

impl Backoff {
    /// Somebody counted the members.
    pub(super) fn told(&mut self, now: Duration, all_fit: bool) {
        self.told = Some((now, all_fit));
        self.refusals = 0;
    }

    /// The pause ahead of a first attempt.
    pub(super) fn first(moment: Moment) -> Duration {
        SPREAD.mul_f64(moment.chance)
    }

    /// The pause after an attempt that came to nothing.
    pub(super) fn failed(&mut self, moment: Moment, why: Why) -> Duration {
        self.refusals = match why {
            Why::Crowd => self.refusals.saturating_add(1),
            Why::NoSlot => self.refusals,
            // That says nothing of the others, and what was known of them may be so no more.
            Why::Trouble => 0,
        };
        if why == Why::Crowd {
            self.failures = self.failures.max(IN_A_CROWD);
        }
        let limit = FIRST_LIMIT.saturating_mul(1 << self.failures.min(16)).min(self.most(moment.now));
        self.failures = self.failures.saturating_add(1);
        LEAST_PAUSE + (limit - LEAST_PAUSE).mul_f64(moment.chance)
    }

    /// It has a connection.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.refusals = 0;
    }

    fn most(&self, now: Duration) -> Duration {
        let all_fit = match self.told {
            Some((at, all_fit)) if now.saturating_sub(at) < FRESH => all_fit,
            _ => self.refusals < PATIENCE,
        };
        if all_fit { MOST_PAUSE_WHERE_ALL_FIT } else { MOST_PAUSE }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, FRESH, LEAST_PAUSE, MOST_PAUSE, MOST_PAUSE_WHERE_ALL_FIT, PATIENCE, SPREAD, Why};
    use crate::fleet::core::words::Moment;

    const ALMOST: f64 = 1.0 - f64::EPSILON;

    fn at(seconds: u64, chance: f64) -> Moment {
        Moment { now: Duration::from_secs(seconds), chance }
    }

    fn millis(duration: Duration) -> u128 {
        (duration + Duration::from_micros(1)).as_millis()
    }

    #[test]
    fn first_attempts_are_spread_and_pauses_double_up_to_where_all_fit() {
        assert_eq!(Backoff::first(at(0, 0.0)), Duration::ZERO);
        assert!(Backoff::first(at(0, ALMOST)) <= SPREAD);
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..6).map(|_| millis(backoff.failed(at(0, ALMOST), Why::NoSlot))).collect();
        assert_eq!(pauses, [200, 400, 800, 1500, 1500, 1500]);
        assert_eq!(
            backoff.failed(at(0, 0.0), Why::NoSlot),
            LEAST_PAUSE,
            "chance alone decides between the two"
        );
        backoff.succeeded();
        assert_eq!(millis(backoff.failed(at(0, ALMOST), Why::NoSlot)), 200);
    }

    #[test]
    fn a_crowd_is_met_with_the_longest_pause_at_once() {
        let mut backoff = Backoff::default();
        assert_eq!(millis(backoff.failed(at(0, ALMOST), Why::Crowd)), MOST_PAUSE_WHERE_ALL_FIT.as_millis());
        assert_eq!(millis(backoff.failed(at(0, ALMOST), Why::NoSlot)), MOST_PAUSE_WHERE_ALL_FIT.as_millis());
    }

    #[test]
    fn where_not_all_fit_pauses_grow_to_half_a_minute() {
        let mut backoff = Backoff::default();
        backoff.told(Duration::ZERO, false);
        let last = (0..12).map(|_| millis(backoff.failed(at(1, ALMOST), Why::NoSlot))).last();
        assert_eq!(last, Some(MOST_PAUSE.as_millis()));
        backoff.told(Duration::from_secs(1), true);
        assert_eq!(millis(backoff.failed(at(1, ALMOST), Why::NoSlot)), MOST_PAUSE_WHERE_ALL_FIT.as_millis());
    }

    #[test]
    fn who_is_refused_and_told_nothing_reckons_after_a_while_that_not_all_fit() {
        let mut backoff = Backoff::default();
        for _ in 1..PATIENCE {
            let pause = backoff.failed(at(0, ALMOST), Why::Crowd);
            assert_eq!(millis(pause), MOST_PAUSE_WHERE_ALL_FIT.as_millis());
        }
        assert!(backoff.failed(at(0, ALMOST), Why::Crowd) > MOST_PAUSE_WHERE_ALL_FIT);
        backoff.told(Duration::ZERO, true);
        let pause = |backoff: &mut Backoff, seconds| millis(backoff.failed(at(seconds, ALMOST), Why::Crowd));
        for _ in 0..2 * PATIENCE {
            assert_eq!(pause(&mut backoff, 0), MOST_PAUSE_WHERE_ALL_FIT.as_millis());
        }
        assert_eq!(pause(&mut backoff, FRESH.as_secs()), MOST_PAUSE.as_millis(), "that was long ago");
    }

    #[test]
    fn a_server_that_is_away_is_no_sign_of_a_crowd() {
        let mut backoff = Backoff::default();
        for _ in 0..PATIENCE {
            backoff.failed(at(0, ALMOST), Why::Crowd);
        }
        for _ in 0..12 {
            let pause = backoff.failed(at(1, ALMOST), Why::Trouble);
            assert!(pause <= MOST_PAUSE_WHERE_ALL_FIT, "{pause:?}");
        }
    }
}
