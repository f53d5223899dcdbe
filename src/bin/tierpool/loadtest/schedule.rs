//! When requests come: of the open model by a schedule that knows nothing of answers, of the closed one after each.

use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;

use super::scenario::{Model, Shape};

/// The arrivals of the open model, in their order: a Poisson process, as many independent people come to.
///
/// The same seed gives the same arrivals.
#[derive(Debug)]
pub struct Arrivals {
    rng: Rng,
    rate: f64,
    shape: Shape,
    time: f64,
    /// Of the last one, in seconds from the start.
    at: f64,
}

impl Arrivals {
    pub fn new(rate: f64, shape: Shape, time: Duration, seed: u64) -> Self {
        Arrivals { rng: Rng::with_seed(seed), rate, shape, time: time.as_secs_f64(), at: 0.0 }
    }

    /// Whether one that comes at the highest rate comes now, too.
    fn is_kept(&mut self) -> bool {
        match self.shape {
            Shape::Even => true,
            Shape::Spike => {
                let part = self.at / self.time;
                self.rng.f64() < 1.0 - (2.0 * part - 1.0).abs()
            }
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        loop {
            // Of (0, 1], so that the logarithm is there.
            self.at -= (1.0 - self.rng.f64()).ln() / self.rate;
            if self.at >= self.time {
                return None;
            }
            if self.is_kept() {
                return Some(Duration::from_secs_f64(self.at));
            }
        }
    }
}

/// What gives a thread its next request.
#[derive(Debug)]
pub enum Schedule {
    Open(Mutex<Open>),
    Closed { users: u32, think: Duration, seed: u64, time: Duration },
}

/// The arrivals of all threads, and how many were given out.
#[derive(Debug)]
pub struct Open {
    arrivals: Arrivals,
    given: u64,
}

impl Schedule {
    pub fn of(model: Model, time: Duration) -> Self {
        match model {
            Model::Open { rate, shape, seed } => {
                let arrivals = Arrivals::new(rate, shape, time, seed);
                Schedule::Open(Mutex::new(Open { arrivals, given: 0 }))
            }
            Model::Closed { users, think, seed } => Schedule::Closed { users, think, seed, time },
        }
    }

    /// When a user's next request is due, `now` being the time since the start; `None` once the run is over. The users
    /// of the closed model begin one after the other, within the time that they rest.
    pub fn next(&self, user: u32, now: Option<Duration>) -> Option<Duration> {
        match self {
            Schedule::Open(open) => {
                let mut open = open.lock();
                let due = open.arrivals.next()?;
                open.given += 1;
                Some(due)
            }
            Schedule::Closed { users, think, seed, time } => {
                let due = match now {
                    Some(now) => now.saturating_add(*think),
                    None => {
                        let jitter = Rng::with_seed(seed.wrapping_add(u64::from(user))).f64();
                        think.mul_f64((f64::from(user) + jitter) / f64::from(*users))
                    }
                };
                (due < *time).then_some(due)
            }
        }
    }

    /// Takes what is left of the schedule, with `each` called for it, and says how many arrivals there were in all:
    /// `None` for the closed model, where a request that was not sent was never due.
    pub fn drain(&self, each: impl FnMut(Duration)) -> Option<u64> {
        let Schedule::Open(open) = self else { return None };
        let mut open = open.lock();
        open.given += open.arrivals.by_ref().map(each).count() as u64;
        Some(open.given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: Duration = Duration::from_secs(100);

    fn arrivals(shape: Shape, seed: u64) -> Vec<f64> {
        Arrivals::new(900.0, shape, SECONDS, seed).map(|at| at.as_secs_f64()).collect()
    }

    #[test]
    fn arrivals_come_at_the_rate_asked_in_order_and_the_same_for_a_seed() {
        let even = arrivals(Shape::Even, 7);
        assert!((89_000..91_000).contains(&even.len()), "{}", even.len());
        assert!(even.is_sorted() && *even.last().unwrap() < 100.0);
        assert_eq!(even, arrivals(Shape::Even, 7));
        assert_ne!(even, arrivals(Shape::Even, 8));
        // The gaps of a Poisson process: one in e is longer than the mean.
        let long = even.windows(2).filter(|pair| pair[1] - pair[0] > 1.0 / 900.0).count() as f64;
        assert!((long / even.len() as f64 - (-1.0_f64).exp()).abs() < 0.01);
    }

    #[test]
    fn a_spike_rises_from_nothing_to_the_rate_asked_and_falls_again() {
        let spike = arrivals(Shape::Spike, 7);
        let within = |from: f64, to: f64| spike.iter().filter(|at| (from..to).contains(*at)).count();
        assert!(within(0.0, 2.0) < 60 && within(98.0, 100.0) < 60);
        assert!((850..950).contains(&(within(49.0, 51.0) / 2)), "{}", within(49.0, 51.0));
        assert!((44_000..46_000).contains(&spike.len()));
    }

    #[test]
    fn what_is_not_taken_counts_as_due_all_the_same() {
        let schedule = Schedule::of(Model::Open { rate: 50.0, shape: Shape::Even, seed: 1 }, SECONDS);
        let all = Arrivals::new(50.0, Shape::Even, SECONDS, 1).count() as u64;
        assert!(schedule.next(0, None) < schedule.next(1, None));
        let mut left = 0;
        assert_eq!(schedule.drain(|_| left += 1), Some(all));
        assert_eq!(left, all - 2);
        assert_eq!((schedule.next(0, None), schedule.drain(|due| panic!("{due:?}"))), (None, Some(all)));
    }

    #[test]
    fn users_begin_within_the_time_that_they_rest_and_rest_after_each_answer() {
        let think = Duration::from_secs(10);
        let schedule = Schedule::of(Model::Closed { users: 10, think, seed: 1 }, SECONDS);
        let firsts: Vec<_> = (0..10).map(|user| schedule.next(user, None).unwrap()).collect();
        assert!(firsts.is_sorted() && *firsts.last().unwrap() < think, "{firsts:?}");
        assert_eq!(schedule.next(0, Some(Duration::from_secs(5))), Some(Duration::from_secs(15)));
        assert_eq!((schedule.next(0, Some(SECONDS)), schedule.drain(|due| panic!("{due:?}"))), (None, None));
    }
}
