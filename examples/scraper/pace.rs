//! How long repeated work takes, and the pause between two rounds of it.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// The times of the rounds of one kind of work.
#[derive(Debug, Default)]
pub struct Pace {
    times: Vec<Duration>,
    /// Rounds that failed, and the last one's reason.
    pub failures: u64,
    pub last_failure: Option<String>,
}

impl Pace {
    /// Repeats `round` every `pause` until the other end of `stop` is dropped; at least once.
    ///
    /// # Blocking
    /// For as long as the other end of `stop` lives, and for the round under way.
    pub fn measure<E: fmt::Display>(
        stop: &Receiver<()>,
        pause: Duration,
        mut round: impl FnMut() -> Result<(), E>,
    ) -> Pace {
        let mut pace = Pace::default();
        loop {
            let start = Instant::now();
            match round() {
                Ok(()) => pace.times.push(start.elapsed()),
                Err(error) => {
                    pace.failures += 1;
                    pace.last_failure = Some(error.to_string());
                }
            }
            if !matches!(stop.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                pace.times.sort_unstable();
                return pace;
            }
        }
    }

    /// The time that `percent` of the rounds did not exceed; `None` without a round that succeeded.
    fn quantile(&self, percent: usize) -> Option<Duration> {
        let last = self.times.len().checked_sub(1)?;
        self.times.get((last * percent).div_ceil(100)).copied()
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} succeeded, {} failed", self.times.len(), self.failures)?;
        if let (Some(p50), Some(p99), Some(max)) = (self.quantile(50), self.quantile(99), self.times.last()) {
            write!(f, "; p50 {p50:.2?}, p99 {p99:.2?}, max {max:.2?}")?;
        }
        match &self.last_failure {
            Some(reason) => write!(f, "; last failure: {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::Pace;

    #[test]
    fn repeats_until_stopped_and_counts_failures() {
        let (stop, stopped) = channel::<()>();
        let mut stop = Some(stop);
        let mut rounds = 0;
        let pace = Pace::measure(&stopped, Duration::ZERO, || {
            rounds += 1;
            if rounds == 5 {
                stop.take();
            }
            if rounds % 2 == 0 { Err("even") } else { Ok(()) }
        });
        let text = pace.to_string();
        assert!(text.starts_with("3 succeeded, 2 failed; p50 "), "{text}");
        assert!(text.ends_with("; last failure: even"), "{text}");
    }

    #[test]
    fn quantiles_are_measured_times() {
        let times = (1..=200).map(Duration::from_millis).collect();
        let pace = Pace { times, ..Pace::default() };
        assert_eq!(pace.to_string(), "200 succeeded, 0 failed; p50 101.00ms, p99 199.00ms, max 200.00ms");
        assert_eq!(Pace::default().to_string(), "0 succeeded, 0 failed");
    }
}
