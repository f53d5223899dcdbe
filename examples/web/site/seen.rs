//! What the server has seen: requests by host and path, and how fast they came.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What became of the requests for one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub requests: u64,
    /// Answers 200 that were sent to their end.
    pub whole: u64,
    /// Answers 304.
    pub unchanged: u64,
}

/// What one host has seen.
#[derive(Clone, Debug)]
pub struct HostSeen {
    /// Requests a second that it is to see at the most.
    pub limit: f64,
    /// How far the requests ran ahead of that rate at the worst moment, in requests: over each span of time, of any
    /// length, there were at most this many more than the rate allows.
    pub ahead: f64,
    /// The most requests in one second.
    pub busiest: usize,
    /// How often it asked for a pause.
    pub pauses: u64,
    /// Requests that came in such a pause.
    pub in_pauses: u64,
    pub paths: BTreeMap<String, Count>,
    level: f64,
    last: Option<Instant>,
    paused_until: Option<Instant>,
    /// The arrivals of the last second.
    recent: std::collections::VecDeque<Instant>,
}

impl HostSeen {
    pub fn new(limit: f64) -> Self {
        HostSeen {
            limit,
            ahead: 0.0,
            busiest: 0,
            pauses: 0,
            in_pauses: 0,
            paths: BTreeMap::new(),
            level: 0.0,
            last: None,
            paused_until: None,
            recent: std::collections::VecDeque::new(),
        }
    }

    /// Counts a request for `path`, and says how many there were before it.
    pub fn request(&mut self, path: &str, now: Instant) -> u64 {
        let passed = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        // A bucket that leaks at the limit: what is in it has come too early.
        self.level = (self.level - passed.as_secs_f64() * self.limit).max(0.0) + 1.0;
        self.ahead = self.ahead.max(self.level);
        self.last = Some(now);
        while self.recent.front().is_some_and(|first| now.duration_since(*first) >= Duration::from_secs(1)) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.busiest = self.busiest.max(self.recent.len());
        self.in_pauses += u64::from(self.paused_until.is_some_and(|until| now < until));
        let count = self.paths.entry(path.to_owned()).or_default();
        count.requests += 1;
        count.requests - 1
    }

    /// Notes that an answer asks for a pause.
    pub fn pause(&mut self, until: Instant) {
        self.pauses += 1;
        self.paused_until = self.paused_until.max(Some(until));
    }

    pub fn whole(&mut self, path: &str) {
        self.paths.entry(path.to_owned()).or_default().whole += 1;
    }

    pub fn unchanged(&mut self, path: &str) {
        self.paths.entry(path.to_owned()).or_default().unchanged += 1;
    }

    pub fn requests(&self) -> u64 {
        self.paths.values().map(|count| count.requests).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::HostSeen;

    #[test]
    fn tells_how_far_requests_ran_ahead_of_the_rate() {
        let (mut steady, mut hasty, start) = (HostSeen::new(10.0), HostSeen::new(10.0), Instant::now());
        for n in 0..30 {
            steady.request("/", start + Duration::from_millis(100) * n);
            hasty.request("/", start + Duration::from_millis(50) * n);
        }
        assert!(steady.ahead < 1.01, "{}", steady.ahead);
        assert!((15.0..17.0).contains(&hasty.ahead), "{}", hasty.ahead);
        assert_eq!((steady.busiest, hasty.busiest), (10, 20));
        assert_eq!(steady.paths["/"].requests, 30);
    }
}
