//! Numbers on the command line.

/// Reads the value of the option `flag`, a whole number from 1 to `max`; another one is added to `faults`.
pub fn number(
    parser: &mut lexopt::Parser,
    flag: &str,
    max: usize,
    faults: &mut Vec<String>,
) -> Option<usize> {
    let Ok(raw) = parser.value() else {
        faults.push(format!("{flag} needs a number"));
        return None;
    };
    let allowed = if max == usize::MAX { "at least 1".into() } else { format!("1 to {max}") };
    let parsed = raw.to_str().and_then(|text| text.parse().ok()).filter(|n| (1..=max).contains(n));
    if parsed.is_none() {
        faults.push(format!("{flag} is {raw:?}; allowed is a whole number, {allowed}"));
    }
    parsed
}
