//! Times as a person writes them.

use std::fmt;
use std::time::Duration;

/// A time that was measured, to the tenth of a fitting unit: `0 s`, `12 us`, `2.5 ms`, `340 ms`, `2.0 s`, `3.5 min`,
/// `7.0 h`, `3.0 d`. In ASCII, for the plain form of the status box.
///
/// A setting's value is not measured: it is told in the form in which it can be set.
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

#[cfg(test)]
mod tests {
    use super::*;

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
