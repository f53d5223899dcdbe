//! Times as a person writes them.

use std::fmt;
use std::time::Duration;

/// A time that was measured, to the tenth of a fitting unit: `0 s`, `12 us`, `2.5 ms`, `340 ms`, `2.0 s`, `3.5 min`,
/// `7.0 h`, `3.0 d`. In ASCII, for the plain form of the status box.
///
/// A setting's value is not measured: that is a [`Limit`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        // Each limit lies where rounding would reach the next unit.
        match seconds {
            ..0.5e-6 => f.write_str("0 s"),
            ..999.5e-6 => write!(f, "{:.0} us", seconds * 1e6),
            ..9.95e-3 => write!(f, "{:.1} ms", seconds * 1e3),
            ..0.9995 => write!(f, "{:.0} ms", seconds * 1e3),
            ..119.95 => write!(f, "{seconds:.1} s"),
            ..7197.0 => write!(f, "{:.1} min", seconds / 60.0),
            ..172_620.0 => write!(f, "{:.1} h", seconds / 3600.0),
            _ => write!(f, "{:.1} d", seconds / 86400.0),
        }
    }
}

/// A time that was set, as whoever sets it writes it: `60 s`, `1.5 s`, `300 ms`. To the millisecond exactly, and below
/// one to the nanosecond, so that none but zero reads as such; what else is left is of no setting, and told as a
/// [`Time`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit(pub Duration);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        match (seconds, nanos) {
            (_, 0) => write!(f, "{seconds} s"),
            (0, 1..1_000_000) if nanos % 1_000 == 0 => write!(f, "{} us", nanos / 1_000),
            (0, 1..1_000_000) => write!(f, "{nanos} ns"),
            (0, _) if nanos % 1_000_000 == 0 => write!(f, "{} ms", nanos / 1_000_000),
            _ if nanos % 1_000_000 == 0 => {
                let decimals = format!("{:03}", nanos / 1_000_000);
                write!(f, "{seconds}.{} s", decimals.trim_end_matches('0'))
            }
            _ => Time(self.0).fmt(f),
        }
    }
}

/// How long ago something was: `just now`, `340 ms ago`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ago(pub Duration);

/// What is more recent than this is not told in numbers.
const NOW: Duration = Duration::from_millis(10);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < NOW { f.write_str("just now") } else { write!(f, "{} ago", Time(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_they_were_set_and_the_recent_past_as_just_now() {
        let limit = |ms| Limit(Duration::from_millis(ms)).to_string();
        assert_eq!([0, 300, 1000, 1500, 60_000].map(limit), ["0 s", "300 ms", "1 s", "1.5 s", "60 s"]);
        assert_eq!([5, 1234, 60_050].map(limit), ["5 ms", "1.234 s", "60.05 s"]);
        let small = |ns| Limit(Duration::from_nanos(ns)).to_string();
        assert_eq!(
            [1, 500_000, 500_001, 9_997_123_456].map(small),
            ["1 ns", "500 us", "500001 ns", "10.0 s"]
        );
        let ago = |ms| Ago(Duration::from_millis(ms)).to_string();
        assert_eq!([0, 9, 10, 4000].map(ago), ["just now", "just now", "10 ms ago", "4.0 s ago"]);
    }

    #[test]
    fn times_read_as_a_person_would_write_them() {
        let told = |seconds: f64| Time(Duration::from_secs_f64(seconds)).to_string();
        let cases = [
            (0.0, "0 s"),
            (0.000_000_3, "0 s"),
            (0.000_012, "12 us"),
            (0.000_999_9, "1.0 ms"),
            (0.002_54, "2.5 ms"),
            (0.009_98, "10 ms"),
            (0.349_947, "350 ms"),
            (0.999_8, "1.0 s"),
            (1.999_947, "2.0 s"),
            (119.0, "119.0 s"),
            (210.0, "3.5 min"),
            (7200.0, "2.0 h"),
            (172_800.0, "2.0 d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(told(seconds), text, "{seconds}");
        }
    }
}
