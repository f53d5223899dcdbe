//! What is watched beside the workers: the pool's attempts to connect, the machine's stalls, threads and descriptors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::subject::{Sample, Subject};
use crate::support::wait::{fd_count, thread_count};

/// How long the canary sleeps, and how often the pool is looked at.
const NAP: Duration = Duration::from_millis(10);

/// A thread that measures how late the machine wakes it, and looks at the pool each time.
pub struct Watch {
    /// Relaxed: joining the thread orders what it found.
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// By how much the machine exceeded a nap of 10 ms, at the worst. A thread of the pool may have been so late too.
    pub stall: Duration,
    /// The looks at the pool that showed a change, with their times.
    pub samples: Vec<(Duration, Sample)>,
}

impl Watch {
    pub fn start(subject: Arc<dyn Subject>, start: Instant) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let body = move || {
            let mut seen = Seen::default();
            while !stopped.load(Ordering::Relaxed) {
                let before = Instant::now();
                thread::sleep(NAP);
                seen.stall = seen.stall.max(before.elapsed().saturating_sub(NAP));
                let sample = subject.sample();
                if seen.samples.last().is_none_or(|(_, last)| last.attempts != sample.attempts) {
                    seen.samples.push((start.elapsed(), sample));
                }
            }
            seen
        };
        let named = thread::Builder::new().name("canary".into());
        Watch { stop, thread: named.spawn(body).expect("the canary's thread can be started") }
    }

    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the canary does not panic")
    }
}

impl Seen {
    /// The most attempts to connect within a second, from `start` on.
    pub fn most_attempts_a_second(&self, start: Duration) -> u64 {
        let later = self.samples.iter().filter(|(at, _)| *at >= start);
        later
            .map(|(at, sample)| sample.attempts - self.attempts_at(at.saturating_sub(SECOND)))
            .max()
            .unwrap_or(0)
    }

    /// How many attempts had been made by a time.
    pub fn attempts_at(&self, time: Duration) -> u64 {
        let up_to = self.samples.partition_point(|(at, _)| *at <= time);
        self.samples[..up_to].last().map_or(0, |(_, sample)| sample.attempts)
    }

    /// When the first attempt failed, from `start` on.
    pub fn first_failure(&self, start: Duration) -> Option<Duration> {
        let up_to = self.samples.partition_point(|(at, _)| *at <= start);
        let before = self.samples[..up_to].last().map_or(0, |(_, sample)| sample.failed_attempts);
        self.samples.iter().find(|(_, sample)| sample.failed_attempts > before).map(|(at, _)| *at)
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Threads and descriptors of this process, without those of the proxy's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    pub threads: usize,
    pub fds: usize,
}

impl Resources {
    /// Counts them; `of_others` descriptors are somebody else's.
    pub fn now(of_others: usize) -> Self {
        Resources { threads: thread_count(), fds: fd_count().saturating_sub(of_others) }
    }

    /// The least of both.
    pub fn min(self, other: Self) -> Self {
        Resources { threads: self.threads.min(other.threads), fds: self.fds.min(other.fds) }
    }

    /// Whether there are no more of either.
    pub fn is_within(self, other: Self) -> bool {
        self.threads <= other.threads && self.fds <= other.fds
    }
}
