//! What start-up options say of the limit of a statement: `options` of a connection string, `PGOPTIONS`.

use std::time::Duration;

/// The rule for a value that the server would refuse.
pub(crate) const RULE: &str = "must give statement_timeout as PostgreSQL has times: milliseconds such as 30000, or a \
                               unit behind the number, such as 30s, at most 2147483647 ms";

/// The longest limit of a statement: the server holds it in an `int` of milliseconds.
pub(crate) const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// The rule about it.
pub(crate) const LONGEST_RULE: &str = "must be at most 2147483647 ms, or 0 for none";

/// What a value does not tell: the server would refuse it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// The `statement_timeout` that start-up options set, if they do; zero for no limit. The last one counts, as for the
/// server.
pub(crate) fn statement_timeout_in(options: &str) -> Option<Result<Duration, Unreadable>> {
    let words = words(options);
    let mut found = None;
    let mut rest = words.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        let setting = match (word, word.strip_prefix("--"), word.strip_prefix("-c")) {
            ("-c", ..) => rest.next(),
            (_, Some(setting), _) | (_, None, Some(setting)) => Some(setting),
            _ => None,
        };
        let pair = setting.and_then(|setting| setting.split_once('='));
        if let Some((name, value)) = pair
            && name.replace('-', "_").eq_ignore_ascii_case("statement_timeout")
        {
            found = Some(value.to_owned());
        }
    }
    found.map(|value| time(&value).ok_or(Unreadable))
}

/// The words of start-up options, where a backslash takes the next character as it is.
fn words(options: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            c if is_space(c) => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The server's units of time, the largest first, in milliseconds. A fraction of one is rounded to whole ones of the
/// next; milliseconds are rounded anyway.
const UNITS: [(&str, f64); 6] =
    [("d", 86_400_000.0), ("h", 3_600_000.0), ("min", 60_000.0), ("s", 1000.0), ("ms", 1.0), ("us", 0.001)];

/// A time as the server's `parse_int` reads it: a number, milliseconds unless a unit follows, rounded to whole ones.
fn time(text: &str) -> Option<Duration> {
    let (number, rest) = number(text)?;
    let unit = rest.trim_matches(is_space);
    let ms = if unit.is_empty() {
        number
    } else {
        let at = UNITS.iter().position(|(name, _)| *name == unit)?;
        let ms = number * UNITS[at].1;
        UNITS.get(at + 1).map_or(ms, |(_, next)| (ms / next).round_ties_even() * next)
    };
    let ms = ms.round_ties_even();
    // The server holds it in an `int`, and takes none below zero.
    (0.0..=f64::from(i32::MAX)).contains(&ms).then(|| Duration::from_millis(ms as u64))
}

/// Reads a number as C does, and returns what stands behind it: whole ones in hexadecimal (`0x`), octal (`0`) or
/// decimal; where a point or an exponent follows those digits, a floating-point number from the start.
fn number(text: &str) -> Option<(f64, &str)> {
    let signed = text.trim_start_matches(is_space);
    let unsigned = signed.strip_prefix(['+', '-']).unwrap_or(signed);
    let sign = if signed.starts_with('-') { -1.0 } else { 1.0 };
    let hex = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X"));
    let hex = hex.filter(|digits| digits.starts_with(|c: char| c.is_ascii_hexdigit()));
    let (radix, digits) = match hex {
        Some(digits) => (16, digits),
        None if unsigned.starts_with('0') => (8, unsigned),
        None => (10, unsigned),
    };
    let (whole, rest) = split_digits(digits, radix);
    let goes_on = rest.starts_with(['.', 'e', 'E']);
    let (value, rest) = match (goes_on, hex.is_some()) {
        // No whole number ends where it began, and only a point there has the server look for another kind.
        _ if whole.is_empty() && !text.starts_with('.') => return None,
        (false, _) => (value_of(whole, radix), rest),
        (true, true) => hex_float(digits)?,
        (true, false) => decimal_float(unsigned)?,
    };
    value.is_finite().then_some((sign * value, rest))
}

/// The digits before a point and behind it, of which there has to be one, and what stands behind them.
fn mantissa(text: &str, radix: u32) -> Option<(&str, &str, &str)> {
    let (whole, mut rest) = split_digits(text, radix);
    let mut decimals = "";
    if let Some(behind) = rest.strip_prefix('.') {
        (decimals, rest) = split_digits(behind, radix);
    }
    (!whole.is_empty() || !decimals.is_empty()).then_some((whole, decimals, rest))
}

fn decimal_float(text: &str) -> Option<(f64, &str)> {
    let (whole, decimals, mut rest) = mantissa(text, 10)?;
    if let Some((_, behind)) = exponent(rest, ['e', 'E']) {
        rest = behind;
    }
    let value: f64 = text[..text.len() - rest.len()].parse().ok()?;
    // Too small for a number, which C takes for an error, as it does too large.
    let is_zero = |digits: &str| digits.bytes().all(|digit| digit == b'0');
    (value != 0.0 || is_zero(whole) && is_zero(decimals)).then_some((value, rest))
}

/// What stands behind `0x`.
fn hex_float(text: &str) -> Option<(f64, &str)> {
    let (whole, decimals, mut rest) = mantissa(text, 16)?;
    let mut value =
        value_of(whole, 16) + value_of(decimals, 16) / 16_f64.powi(decimals.len().try_into().ok()?);
    if let Some((power, behind)) = exponent(rest, ['p', 'P']) {
        value *= 2_f64.powi(power);
        rest = behind;
    }
    Some((value, rest))
}

/// An exponent, where one stands there, and what stands behind it.
fn exponent(text: &str, marks: [char; 2]) -> Option<(i32, &str)> {
    let signed = text.strip_prefix(marks)?;
    let (digits, rest) = split_digits(signed.strip_prefix(['+', '-']).unwrap_or(signed), 10);
    if digits.is_empty() {
        return None;
    }
    let size = digits.parse().unwrap_or(i32::MAX);
    Some((if signed.starts_with('-') { -size } else { size }, rest))
}

fn split_digits(text: &str, radix: u32) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_digit(radix)).unwrap_or(text.len()))
}

fn value_of(digits: &str, radix: u32) -> f64 {
    digits
        .chars()
        .filter_map(|c| c.to_digit(radix))
        .fold(0.0, |value, digit| value * f64::from(radix) + f64::from(digit))
}

/// C's `isspace`, which Rust's leaves the vertical tab out of.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_timeout_is_found_in_every_form_that_the_server_reads() {
        let ms = |ms| Some(Ok(Duration::from_millis(ms)));
        for (options, found) in [
            ("", None),
            ("-c geqo=off", None),
            ("-c lock_timeout=5s", None),
            ("-c statement_timeout=0", ms(0)),
            ("-cstatement_timeout=1500", ms(1500)),
            ("--statement-timeout=2s", ms(2000)),
            ("-c geqo=off -c STATEMENT_TIMEOUT=1min --geqo=on", ms(60_000)),
            (r"-c statement_timeout=1.5\ s", ms(1500)),
            ("-c statement_timeout=900us", ms(1)),
            ("-c statement_timeout=1h -c statement_timeout=1d", ms(86_400_000)),
            ("-c statement_timeout=1e3", ms(1000)),
            ("-c statement_timeout=0x1F4", ms(500)),
            ("-c statement_timeout=0x1.8p3s", ms(12_000)),
            ("-c statement_timeout=017", ms(15)),
            ("-c statement_timeout=.5min", ms(30_000)),
            ("-c statement_timeout=1.3d", ms(31 * 3_600_000)),
            ("-c statement_timeout=-0.4", ms(0)),
            ("-c statement_timeout=+.5", Some(Err(Unreadable))),
            ("-c statement_timeout=09", Some(Err(Unreadable))),
            ("-c statement_timeout=1e", Some(Err(Unreadable))),
            ("-c statement_timeout=1e400", Some(Err(Unreadable))),
            ("-c statement_timeout=5S", Some(Err(Unreadable))),
            ("-c statement_timeout=", Some(Err(Unreadable))),
            ("-c statement_timeout=soon", Some(Err(Unreadable))),
            ("-c statement_timeout=-1", Some(Err(Unreadable))),
            ("-c statement_timeout=30d", Some(Err(Unreadable))),
            ("statement_timeout=5", None),
        ] {
            assert_eq!(statement_timeout_in(options), found, "{options}");
        }
    }
}
