//! Figures as people and scripts read them.

use std::time::Duration;

use super::spread::NEVER;

/// A time as people write it: three digits are enough.
pub fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        _ if time == NEVER => "never".to_owned(),
        s if s < 0.01 => format!("{:.2} ms", s * 1e3),
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// For scripts, in milliseconds; `None` of what never ended.
pub fn millis(time: Duration) -> Option<f64> {
    (time != NEVER).then_some(time.as_micros() as f64 / 1e3)
}

/// A part of one as a percentage.
pub fn percent(part: f64, digits: usize) -> String {
    format!("{:.digits$} %", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        let shown = [0.000_4, 0.012_34, 0.45, 12.3].map(|s| time(Duration::from_secs_f64(s)));
        assert_eq!((time(NEVER), millis(NEVER)), ("never".to_owned(), None));
        assert_eq!(shown, ["0.40 ms", "12.3 ms", "450 ms", "12.30 s"]);
    }
}
