//! What start-up options say of the limit of a statement: `options` of a connection string, `PGOPTIONS`.

use std::time::Duration;

/// The rule for a value that cannot be read here.
pub(crate) const RULE: &str = "must give statement_timeout as PostgreSQL has times: milliseconds such as 30000, or a \
                               unit behind the number, such as 30s";

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
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A time as the server reads it: a number, milliseconds unless a unit follows, rounded to whole ones.
fn time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let in_ms = match unit.trim_start() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let ms = (number.parse::<f64>().ok()? * in_ms).round_ties_even();
    // The server holds it in an `int`.
    (ms <= f64::from(i32::MAX)).then(|| Duration::from_millis(ms as u64))
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
            ("-c statement_timeout=soon", Some(Err(Unreadable))),
            ("-c statement_timeout=-1", Some(Err(Unreadable))),
            ("-c statement_timeout=30d", Some(Err(Unreadable))),
            ("statement_timeout=5", None),
        ] {
            assert_eq!(statement_timeout_in(options), found, "{options}");
        }
    }
}
