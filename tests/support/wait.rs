//! Waiting for a condition with a bound, and measuring what a test leaves behind.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest that a test waits for what the pool, a proxy or a handful of threads do. Long for a machine under load.
pub const BOUND: Duration = Duration::from_secs(10);
/// The longest that a test waits where a server or a crowd of threads takes part.
pub const LONG_BOUND: Duration = Duration::from_secs(20);
/// How late a call may be after its limit, and how long one that does not wait may take, on a machine under load.
pub const SLACK: Duration = Duration::from_millis(100);
/// How late a call may be, and how long one that does not wait may take, where it would be 2 s at least or for good.
pub const AT_ONCE: Duration = Duration::from_secs(1);
/// The time in which a pool would do by itself what a test says that it does not.
pub const A_MOMENT: Duration = Duration::from_millis(10);
/// What tests count short times in.
pub const MS: Duration = Duration::from_millis(1);
/// What tests count longer times in.
pub const SECOND: Duration = Duration::from_secs(1);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Ends the threads that look at it, also where the test fails: their scope would wait for them.
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until `cond` holds.
///
/// # Panics
///
/// When it does not within `bound`: the test failed for want of `what`.
#[track_caller]
pub fn eventually(bound: Duration, what: &str, cond: impl FnMut() -> bool) {
    assert!(comes_true(bound, cond), "not within {bound:?}: {what}");
}

/// Waits until `cond` holds, and says whether it did within `bound`.
pub fn comes_true(bound: Duration, mut cond: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + bound;
    loop {
        if cond() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Returns the value of `work` and how long it took.
pub fn took<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = work();
    (value, start.elapsed())
}

/// Runs `work` until it takes at most `bar`, and returns its value.
///
/// A loaded machine can keep a thread from running for longer than the slack of a deadline, now and then; what waits
/// too long by design does so each time.
///
/// # Panics
///
/// When it takes longer five times in a row.
#[track_caller]
pub fn within<T>(bar: Duration, what: &str, mut work: impl FnMut() -> T) -> T {
    let mut times = Vec::new();
    while times.len() < 5 {
        let (value, time) = took(&mut work);
        if time <= bar {
            return value;
        }
        times.push(time);
    }
    panic!("{what}: not within {bar:?}, but in {times:?}");
}

/// As [`within`], where a part of what `work` does is measured, which it returns.
///
/// # Panics
///
/// As [`within`].
#[track_caller]
pub fn measured_within(bar: Duration, what: &str, mut work: impl FnMut() -> Duration) {
    let times: Vec<_> = (0..5).map(|_| work()).take_while(|time| *time > bar).collect();
    assert!(times.len() < 5, "{what}: not within {bar:?}, but in {times:?}");
}

/// Counts the threads of this process.
///
/// The first [`Cluster`](super::cluster::Cluster) of a process adds one for good, which waits for Ctrl-C: count from
/// after its start.
pub fn thread_count() -> usize {
    entries("/proc/self/task")
}

/// Returns the names of the threads of this process, of each its first 15 bytes.
pub fn thread_names() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc/self/task can be read").flatten();
    // A thread may end between the look at the folder and the look at its name.
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

/// Counts the open file descriptors of this process.
pub fn fd_count() -> usize {
    // Less the one by which the folder itself is read.
    entries("/proc/self/fd") - 1
}

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder} cannot be read: {error}")).count()
}
