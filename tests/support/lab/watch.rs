//! What is watched beside the workers: the pool's attempts to connect, the machine's stalls, threads and descriptors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::subject::{Sample, Subject};
use crate::support::wait::{SECOND, fd_count, thread_count};

/// How long a canary sleeps, and how often the pool is looked at.
const NAP: Duration = Duration::from_millis(10);
/// Several, as the workers are: of many threads one is more likely to be late than of one.
const CANARIES: usize = 3;

/// Threads that measure how late the machine is, and one that looks at the pool.
pub struct Watch {
    /// Relaxed: joining the threads orders what they found.
    stop: Arc<AtomicBool>,
    canaries: Vec<JoinHandle<Duration>>,
    looker: JoinHandle<Samples>,
}

/// The looks at the pool that showed a change, with their times.
type Samples = Vec<(Duration, Sample)>;

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// By how much the machine exceeded a nap of 10 ms, or the start and end of a thread, at the worst. A thread of the
    /// pool may have been so late too.
    pub stall: Duration,
    pub samples: Samples,
}

impl Watch {
    pub fn start(subject: Arc<dyn Subject>, start: Instant) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let canary = |_| {
            let stopped = Arc::clone(&stop);
            spawn("canary", move || sing(&stopped))
        };
        let canaries = (0..CANARIES).map(canary).collect();
        let stopped = Arc::clone(&stop);
        let looker = spawn("looker", move || look(&*subject, &stopped, start));
        Watch { stop, canaries, looker }
    }

    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let stalls = self.canaries.into_iter().map(|canary| canary.join().expect("a canary does not panic"));
        let stall = stalls.max().unwrap_or_default();
        Seen { stall, samples: self.looker.join().expect("looking at the pool does not panic") }
    }
}

fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().name(name.into()).spawn(body).expect("a thread can be started")
}

/// Returns the worst stall. A thread is started each time, since a pool hands what may block to threads that it starts:
/// a machine may be quick to wake a thread that sleeps and slow to begin with a new one.
fn sing(stopped: &AtomicBool) -> Duration {
    let mut worst = Duration::ZERO;
    while !stopped.load(Ordering::Relaxed) {
        let before = Instant::now();
        thread::sleep(NAP);
        let woken = Instant::now();
        spawn("canary-start", || ()).join().expect("nothing does not panic");
        worst = worst.max(woken.duration_since(before).saturating_sub(NAP)).max(woken.elapsed());
    }
    worst
}

fn look(subject: &dyn Subject, stopped: &AtomicBool, start: Instant) -> Samples {
    let mut samples = Samples::new();
    while !stopped.load(Ordering::Relaxed) {
        thread::sleep(NAP);
        let sample = subject.sample();
        if samples.last().is_none_or(|(_, last)| last.attempts != sample.attempts) {
            samples.push((start.elapsed(), sample));
        }
    }
    samples
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
