//! One value of a setting: its kinds, how text becomes one, and how it is shown.

use std::fmt;
use std::time::Duration;

use super::pgbouncer::PgBouncer;
use crate::config::policy::{PrePing, WaitMode};
use crate::text::{Limit, harmless};

/// The value of one setting of a [`PgPool`](crate::config::PgSettings), whatever its source.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A number of connections, callers or statements.
    Count(u32),
    /// What the limits of the roles on the server come to.
    OfRole,
    /// A length of time. Zero stands for "no limit" where the setting's documentation says so.
    Time(Duration),
    /// Yes or no.
    Flag(bool),
    /// When to validate before lending.
    PrePing(PrePing),
    /// How a checkout waits.
    WaitMode(WaitMode),
    /// What is between the pool and the server.
    PgBouncer(PgBouncer),
    /// A name.
    Text(String),
}

/// How the text of a setting is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// A whole number.
    Count,
    /// A whole number, or `role` in any case.
    CountOrRole,
    /// Seconds, with up to nine decimals.
    Seconds,
    /// Seconds as libpq has them for `connect_timeout`: a negative whole number is as good as 0, no limit.
    SecondsOrNone,
    /// Whole milliseconds.
    Milliseconds,
    /// `true`, `false`, `1`, `0`, `yes`, `no`, `on` or `off`, in any case.
    Bool,
    /// `always`, `never` or the idle time in whole milliseconds; `true` and `false` are taken as `always` and
    /// `never`. Numbers are milliseconds, so `0` means always.
    PrePing,
    /// `wait`, `nowait`, `timedwait` or `forceget`, in any case, also as oracledb has them: `POOL_GETMODE_WAIT`. The
    /// last one counts as `timedwait`; what it stands for is an overflow.
    WaitMode,
    /// `session` or `transaction`, or the words of a [`Unit::Bool`], in any case; `true` and its like count as
    /// `transaction`, which is safe for both.
    PgBouncer,
    /// Any text.
    Text,
    /// A PostgreSQL URL or libpq's `key=value` string. Never shown.
    Url,
}

/// The longest time accepted, 100 years in seconds: a guard against typing errors, far from any overflow.
const MAX_SECONDS: u64 = 100 * 365 * 24 * 60 * 60;

/// The rule of [`Unit::Milliseconds`].
pub(crate) const MILLISECONDS: &str =
    "must be a whole number of milliseconds, not negative, at most 100 years";

impl Unit {
    /// What is allowed, as the end of a fault.
    pub fn rule(self) -> &'static str {
        match self {
            Unit::Count => "must be a whole number from 0 to 4294967295",
            Unit::CountOrRole => "must be a whole number from 0 to 4294967295, or role",
            Unit::Seconds => "must be a number of seconds such as 30 or 0.5, not negative, at most 100 years",
            Unit::SecondsOrNone => {
                "must be a number of seconds such as 30 or 0.5, at most 100 years; 0 or less for no limit"
            }
            Unit::Milliseconds => MILLISECONDS,
            Unit::Bool => "must be true, false, 1, 0, yes, no, on or off",
            Unit::PrePing => "must be always, never, or the idle time in whole milliseconds",
            Unit::WaitMode => "must be wait, nowait, timedwait or forceget, or the same after POOL_GETMODE_",
            Unit::PgBouncer => "must be true, false, 1, 0, yes, no, on, off, session or transaction",
            Unit::Text => "must be text",
            Unit::Url => "must be a URL of the form postgresql://user:password@host:port/database",
        }
    }

    /// Reads `text`, without regard to blanks around it. `None`: it breaks [`Unit::rule`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use tierpool::config::{Unit, Value};
    ///
    /// assert_eq!(Unit::Seconds.parse("0.25"), Some(Value::Time(Duration::from_millis(250))));
    /// assert_eq!(Unit::Bool.parse("Yes"), Some(Value::Flag(true)));
    /// assert_eq!(Unit::Count.parse("-1"), None);
    /// ```
    pub fn parse(self, text: &str) -> Option<Value> {
        let text = text.trim();
        match self {
            Unit::CountOrRole if text.eq_ignore_ascii_case("role") => Some(Value::OfRole),
            Unit::Count | Unit::CountOrRole => digits(text)?.parse().ok().map(Value::Count),
            Unit::Seconds => seconds(text).map(Value::Time),
            Unit::SecondsOrNone => match text.strip_prefix('-') {
                Some(below) => digits(below).map(|_| Value::Time(Duration::ZERO)),
                None => seconds(text).map(Value::Time),
            },
            Unit::Milliseconds => milliseconds(text).map(Value::Time),
            Unit::Bool => flag(text).map(Value::Flag),
            Unit::PrePing => pre_ping(text).map(Value::PrePing),
            Unit::WaitMode => wait_mode(text).map(Value::WaitMode),
            Unit::PgBouncer => PgBouncer::parse(text).map(Value::PgBouncer),
            Unit::Text | Unit::Url => Some(Value::Text(text.to_owned())),
        }
    }
}

/// The text again when it is one or more ASCII digits: `u32::from_str` alone would take a plus sign.
fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

/// Reads decimals digit by digit: a detour by way of `f64` would turn tiny values into zero, which may mean "no
/// limit", and accept `inf` and `1e9`.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let whole: u64 = digits(whole)?.parse().ok()?;
    let decimals = digits(decimals).filter(|d| d.len() <= 9)?;
    let nanos: u32 = format!("{decimals:0<9}").parse().ok()?;
    (whole <= MAX_SECONDS).then(|| Duration::new(whole, nanos))
}

fn milliseconds(text: &str) -> Option<Duration> {
    let ms: u64 = digits(text)?.parse().ok()?;
    (ms <= MAX_SECONDS * 1000).then(|| Duration::from_millis(ms))
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn pre_ping(text: &str) -> Option<PrePing> {
    match text.to_ascii_lowercase().as_str() {
        "always" | "true" | "yes" | "on" => Some(PrePing::Always),
        "never" | "false" | "no" | "off" => Some(PrePing::Never),
        number => match milliseconds(number)? {
            Duration::ZERO => Some(PrePing::Always),
            idle => Some(PrePing::IfIdleFor(idle)),
        },
    }
}

fn wait_mode(text: &str) -> Option<WaitMode> {
    let word = text.to_ascii_lowercase();
    match word.strip_prefix("pool_getmode_").unwrap_or(&word) {
        "wait" => Some(WaitMode::Forever),
        "nowait" => Some(WaitMode::NoWait),
        "timedwait" | "forceget" => Some(WaitMode::Timed),
        _ => None,
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Count(count) => count.fmt(f),
            Value::OfRole => f.write_str("role"),
            Value::Time(time) => Limit(*time).fmt(f),
            Value::Flag(flag) => flag.fmt(f),
            Value::PrePing(PrePing::Always) => f.write_str("always"),
            Value::PrePing(PrePing::Never) => f.write_str("never"),
            Value::PrePing(PrePing::IfIdleFor(idle)) => write!(f, "if idle for {}", Limit(*idle)),
            Value::WaitMode(WaitMode::Forever) => f.write_str("wait"),
            Value::WaitMode(WaitMode::NoWait) => f.write_str("nowait"),
            Value::WaitMode(WaitMode::Timed) => f.write_str("timedwait"),
            Value::PgBouncer(mode) => mode.fmt(f),
            Value::Text(text) => f.write_str(&shown(text)),
        }
    }
}

/// The text of a value as a fault or a log line may show it: one line, not long, and nothing that looks like a
/// connection string, which may have been pasted into the wrong variable with its password.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 64;
    let lower = text.to_ascii_lowercase();
    if text.contains("://") || text.contains('@') || lower.contains("password") {
        return "[redacted]".to_owned();
    }
    if text.is_empty() {
        return "empty".to_owned();
    }
    let mut line: String = harmless(text.chars().take(LONGEST).collect::<String>());
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_take_decimals_and_nothing_else() {
        assert_eq!(seconds("60"), Some(Duration::from_secs(60)));
        assert_eq!(seconds("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(seconds("1.000000001"), Some(Duration::new(1, 1)));
        let refused = ["", ".", ".5", "1.", "-1", "+1", "1e3", "inf", "NaN", "1.0000000001", "30s"];
        for text in refused.into_iter().chain(["99999999999999999999", "3153600001"]) {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn pre_ping_reads_words_and_idle_milliseconds() {
        assert_eq!(pre_ping("ALWAYS"), Some(PrePing::Always));
        assert_eq!(pre_ping("false"), Some(PrePing::Never));
        assert_eq!(pre_ping("0"), Some(PrePing::Always));
        assert_eq!(pre_ping("250"), Some(PrePing::IfIdleFor(Duration::from_millis(250))));
        assert_eq!(pre_ping("-1"), None);
        assert_eq!(pre_ping("sometimes"), None);
    }

    #[test]
    fn times_are_shown_as_errors_tell_them() {
        let shown = |ms| Value::Time(Duration::from_millis(ms)).to_string();
        assert_eq!([0, 1500, 60_000].map(shown), ["0 s", "1.5 s", "60 s"]);
        let ping = Value::PrePing(PrePing::IfIdleFor(Duration::from_millis(500)));
        assert_eq!(ping.to_string(), "if idle for 500 ms");
    }

    #[test]
    fn shown_text_is_one_short_line_without_connection_strings() {
        assert_eq!(shown("a\nb's"), r"a\nb's");
        assert_eq!(shown("postgres://u:hush@h/d"), "[redacted]");
        assert_eq!(shown("host=h PASSWORD=hush"), "[redacted]");
        assert!(shown(&"x".repeat(100)).chars().count() <= 65);
    }
}
