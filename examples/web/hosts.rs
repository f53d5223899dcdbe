//! How each host is treated: by its rules, at its pace, and with the pauses that it asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ratelimit::{Ratelimiter, TryWaitError};

use super::answer::FetchError;
use super::robots::Robots;

/// The longest pause that a host may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a thread waits for its turn at one host; with what follows it stays below the limit of a fetch.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The hosts that are scraped. Others are left alone.
pub struct Hosts(BTreeMap<String, Host>);

/// One of them.
pub struct Host {
    /// Under the lock one thread waits for its turn, and the others behind it.
    line: Mutex<Ratelimiter>,
    rules: Mutex<Option<Arc<Robots>>>,
    pause: Mutex<Option<Instant>>,
    /// Between two requests, in nanoseconds.
    interval: AtomicU64,
    requests: AtomicU64,
}

impl Hosts {
    /// Each of `names` is sent `rate` requests a second at the most.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>, rate: usize) -> Hosts {
        let interval = Duration::from_secs(1) / u32::try_from(rate).unwrap_or(u32::MAX);
        Hosts(names.into_iter().map(|name| (name.to_owned(), Host::new(interval))).collect())
    }

    pub fn get(&self, name: &str) -> Option<&Host> {
        self.0.get(name)
    }

    /// The names with the requests made.
    pub fn requests(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, host)| (name.as_str(), host.requests.load(Ordering::Relaxed)))
    }
}

impl Host {
    fn new(interval: Duration) -> Host {
        Host {
            line: Mutex::new(limiter(interval)),
            rules: Mutex::new(None),
            pause: Mutex::new(None),
            interval: AtomicU64::new(interval.as_nanos() as u64),
            requests: AtomicU64::new(0),
        }
    }

    /// The least time between two requests.
    pub fn interval(&self) -> Duration {
        // Alone: whoever reads an old one orders a wave by it, and no more.
        Duration::from_nanos(self.interval.load(Ordering::Relaxed))
    }

    /// The host's rules, read by `read` when they are first asked for.
    ///
    /// # Blocking
    /// Until they are there: no page may be asked for ahead of them.
    ///
    /// # Errors
    /// Those of `read`, which is called again the next time.
    pub fn rules(
        &self,
        read: impl FnOnce() -> Result<Robots, FetchError>,
    ) -> Result<Arc<Robots>, FetchError> {
        let mut rules = self.rules.try_lock_for(LONGEST_WAIT).ok_or(FetchError::Crowded)?;
        if let Some(rules) = &*rules {
            return Ok(rules.clone());
        }
        let read = Arc::new(read()?);
        if let Some(delay) = read.delay.filter(|delay| *delay > self.interval()) {
            *self.line.lock() = limiter(delay);
            self.interval.store(delay.as_nanos() as u64, Ordering::Relaxed);
        }
        Ok(rules.insert(read).clone())
    }

    /// Waits until the host may be asked, and counts the request.
    ///
    /// # Blocking
    /// As long as those ahead take, at the host's pace; 20 s at the most for them.
    ///
    /// # Errors
    /// Too many are ahead.
    pub fn turn(&self) -> Result<(), FetchError> {
        let line = self.line.try_lock_for(LONGEST_WAIT).ok_or(FetchError::Crowded)?;
        // The pause is looked at last: it may have begun while this one waited.
        while let Err(TryWaitError::Insufficient(wait)) = line.try_wait() {
            thread::sleep(wait);
        }
        while let Some(left) = self.pause_left() {
            thread::sleep(left);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn pause_left(&self) -> Option<Duration> {
        let left = (*self.pause.lock())?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Asks the host nothing for a while, 5 s at the most.
    pub fn pause(&self, time: Duration) {
        let until = Instant::now() + time.min(LONGEST_PAUSE);
        let mut pause = self.pause.lock();
        *pause = (*pause).max(Some(until));
    }
}

/// One request in each interval, and none saved up.
fn limiter(interval: Duration) -> Ratelimiter {
    Ratelimiter::builder(1)
        .period(interval)
        .max_tokens(1)
        .initial_available(1)
        .build()
        .expect("BUG: an interval is above zero, and one token fits into one")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::answer::FetchError;
    use super::super::robots::Robots;
    use super::Hosts;

    #[test]
    fn a_host_is_asked_at_its_pace_and_not_in_its_pauses() {
        let hosts = Hosts::new(["a.test"], 100);
        let host = hosts.get("a.test").unwrap();
        let begun = Instant::now();
        (0..6).for_each(|_| host.turn().unwrap());
        assert!(begun.elapsed() >= Duration::from_millis(50), "{:?}", begun.elapsed());
        host.pause(Duration::from_millis(200));
        host.turn().unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
        assert_eq!(hosts.requests().collect::<Vec<_>>(), [("a.test", 7)]);
        assert!(hosts.get("b.test").is_none());
    }

    #[test]
    fn rules_are_read_until_they_are_there_and_set_the_pace() {
        let hosts = Hosts::new(["a.test"], 100);
        let host = hosts.get("a.test").unwrap();
        assert!(host.rules(|| Err(FetchError::TimedOut)).is_err());
        let slow = || Ok(Robots::parse("User-agent: *\nCrawl-delay: 0.3", "me"));
        assert!(host.rules(slow).unwrap().allows("/"));
        assert_eq!(host.interval(), Duration::from_millis(300));
        host.rules(|| unreachable!("BUG: they are there")).unwrap();
    }
}
